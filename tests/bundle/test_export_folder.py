"""Export and restore: what is written is the network, whole, or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.bundle import export_folder, weights
from gdws_explorer.bundle.file_names import EXPORTED
from gdws_explorer.errors import ModelError

WRITTEN = {"plan.json", "model.safetensors", "report.json", "README.md"}


def blocks(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)


def facts(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def full(case, tmp_path_factory) -> Path:
    """An export with everything in it, made from a folder in which it is called "chosen"."""
    base = tmp_path_factory.mktemp("full")
    here = Path.cwd()
    os.chdir(base)
    try:
        x, y = case.images, torch.tensor([0, 1, 2, 3, 4])
        report = gx.evaluate(case.small, (x, y), gx.PGD(8 / 255, steps=2))
        gx.export(
            case.small, case.plan, "chosen", report=report, summary=case.net.summary(case.plan)
        )
    finally:
        os.chdir(here)
    return base / "chosen"


@pytest.fixture
def light(case, tmp_path) -> Path:
    return gx.export(case.small, case.plan, tmp_path / "light", onnx=False)


# -- round trip ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_readmes_lines_load_it_in_a_fresh_process(case, full, python):
    torch_lines, onnx_lines = blocks(full)
    assert len(torch_lines.splitlines()) == len(onnx_lines.splitlines()) == 3
    base = full.parent
    np.save(base / "x.npy", case.images.numpy())
    code = (
        torch_lines
        + "import torch, numpy as np\nx = np.load('x.npy')\n"
        + "assert not model.training\n"
        + "np.save('torch.npy', model(torch.from_numpy(x)).detach().numpy())\n"
        + onnx_lines
        + "assert logits.shape == (1, 5)\n"
        + "np.save('onnx.npy', session.run(['logits'], {'images': x})[0])\n"
    )
    assert python(code, base) == ""  # and nothing is said on stdout
    expected = case.small(case.images).detach().numpy()
    np.testing.assert_array_equal(np.load(base / "torch.npy"), expected)
    np.testing.assert_allclose(np.load(base / "onnx.npy"), expected, atol=1e-6)


@pytest.mark.slow
def test_the_folder_is_complete_and_the_report_says_what_is_known(case, full):
    assert held(full) == WRITTEN | {"model.onnx"}
    says = facts(full)
    summary = case.net.summary(case.plan)
    assert says["costs"]["macs"] == summary.macs
    assert says["costs"]["params"] == summary.params
    assert says["costs"]["bytes"] == summary.bytes
    assert says["costs"]["error"] == summary.error
    assert says["accuracy"]["n"] == 5
    assert says["accuracy"]["attack_label"] == "PGD-2 ℓ∞ ε 8/255"
    assert len(says["accuracy"]["clean_interval"]) == 2
    assert says["onnx"]["parity"]["max_abs_difference"] < 1e-5
    assert says["onnx"]["parity"]["batches"] == [1, 3]
    assert says["restored"]["max_abs_difference"] == 0
    assert {"torch", "gdws-explorer", "onnxruntime", "safetensors"} <= says["versions"].keys()
    for name, file in says["files"].items():
        assert (full / name).stat().st_size == file["bytes"]
    assert gx.Plan.load(full / "plan.json") == case.plan


def test_the_readme_says_what_the_report_notes(case, tmp_path):
    noted = gx.Report(4, 2, 5, gx.FGSM(0.1), 0, 0.1, note="out of memory: 2 images at a time")
    folder = gx.export(case.small, case.plan, tmp_path / "noted", report=noted, onnx=False)
    assert "Note: out of memory: 2 images at a time" in (folder / "README.md").read_text()
    assert facts(folder)["accuracy"]["note"] == noted.note


@pytest.mark.slow
def test_the_readme_says_accuracy_and_plan(full, light):
    text = (full / "README.md").read_text()
    assert "PGD-2 ℓ∞ ε 8/255" in text
    assert "95 % interval" in text
    assert re.search(r"`stride` \| GDWS G=30 \|", text)
    assert "None was measured" not in text
    text = (light / "README.md").read_text()
    assert "None was measured" in text
    assert "`dilated`: Tucker-2 5×7" in text
    assert "There is no ONNX file: exported with onnx=False." in text
    assert held(light) == WRITTEN
    assert facts(light)["onnx"] == {"written": False, "why": "exported with onnx=False"}
    assert facts(light)["accuracy"] is None


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("digits", ['dense = gx.load("digits").model', 'model = gx.restore("a", dense)']),
        (
            "cifar:resnet18",
            ['dense = gx.load_model("cifar:resnet18")', 'model = gx.restore("a", dense)'],
        ),
        ("nets.deep:Kind.make", ["from nets.deep import Kind", 'gx.restore("a", Kind.make())']),
        ("my nets.py:make", ['run_path("my nets.py")["make"]()', 'gx.restore("a", dense)']),
    ],
)
def test_the_readme_makes_the_dense_network_as_it_is_told(
    case, tmp_path, monkeypatch, source, lines
):
    monkeypatch.chdir(tmp_path)
    gx.export(case.small, case.plan, "a", onnx=False, source=source)
    (block,) = blocks(tmp_path / "a")
    for line in lines:
        assert line in block


@pytest.mark.slow
def test_digits_come_back_in_a_fresh_process(tmp_path, python):
    from gdws_explorer.bench.digits import untrained

    net = gx.Network(untrained(), torch.rand(1, 1, 8, 8))
    plan = net.budget(macs=0.5)
    small = net.build(plan)
    folder = gx.export(small, plan, tmp_path / "digits out", summary=net.summary(plan))
    (lines, _) = blocks(folder)
    code = "import torch\nx = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)\n"
    found = python(lines + code + "print(model(x).tolist())", tmp_path)
    x = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    assert json.loads(found) == small(x).tolist()


def test_restore_leaves_the_model_alone_and_gives_a_trainable_network(case, light):
    mine = type(case.dense)().train()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    network = gx.restore(light, mine)
    assert mine.training
    assert isinstance(mine.stride, nn.Conv2d)
    assert all(torch.equal(before[name], value) for name, value in mine.state_dict().items())
    assert isinstance(network.stride, gx.GDWSConv2d)
    assert network.twice is network.circular
    assert not network.training
    assert all(p.requires_grad for p in network.parameters())
    torch.testing.assert_close(network(case.images), case.small(case.images), rtol=0, atol=0)


def test_export_leaves_model_modes_and_random_numbers_alone(case, tmp_path):
    case.small.train()
    try:
        state = torch.get_rng_state()
        gx.export(case.small, case.plan, tmp_path / "a", onnx=False)
        assert torch.equal(state, torch.get_rng_state())
        assert case.small.training
        assert all(p.requires_grad for p in case.small.parameters())
    finally:
        case.small.eval()


def test_a_dense_network_is_exported_as_it_is_or_compressed_first(case, tmp_path):
    same = gx.export(case.dense, case.net.plan(), tmp_path / "dense", onnx=False)
    network = gx.restore(same, type(case.dense)())
    torch.testing.assert_close(network(case.images), case.dense(case.images), rtol=0, atol=0)
    assert "nothing was compressed" in (same / "README.md").read_text()
    built = gx.export(case.dense, case.plan, tmp_path / "built", onnx=False)
    network = gx.restore(built, type(case.dense)())
    torch.testing.assert_close(network(case.images), case.small(case.images), rtol=0, atol=0)


def test_a_fine_tuned_network_is_exported_with_its_weights(case, tmp_path):
    tuned = case.net.build(case.plan)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.01)
    network = gx.restore(
        gx.export(tuned, case.plan, tmp_path / "a", onnx=False), type(case.dense)()
    )
    torch.testing.assert_close(network(case.images), tuned(case.images), rtol=0, atol=0)


def test_tied_and_non_contiguous_weights_and_other_types(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(4, 4, 3, padding=1)
            self.b = nn.Conv2d(4, 4, 3, padding=1)
            self.one = nn.Linear(4, 4)
            self.two = nn.Linear(4, 4)
            self.two.weight = self.one.weight
            self.b.weight = nn.Parameter(self.b.weight.detach().transpose(2, 3))

        def forward(self, x):
            return self.two(self.one(self.b(self.a(x)).mean((2, 3))))

    dense = Tied().double()
    net = gx.Network(dense, torch.rand(1, 4, 6, 6))
    plan = net.plan({"b": gx.GDWS(12)})
    folder = gx.export(net.build(plan), plan, tmp_path / "tied", onnx=False)
    x = torch.rand(2, 4, 6, 6, dtype=torch.float64)
    network = gx.restore(folder, Tied().double())
    assert network.two.weight is network.one.weight
    torch.testing.assert_close(network(x), net.build(plan)(x), rtol=0, atol=0)
    assert "run the code that defines Tied first" in blocks(folder)[0]
    with pytest.raises(ModelError, match=r"model\.to\(torch\.float64\)"):
        gx.restore(folder, Tied())


# -- what does not fit ---------------------------------------------------------------------


def test_a_network_that_is_not_the_plans_is_refused(case, tmp_path):
    other = case.plan.replace("stride", gx.GDWS(31))
    with pytest.raises(gx.PlanError, match="stride is GDWS G=30, the plan says GDWS G=31"):
        gx.export(case.small, other, tmp_path / "a", onnx=False)
    moved = case.plan.replace("circular", gx.GDWS(13, (2,) + (1,) * 11))
    with pytest.raises(gx.PlanError, match="circular"):
        gx.export(case.small, moved, tmp_path / "a", onnx=False)
    with pytest.raises(gx.PlanError, match="another network"):
        gx.export(type(case.dense)(), case.plan, tmp_path / "a", onnx=False)
    with pytest.raises(gx.PlanError, match="summary belongs to another plan"):
        gx.export(case.small, case.plan, tmp_path / "a", summary=case.net.summary(case.net.plan()))
    with pytest.raises(gx.PlanError, match=r"expected a gx\.Plan"):
        gx.export(case.small, "plan", tmp_path / "a")
    with pytest.raises(gx.ModelError):
        gx.export("model", case.plan, tmp_path / "a", onnx=False)
    with pytest.raises(gx.DataError, match="2, 11, 9"):
        gx.export(case.small, case.plan, tmp_path / "a", example=torch.rand(1, 2, 4, 4))
    assert not list(tmp_path.iterdir())


def test_a_network_that_answers_with_nan_is_refused(case, tmp_path):
    broken = case.net.build(case.plan)
    broken.fc.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        gx.export(broken, case.plan, tmp_path / "a", onnx=False)
    assert not list(tmp_path.iterdir())


def test_restore_refuses_another_architecture(case, light):
    with pytest.raises(gx.PlanError, match="no layer 'first'"):
        gx.restore(light, nn.Sequential(nn.Conv2d(2, 8, 3)))
    wider = type(case.dense)()
    wider.fc = nn.Linear(10, 6)
    with pytest.raises(ModelError, match=r"fc\.bias has shape \(5,\).*\(6,\)"):
        gx.restore(light, wider)
    longer = type(case.dense)()
    longer.more = nn.Linear(2, 2)
    with pytest.raises(ModelError, match=r"the file lacks more\.bias"):
        gx.restore(light, longer)
    with pytest.raises(ModelError, match="strides"):  # every shape fits, the answers do not
        gx.restore(light, type(case.dense)(stride=1))
    with pytest.raises(ModelError, match="str"):
        gx.restore(light, "model")


# -- damage --------------------------------------------------------------------------------


def test_a_damaged_plan_is_named(case, light):
    text = (light / "plan.json").read_text()
    (light / "plan.json").write_text(text[:-20])
    with pytest.raises(gx.PlanError, match=r"plan\.json.*truncated"):
        gx.restore(light, case.dense)
    (light / "plan.json").write_text(text.replace('"G": 30', '"G": 29'))
    with pytest.raises(gx.PlanError, match="changed after it was written"):
        gx.restore(light, case.dense)
    (light / "plan.json").unlink()
    with pytest.raises(gx.PlanError, match=r"plan\.json cannot be read"):
        gx.restore(light, case.dense)
    with pytest.raises(gx.ExplorerError, match="not a folder"):
        gx.restore(light / "nowhere", case.dense)


def test_damaged_weights_are_named(case, light):
    file = light / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(gx.ExplorerError, match=r"model\.safetensors is damaged"):
        gx.restore(light, case.dense)
    file.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    with pytest.raises(gx.ExplorerError, match="changed after it was written"):
        gx.restore(light, case.dense)
    file.write_bytes(b"")
    with pytest.raises(gx.ExplorerError, match=r"model\.safetensors is damaged"):
        gx.restore(light, case.dense)
    file.unlink()
    with pytest.raises(gx.ExplorerError, match=r"model\.safetensors is missing"):
        gx.restore(light, case.dense)


def test_weights_of_another_export_and_missing_keys_are_named(case, light, tmp_path):
    file = light / "model.safetensors"
    other = case.net.plan({"stride": gx.GDWS(9)})
    strange = gx.export(case.dense, other, tmp_path / "b", onnx=False) / "model.safetensors"
    with safetensors.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = safetensors.torch.load_file(file)
    lost = {name: value for name, value in tensors.items() if name != "fc.bias"}
    safetensors.torch.save_file(lost, file, metadata)
    with pytest.raises(ModelError, match=r"the file lacks fc\.bias"):
        gx.restore(light, case.dense)
    wild = {**tensors, "stride.index": tensors["stride.index"] + 5}
    metadata["weights"] = weights.digest(wild)
    safetensors.torch.save_file(wild, file, metadata)
    with pytest.raises(gx.ExplorerError, match=r"stride\.index runs from 5 to 12"):
        gx.restore(light, case.dense)
    shutil.copy(strange, file)
    with pytest.raises(gx.PlanError, match="belongs to plan"):
        gx.restore(light, case.dense)
    torch.save({"a": torch.ones(1)}, file)  # a pickle is not opened
    with pytest.raises(gx.ExplorerError, match="damaged"):
        gx.restore(light, case.dense)


# -- the folder ----------------------------------------------------------------------------


def test_an_earlier_export_is_replaced_and_other_files_in_it_stay(case, light):
    (light / "notes.txt").write_text("mine")
    (light / "figures").mkdir()
    (light / "model.onnx").write_bytes(b"old")
    assert gx.export(case.dense, case.net.plan(), light, onnx=False) == light
    assert held(light) == WRITTEN | {"notes.txt", "figures"}
    assert gx.Plan.load(light / "plan.json") == case.net.plan()
    assert held(light.parent) == {"light"}


def test_an_empty_folder_and_new_parents_are_used(case, tmp_path):
    (tmp_path / "empty").mkdir()
    assert held(gx.export(case.small, case.plan, tmp_path / "empty", onnx=False)) == WRITTEN
    deep = gx.export(case.small, case.plan, str(tmp_path / "a/b/c"), onnx=False)
    assert held(deep) == WRITTEN


def test_a_folder_of_somebody_else_is_refused(case, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(gx.ExplorerError, match=r"holds other files \(README\.md, empty\)"):
        gx.export(case.small, case.plan, tmp_path, onnx=False)
    case.plan.save(tmp_path / "plan.json")
    with pytest.raises(gx.ExplorerError, match="holds other files"):
        gx.export(case.small, case.plan, tmp_path, onnx=False)
    assert (tmp_path / "README.md").read_text() == "mine"
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(gx.ExplorerError, match="is the current folder"):
        gx.export(case.small, case.plan, ".", onnx=False)
    with pytest.raises(gx.ExplorerError, match="is a file"):
        gx.export(case.small, case.plan, tmp_path / "README.md", onnx=False)


def test_a_folder_that_cannot_be_written_is_one_clear_error(case, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    targets = [tmp_path / "file" / "below", Path("/proc/gdws/chosen"), tmp_path / ("x" * 300)]
    for target in targets:
        with pytest.raises(gx.ExplorerError, match=r"cannot be written.*choose another folder"):
            gx.export(case.small, case.plan, target, onnx=False)

    def read_only(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(gx.ExplorerError, match=r"cannot be written \(Permission denied\)"):
        gx.export(case.small, case.plan, tmp_path / "a", onnx=False)
    assert held(tmp_path) == {"file"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("place", ["weights", "readme", "rename"])
def test_an_interrupted_export_leaves_the_old_one_or_nothing(case, light, monkeypatch, stop, place):
    before = {path.name: path.read_bytes() for path in light.iterdir()}
    (light / "notes.txt").write_text("mine")

    def fail(*_args, **_kwargs):
        raise stop

    if place == "rename":
        really = os.rename

        def second_fails(old, new):
            # The first moves the old export away, the second puts the new one in its place.
            if Path(new) == light and (Path(old) / "notes.txt").exists() is False:
                raise stop
            really(old, new)

        monkeypatch.setattr(os, "rename", second_fails)
    else:
        names = {"weights": (weights, "save"), "readme": (export_folder, "readme")}
        monkeypatch.setattr(*names[place], fail)
    targets = [light] if place == "rename" else [light, light.parent / "new"]
    for target in targets:
        with pytest.raises((KeyboardInterrupt, gx.ExplorerError)):
            gx.export(case.dense, case.net.plan(), target, onnx=False)
    assert held(light.parent) == {"light"}
    after = {path.name: path.read_bytes() for path in light.iterdir() if path.name in EXPORTED}
    assert after == before
    assert (light / "notes.txt").read_text() == "mine"


def test_a_link_to_a_folder_stays_a_link(case, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    gx.export(case.small, case.plan, tmp_path / "link", onnx=False)
    assert (tmp_path / "link").is_symlink()
    assert held(tmp_path / "real") == WRITTEN


def test_files_get_usual_permissions(light):
    umask = os.umask(0)
    os.umask(umask)
    assert (light.stat().st_mode & 0o777) == 0o777 & ~umask
    assert {path.stat().st_mode & 0o777 for path in light.iterdir()} == {0o666 & ~umask}


def test_a_network_made_from_data_comes_back_whole_and_says_so(case, tmp_path):
    x = torch.rand(24, *case.net.input_shape)
    aware = case.net.calibrated(case.net.calibrate(x), refit=x)
    plan = aware.budget(macs=0.7)
    small = aware.build(plan)
    folder = gx.export(small, plan, tmp_path / "out", summary=aware.summary(plan), onnx=False)
    again = gx.restore(folder, case.net.model)
    assert torch.equal(again(x), small(x))
    assert gx.Plan.load(folder / "plan.json") == plan
    text = (folder / "README.md").read_text()
    assert f"calibration `{plan.calibration}`" in text
    assert "of the kernel" not in text


def test_the_difference_to_the_dense_network_is_paired(tmp_path):
    bench = gx.load("digits")
    net = gx.Network(bench.model, bench.example)
    plan = net.budget(macs=0.1)
    small = net.build(plan)
    dense, report = (
        gx.evaluate(model, bench.data, gx.FGSM(0.15), n=60) for model in (bench.model, small)
    )
    folder = gx.export(small, plan, tmp_path / "out", report=report, dense=dense, onnx=False)
    pair = gx.compare(dense, report)
    said = json.loads((folder / "report.json").read_text())["against_dense"]
    assert said["robust"]["difference"] == pair.difference
    assert said["robust"]["interval"] == list(pair.interval)
    assert f"- robust: {pair}" in (folder / "README.md").read_text()
    alone = gx.export(small, plan, tmp_path / "alone", report=report, onnx=False)
    assert "Against the dense network" not in (alone / "README.md").read_text()
