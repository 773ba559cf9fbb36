"""`gdws-explorer evaluate` end to end, and every mistake as one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.robust import evaluation, sequence
from gdws_explorer.robust.sequence import standard_sequence


def test_evaluate_a_custom_network_under_a_plan(here, plan, capsys):
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


@pytest.mark.slow
def test_weights_from_safetensors_and_from_an_unexecuted_pickle(here, plan, capsys, one_sentence):
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
    message = one_sentence(*words, "--weights", "whole.pt")
    assert "whole.pt has to be unpickled for cli_test_nets.Net" in message
    code = message.partition('python -c "')[2].removesuffix('"')
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=here)
    assert cli.main([*words, "--weights", "whole-weights.pt"]) == 0  # what it said to do
    assert json.loads(capsys.readouterr().out)["fingerprint"] == mine
    torch.save({"net": model.state_dict(), "model": cli_test_nets.Net().state_dict()}, "two.pt")
    assert "key='net'" in one_sentence(*words, "--weights", "two.pt")
    assert cli.main([*words, "--weights", "two.pt", "--key", "net"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == mine
    safetensors.torch.save_file({"fc.bias": torch.zeros(4)}, "few.safetensors")
    message = one_sentence(*words, "--weights", "few.safetensors")
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

    monkeypatch.setattr(evaluation, "evaluate", measure)
    assert cli.main(["evaluate", "digits", "--n", "10", "--attack", *words.split()]) == 0
    assert met == [attack]


def test_stages_one_by_one_and_a_stopped_run_that_continues(
    here, monkeypatch, capsys, one_sentence
):
    attack = gx.Staged([gx.FGSM(0.15), gx.PGD(0.15, steps=2)])
    monkeypatch.setattr(sequence, "standard_sequence", lambda eps: attack)
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
    assert "belongs to another evaluation" in one_sentence(*words, "--seed", "1")


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


@pytest.mark.slow
def test_evaluate_digits_in_a_process_of_its_own(here, shell):
    done = shell("evaluate", "--n", "20", "--steps", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "digits"
    assert found["attack"]["eps"] == 0.15
    assert found["clean"] > 0.8


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
def test_mistakes_are_one_sentence(here, words, says, one_sentence):
    rng = np.random.default_rng(0)
    y = np.zeros(4, np.int64)
    np.savez("gray.npz", x=rng.random((4, 1, 10, 10), np.float32), y=y)
    np.savez("bright.npz", x=rng.random((4, 3, 10, 10), np.float32) * 255, y=y)
    assert says in one_sentence("evaluate", *words)
