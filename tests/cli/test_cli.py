"""The command line: every command end to end, and every mistake as one sentence."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.bench import resources
from gdws_explorer.cli import evaluate_command, lab_command
from gdws_explorer.robust.sequence import standard_sequence

# `from gdws_explorer.bench import digits` is the function of that name.
DIGITS = importlib.import_module("gdws_explorer.bench.digits")
EVALUATE = importlib.import_module("gdws_explorer.robust.evaluation")
STAGED = importlib.import_module("gdws_explorer.robust.sequence")

NETS = """
import torch
from torch import nn
from helping import width


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, 12, 3, stride=2, padding=1)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


def made():
    torch.manual_seed(5)
    return Net()


def number():
    return 3


def failing():
    raise RuntimeError("no such checkpoint")
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A user's folder, with a network's file and images in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_test_nets.py").write_text(NETS)
    (tmp_path / "helping.py").write_text("width = 8\n")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 3, 10, 10), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(20, dtype=np.uint8) % 4)
    yield tmp_path
    for name in ("cli_test_nets", "helping"):
        sys.modules.pop(name, None)


@pytest.fixture
def plan(here) -> gx.Plan:
    sys.path.insert(0, str(here))
    try:
        import cli_test_nets
    finally:
        sys.path.remove(str(here))
    net = gx.Network(cli_test_nets.made(), torch.rand(1, 3, 10, 10))
    plan = net.plan({"second": gx.GDWS(20)})
    plan.save(here / "plan.json")
    return plan


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as from a shell."""
    environment = {**os.environ, "PYTHONPATH": str(Path(gx.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "gdws_explorer.cli", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def one_sentence(capsys, *words: str) -> str:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    message = err.splitlines()[-1]
    assert message.startswith("gdws-explorer: ")
    assert "Traceback" not in err
    return message


# -- evaluate ------------------------------------------------------------------------------


def test_evaluate_a_network_of_ones_own_under_a_plan(here, plan, capsys):
    words = ("evaluate", "cli_test_nets.py:made", "--data", "images.npz", "--plan", "plan.json")
    options = ("--eps", "8/255", "--steps", "2", "--n", "12", "--seed", "3")
    assert cli.main([*words, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    import cli_test_nets

    net = gx.Network(cli_test_nets.made(), torch.rand(1, 3, 10, 10))
    with np.load("images.npz") as stored:
        data = (stored["x"].astype(np.float32) / 255, stored["y"].astype(np.int64))
    report = gx.evaluate(net.build(plan), data, gx.PGD(8 / 255, steps=2), n=12, seed=3)
    summary = net.summary(plan)
    assert (found["clean"], found["robust"], found["n"]) == (report.clean, report.robust, 12)
    assert (found["macs"], found["params"]) == (summary.macs, summary.params)
    assert found["plan"] == {"hash": plan.hash, "words": str(plan)}
    assert found["attack_label"] == "PGD-2 ℓ∞ ε 8/255"
    assert cli.main([*words, *options]) == 0
    out, err = capsys.readouterr()
    assert "95 % interval" in out
    assert f"{summary.macs:,} of {summary.dense_macs:,} dense" in out
    assert "PGD-2 ℓ∞ ε 8/255" in out
    assert "evaluating" in err  # the progress bar


def test_evaluate_without_attack_with_fgsm_and_through_the_layers(here, plan, capsys):
    words = ("evaluate", "cli_test_nets:made", "--data", "images.npz", "--json")
    assert cli.main([*words, "--attack", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["robust"] is None
    assert cli.main([*words, "--attack", "fgsm", "--through", "layers"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["attack"] == {"name": "FGSM", "eps": 8 / 255}
    assert found["through"] == "layers"


def test_weights_from_safetensors_and_from_a_pickle_that_is_not_executed(here, plan, capsys):
    import cli_test_nets

    model = cli_test_nets.made()
    with torch.no_grad():
        model.fc.weight.mul_(2)
    mine = gx.Network(model, torch.rand(1, 3, 10, 10)).fingerprint
    safetensors.torch.save_file(model.state_dict(), "w.safetensors")
    torch.save(model.state_dict(), "w.pt")
    torch.save({"state_dict": model.state_dict()}, "w.pth")
    words = ("evaluate", "cli_test_nets:Net", "--data", "images.npz", "--attack", "none", "--json")
    for file in ("w.safetensors", "w.pt", "w.pth"):
        assert cli.main([*words, "--weights", file]) == 0
        assert json.loads(capsys.readouterr().out)["fingerprint"] == mine
    torch.save(model, "whole.pt")
    message = one_sentence(capsys, *words, "--weights", "whole.pt")
    assert "whole.pt has to be unpickled for cli_test_nets.Net" in message
    code = message.partition('python -c "')[2].removesuffix('"')
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=here)
    assert cli.main([*words, "--weights", "whole-weights.pt"]) == 0  # what it said to do
    assert json.loads(capsys.readouterr().out)["fingerprint"] == mine
    torch.save({"net": model.state_dict(), "model": cli_test_nets.Net().state_dict()}, "two.pt")
    assert "key='net'" in one_sentence(capsys, *words, "--weights", "two.pt")
    assert cli.main([*words, "--weights", "two.pt", "--key", "net"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == mine
    safetensors.torch.save_file({"fc.bias": torch.zeros(4)}, "few.safetensors")
    message = one_sentence(capsys, *words, "--weights", "few.safetensors")
    assert "first.weight" in message


@pytest.mark.parametrize(
    ("words", "attack"),
    [
        (
            "pgd --norm l2 --eps 0.5 --steps 2 --restarts 2",
            gx.PGD(0.5, 2, norm="l2", restarts=2),
        ),
        ("apgd --steps 2", gx.APGD(0.15, 2)),
        ("apgd-dlr --steps 2", gx.APGD(0.15, 2, loss="dlr")),
        ("apgd-t --steps 1", gx.APGD(0.15, 1, targeted=True)),
        ("fab --steps 1", gx.FAB(0.15, 1)),
        ("square --queries 3", gx.Square(0.15, 3)),
        ("autoattack --eps 1/255", gx.AutoAttack(1 / 255)),
        ("standard", standard_sequence(0.15)),
    ],
)
def test_every_attack_by_its_name(monkeypatch, capsys, words, attack):
    met = []

    def measure(model, data, attack, **settings):
        met.append(attack)
        return gx.Report(5, 4, 10, gx.FGSM(0.1), 0, 0.1)

    monkeypatch.setattr(EVALUATE, "evaluate", measure)
    assert cli.main(["evaluate", "digits", "--n", "10", "--attack", *words.split()]) == 0
    assert met == [attack]


def test_stages_are_told_one_by_one_and_a_stopped_run_goes_on(here, monkeypatch, capsys):
    attack = gx.Staged([gx.FGSM(0.15), gx.PGD(0.15, steps=2)])
    monkeypatch.setattr(STAGED, "standard_sequence", lambda eps: attack)
    words = ("evaluate", "--n", "30", "--attack", "standard", "--resume", "run.json")
    assert cli.main([*words, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.index("FGSM ℓ∞ ε 0.15") < out.index("PGD-2 ℓ∞ ε 0.15")
    report = gx.evaluate(gx.load("digits").model, gx.load("digits").data, attack, n=30)
    for count in report.stages:
        assert f"{count / 30:.1%}" in out
    assert json.loads(Path("run.json").read_text())["done"] == 30
    assert cli.main([*words, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["stages"] == list(report.stages)
    assert "belongs to another evaluation" in one_sentence(capsys, *words, "--seed", "1")


def test_a_network_of_the_zoo_and_a_folder_of_images(here, capsys):
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        Path("pets", label).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("pets", label, f"{i}.png"))
    torch.save(gx.load_model("cifar:resnet18", classes=2, seed=1).state_dict(), "two.pt")
    words = ("evaluate", "cifar:resnet18", "--classes", "2", "--weights", "two.pt")
    rest = ("--data", "pets", "--size", "32", "--n", "4", "--attack", "none", "--json")
    assert cli.main([*words, *rest]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 4
    expected = gx.Network(
        gx.load_model("cifar:resnet18", classes=2, weights="two.pt"), torch.rand(1, 3, 32, 32)
    )
    assert found["fingerprint"] == expected.fingerprint


def test_evaluate_digits_in_a_process_of_its_own(here):
    done = run("evaluate", "--n", "20", "--steps", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "digits"
    assert found["attack"]["eps"] == 0.15
    assert found["clean"] > 0.8


# -- apply ---------------------------------------------------------------------------------


def test_apply_exports_a_folder_that_loads_again(here, plan, capsys):
    assert cli.main(["apply", "plan.json", "cli_test_nets.py:made", "chosen"]) == 0
    out, err = capsys.readouterr()
    assert "model.onnx" in out
    assert "ONNX Runtime differs from torch by at most" in out
    assert err == ""
    import cli_test_nets

    network = gx.restore("chosen", cli_test_nets.Net())
    net = gx.Network(cli_test_nets.made(), torch.rand(1, 3, 10, 10))
    x = torch.rand(3, 3, 10, 10)
    torch.testing.assert_close(network(x), net.build(plan)(x), rtol=0, atol=0)
    readme = Path("chosen/README.md").read_text()
    assert 'dense = run_path("cli_test_nets.py")["made"]()' in readme
    assert cli.main(["apply", "plan.json", "cli_test_nets:made", "chosen", "--no-onnx"]) == 0
    assert not Path("chosen/model.onnx").exists()


def test_a_plan_made_elsewhere_is_refused(here, plan, capsys):
    message = one_sentence(capsys, "apply", "plan.json", "cli_test_nets:Net", "chosen")
    assert "made for another network" in message
    Path("plan.json").write_text(Path("plan.json").read_text()[:50])
    message = one_sentence(capsys, "apply", "plan.json", "cli_test_nets:made", "chosen")
    assert "truncated" in message
    assert "plan.json" in message
    assert not Path("chosen").exists()


def test_a_folder_that_cannot_be_written(here, plan, capsys):
    words = ("apply", "plan.json", "cli_test_nets:made")
    assert "cannot be written" in one_sentence(capsys, *words, "/proc/gdws/out", "--no-onnx")
    assert "is the current folder" in one_sentence(capsys, *words, ".", "--no-onnx")
    Path("full").mkdir()
    Path("full/README.md").write_text("mine")
    assert "holds other files" in one_sentence(capsys, *words, "full", "--no-onnx")


# -- mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["diggits"], "expected one of digits, digits-plain"),
        (["nowhere:made"], "No module named 'nowhere'"),
        (["nowhere.py:made"], "there is no file nowhere.py"),
        (["cli_test_nets:nothing"], "has no attribute 'nothing'"),
        (["cli_test_nets:number"], "returns int"),
        (["cli_test_nets:failing"], "no such checkpoint"),
        (["cli_test_nets:made"], "needs --data"),
        (["cli_test_nets:made", "--data", "none.npz"], "expected an .npz with arrays x and y"),
        (["cli_test_nets:made", "--data", "images.npz", "--n", "21"], "from 1 to 20"),
        (["cli_test_nets:made", "--data", "images.npz", "--eps", "8"], "write 8/255"),
        (["cli_test_nets:made", "--data", "images.npz", "--plan", "no.json"], "no.json"),
        (["cli_test_nets:made", "--data", "gray.npz"], "does not take an example of shape"),
        (["cli_test_nets:made", "--data", "bright.npz"], "expected [0, 1]"),
        (["cli_test_nets:made", "--data", "images.npz", "--seed", "-1"], "seed is -1"),
        (["cli_test_nets:made", "--data", "images.npz", "--attack", "fgsm", "--steps", "3"], "pgd"),
        (["cli_test_nets:made", "--data", "images.npz", "--attack", "none", "--eps", "1"], "--eps"),
        (["cli_test_nets:made", "--weights", "no.safetensors"], "no.safetensors"),
        (["digits", "--attack", "square", "--steps", "3"], "--steps is for --attack pgd, apgd"),
        (["digits", "--attack", "autoattack", "--restarts", "2"], "--restarts is for"),
        (["digits", "--attack", "pgd", "--queries", "2"], "--queries is for --attack square"),
        (["digits", "--attack", "standard", "--norm", "l2"], "--norm is for"),
        (["digits", "--norm", "l2"], "--norm l2 needs --eps"),
        (["digits", "--classes", "3"], "--classes is for networks named cifar:"),
        (["digits", "--key", "ema"], "--key needs --weights"),
        (["digits", "--device", "tpu"], "'tpu' cannot be used"),
        (["cifar:resnet19"], "did you mean cifar:resnet18"),
        (["cli_test_nets:made", "--data", "cifarr10"], "expected an .npz file, a folder"),
    ],
)
def test_mistakes_are_one_sentence(here, capsys, words, says):
    rng = np.random.default_rng(0)
    y = np.zeros(4, np.int64)
    np.savez("gray.npz", x=rng.random((4, 1, 10, 10), np.float32), y=y)
    np.savez("bright.npz", x=rng.random((4, 3, 10, 10), np.float32) * 255, y=y)
    assert says in one_sentence(capsys, "evaluate", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: COMMAND"),
        (["evaluate", "--eps", "small"], "write 0.15 or 8/255"),
        (["evaluate", "--n", "0"], "not a whole number from 1 up"),
        (["evaluate", "--bogus"], "unrecognized arguments: --bogus"),
        (["train", "cifar"], "invalid choice: 'cifar'"),
    ],
)
def test_wrong_words_end_with_usage(capsys, words, says):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupted(_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_command, "run", interrupted)
    assert cli.main(["evaluate"]) == 130
    assert capsys.readouterr().err == "gdws-explorer: stopped.\n"


# -- train ---------------------------------------------------------------------------------


def test_train_shows_progress_and_writes_where_it_is_told(here, monkeypatch, capsys):
    asked = {}

    def short(plain, out, progress, **_more):
        asked.update(plain=plain, out=out)
        progress(0.5, 1.25)
        progress(1.0, 0.75)
        return gx.evaluate(DIGITS.untrained(), (torch.rand(20, 1, 8, 8), torch.arange(20) % 10))

    monkeypatch.setattr(DIGITS, "train_digits", short)
    assert cli.main(["train", "digits", "--plain", "--out", "again"]) == 0
    assert asked == {"plain": True, "out": Path("again")}
    assert list(here.joinpath("again").iterdir()) == []  # the probe is gone
    out, err = capsys.readouterr()
    assert "digits-plain.safetensors and .json written" in out
    assert "n 20" in out
    assert "training digits-plain" in err


def test_train_finds_out_first_that_it_cannot_write(capsys, monkeypatch):
    monkeypatch.setattr(DIGITS, "train_digits", lambda *_: pytest.fail("it trained"))
    assert "cannot be written" in one_sentence(capsys, "train", "digits", "--out", "/proc/gdws")


# -- lab -----------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that would have been started."""
    commands: list[list[str]] = []

    class Server:
        def __init__(self, command: list[str]) -> None:
            commands.append(command)
            self.waits = iter([KeyboardInterrupt, 0])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self) -> int:
            found = next(self.waits)
            if found is KeyboardInterrupt:
                raise found
            return found

    monkeypatch.setattr(lab_command.subprocess, "Popen", Server)
    return commands


@pytest.fixture
def lessons(tmp_path, monkeypatch) -> Path:
    """A checkout with two notebooks."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    for name in (lab_command.LESSON, "02_more.ipynb"):
        (root / "notebooks" / name).write_text(name)
    monkeypatch.setattr(resources, "PACKAGE", root / "gdws_explorer")
    return root


def test_lab_copies_the_lessons_outside_the_checkout(tmp_path, monkeypatch, started, lessons):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / lab_command.LESSON).write_text("a student's answers")
    assert cli.main(["lab", "--no-browser", "--port", "8890"]) == 0
    assert (work / lab_command.LESSON).read_text() == "a student's answers"
    assert (work / "02_more.ipynb").read_text() == "02_more.ipynb"
    (command,) = started
    assert command[1:4] == ["-m", "jupyterlab", str(work / lab_command.LESSON)]
    assert command[-3:] == ["--no-browser", "--port", "8890"]


def test_lab_opens_the_checkouts_own_lessons_inside_it(monkeypatch, started, lessons):
    monkeypatch.chdir(lessons / "notebooks")
    assert cli.main(["lab"]) == 0
    assert started[0][3] == str(lessons / "notebooks" / lab_command.LESSON)
    assert len(list((lessons / "notebooks").iterdir())) == 2


def test_lab_finds_the_notebooks_of_a_wheel(tmp_path, monkeypatch, started, lessons):
    package = tmp_path / "site" / "gdws_explorer"
    shutil.copytree(lessons / "notebooks", package / "_notebooks")
    monkeypatch.setattr(resources, "PACKAGE", package)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert cli.main(["lab"]) == 0
    assert (work / lab_command.LESSON).is_file()


def test_lab_says_what_is_missing(tmp_path, monkeypatch, capsys, lessons):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "nowhere" / "gdws_explorer")
    assert "notebooks are missing" in one_sentence(capsys, "lab")
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert 'pip install "gdws-explorer[lab]"' in one_sentence(capsys, "lab")


@pytest.mark.slow
def test_lab_really_starts_jupyterlab(tmp_path, monkeypatch, lessons, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", "--version"]) == 0  # JupyterLab parses everything, then answers
    assert capfd.readouterr().out.strip()[0].isdigit()


# -- help ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["lab", "train", "evaluate", "apply"])
def test_help_has_a_purpose_and_examples(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"  gdws-explorer {command}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_version_and_help_from_a_shell():
    assert run("--version").stdout == f"gdws-explorer {gx.__version__}\n"
