import argparse
import importlib.util
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gdws_explorer.bench.checkpoint import load_checkpoint, weights_in
from gdws_explorer.errors import ModelError
from gdws_explorer.robust.normalized import Normalized


def small(classes=4):
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 5, 3, bias=False),
            bn=nn.BatchNorm2d(5),
            flat=nn.Flatten(),
            fc=nn.Linear(5 * 4, classes),
        )
    )


@pytest.fixture
def trained():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = small()
        for values in model.state_dict().values():
            if values.is_floating_point():
                values.copy_(torch.rand_like(values))
    return model


def same(model, trained):
    mine, theirs = model.state_dict(), trained.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in theirs)


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def layouts(state):
    optimizer = {"state": {0: {"momentum_buffer": torch.rand(3)}}, "param_groups": [{"lr": 0.1}]}
    old = {name: value for name, value in state.items() if not name.endswith("tracked")}
    return {
        "plain": state,
        "kuangliu": {"net": prefixed(state, "module."), "acc": 95.1, "epoch": 3},
        "imagenet": {"state_dict": prefixed(state, "module."), "optimizer": optimizer, "epoch": 1},
        "model": {"model": state, "args": {"lr": 0.1}},
        "model_state_dict": {"model_state_dict": state, "optimizer_state_dict": optimizer},
        "deep": {"model": {"state_dict": state}, "optimizer": optimizer},
        "main beside ema": {"state_dict": state, "ema": prefixed(state, "wrong.")},
        "ema": {"ema": prefixed(state, "module."), "optimizer": optimizer},
        "last": {"last": state, "epoch": torch.tensor(3)},
        "compiled": prefixed(state, "_orig_mod."),
        "compiled parts": {name.replace("bn.", "bn._orig_mod."): v for name, v in state.items()},
        "compiled and parallel": {"model": prefixed(state, "_orig_mod.module.")},
        "swa": {"n_averaged": torch.tensor(4), **prefixed(state, "module.")},
        "inside another": prefixed(state, "backbone.net."),
        "old PyTorch": old,
        "half": {name: v.half() if v.is_floating_point() else v for name, v in state.items()},
    }


@pytest.mark.parametrize("name", layouts({}))
@pytest.mark.parametrize("legacy", [False, True])
def test_checkpoints_of_every_kind_are_understood(tmp_path, trained, name, legacy):
    if name == "half":
        trained.half().float()
    file = tmp_path / "model.pth"
    found = layouts(trained.state_dict())[name]
    torch.save(found, file, _use_new_zipfile_serialization=not legacy)
    model = small().train()
    assert load_checkpoint(file, model) is model
    assert same(model, trained)
    assert not any(module.training for module in model.modules())
    if name not in ("inside another", "half"):
        state = load_checkpoint(str(file))
        assert set(state) >= {"conv.weight", "bn.running_mean", "fc.bias"}
        assert torch.equal(state["fc.bias"], trained.fc.bias)


@pytest.mark.parametrize("suffix", [".pt", ".th", ".ckpt", ".bin", ".pth.tar"])
def test_suffixes(tmp_path, trained, suffix):
    torch.save(trained.state_dict(), tmp_path / f"a{suffix}")
    assert same(load_checkpoint(tmp_path / f"a{suffix}", small()), trained)


def test_safetensors(tmp_path, trained):
    save_file(prefixed(trained.state_dict(), "module."), tmp_path / "a.safetensors")
    assert same(load_checkpoint(tmp_path / "a.safetensors", small()), trained)
    assert set(load_checkpoint(tmp_path / "a.safetensors")) == set(trained.state_dict())
    with pytest.raises(ModelError, match="weights of one network; expected no key"):
        load_checkpoint(tmp_path / "a.safetensors", key="ema")


def test_one_of_several_networks_is_chosen_by_key(tmp_path, trained):
    other = {name: torch.zeros_like(value) for name, value in trained.state_dict().items()}
    torch.save({"best": trained.state_dict(), "last": other, "epoch": 9}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"several networks, 'best', 'last'; choose with key="):
        load_checkpoint(tmp_path / "a.pt", small())
    assert same(load_checkpoint(tmp_path / "a.pt", small(), key="best"), trained)
    with pytest.raises(
        ModelError, match=r"unknown key 'first' of .*; expected one of 'best', 'last', 'epoch'"
    ):
        load_checkpoint(tmp_path / "a.pt", key="first")
    torch.save({"net": other, "ema": trained.state_dict()}, tmp_path / "b.pt")
    assert same(load_checkpoint(tmp_path / "b.pt", small(), key="ema"), trained)


@pytest.mark.slow
def test_wrapped_models_are_seen_through(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    parallel = nn.DataParallel(small())
    assert load_checkpoint(tmp_path / "a.pt", parallel) is parallel
    assert same(parallel.module, trained)
    compiled = torch.compile(small(), backend="eager")
    load_checkpoint(tmp_path / "a.pt", compiled)
    assert same(compiled._orig_mod, trained)
    outer = Normalized(small(), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    load_checkpoint(tmp_path / "a.pt", outer)
    assert same(outer.model, trained)


def test_a_normalisation_in_the_file_must_be_the_models(tmp_path, trained):
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.2, 0.3])
    robustbench = {"mu": mean.view(1, 3, 1, 1), "sigma": std.view(1, 3, 1, 1)}
    files = {
        "mu": {**robustbench, **trained.state_dict()},
        "sequential": {"0.mean": mean, "0.std": std, **prefixed(trained.state_dict(), "1.")},
        "ours": Normalized(trained, mean.tolist(), std.tolist()).state_dict(),
        "flat": {"mean": mean, "std": std, **prefixed(trained.state_dict(), "model.")},
    }
    for name, state in files.items():
        torch.save(state, tmp_path / f"{name}.pt")
        right = Normalized(small(), mean.tolist(), std.tolist())
        assert same(load_checkpoint(tmp_path / f"{name}.pt", right).model, trained)
        with pytest.raises(ModelError, match=r"use gx.Normalized\(model, \(0.4, 0.5, 0.6\), \(0.2"):
            load_checkpoint(tmp_path / f"{name}.pt", small())
    wrong = Normalized(small(), 0.5, 0.5)
    with pytest.raises(ModelError, match=r"mu \(0.4, 0.5, 0.6\), the model with \(0.5\)"):
        load_checkpoint(tmp_path / "mu.pt", wrong)


def test_misfits_are_named_and_change_nothing(tmp_path, trained):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = trained.state_dict()

    def refused(changed, words):
        torch.save(changed, tmp_path / "a.pt")
        with pytest.raises(ModelError, match=words):
            load_checkpoint(tmp_path / "a.pt", model)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    classes = {**state, "fc.weight": torch.rand(9, 20), "fc.bias": torch.rand(9)}
    refused(classes, r"2 of another shape: fc.weight \(9×20, in the model 4×20\), .* classes")
    less = {name: value for name, value in state.items() if name not in ("conv.weight", "fc.bias")}
    refused(less, "does not fit Sequential: 2 missing in the file: conv.weight, fc.bias; build")
    more = {**state, **{f"extra{i}": torch.rand(2) for i in range(5)}}
    refused(more, "5 not in the model: extra0, extra1, extra2 and 2 more; build")
    refused({"a.weight": torch.rand(2)}, r"7 missing in the file: .* 1 not in the model: a.weight")
    with pytest.raises(ModelError, match=r"expected a torch.nn.Module"):
        load_checkpoint(tmp_path / "a.pt", "resnet18")


# -- files that are refused ----------------------------------------------------------


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_what_runs_code_is_refused_and_does_not_run(tmp_path, trained):
    marker = tmp_path / "marker"
    bad = {"state_dict": trained.state_dict(), "extra": Touch(marker)}
    torch.save(bad, tmp_path / "zip.pt")
    torch.save(bad, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Touch(marker)))
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Touch(marker), protocol=2))
    for name in ("zip.pt", "legacy.pth", "raw.pt", "old.pt"):
        with pytest.raises(
            ModelError, match=r"has to be unpickled.*can run any code that its author put"
        ):
            load_checkpoint(tmp_path / name)
        with pytest.raises(ModelError, match=r"weights_only=False"):
            load_checkpoint(tmp_path / name, small())
    assert not marker.exists()
    pickle.loads((tmp_path / "raw.pt").read_bytes())
    assert marker.exists()  # it would have run


@pytest.mark.slow
def test_the_three_lines_convert_a_file_that_is_trusted(tmp_path, trained):
    """Those of three files, in one process."""
    state = prefixed(trained.state_dict(), "module.")
    wrapped = nn.DataParallel(nn.Sequential(OrderedDict(trained.named_children())))
    found = [
        ({"state_dict": state, "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"net": state, "acc": np.float64(95.1)}, "scalar"),
        ({"model": wrapped}, "DataParallel"),
    ]
    lines = []
    for number, (raw, named) in enumerate(found):
        torch.save(raw, tmp_path / f"{number}.pth.tar")
        with pytest.raises(ModelError) as refusal:
            load_checkpoint(tmp_path / f"{number}.pth.tar")
        assert named in str(refusal.value)
        said = [line.strip() for line in str(refusal.value).splitlines()[1:]]
        assert len(said) == 3
        lines += said
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for number in range(len(found)):
        assert same(load_checkpoint(tmp_path / f"{number}-weights.pt", small()), trained)


def test_damaged_and_other_files_are_refused(tmp_path, trained):
    def half(name):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    torch.save(trained.state_dict(), tmp_path / "zip.pt")
    torch.save(trained.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(trained.state_dict(), tmp_path / "cut.safetensors")
    for name in ("zip.pt", "old.pt", "cut.safetensors"):
        half(name)
    (tmp_path / "empty.pt").touch()
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "page.pth").write_text("<!DOCTYPE html> quota exceeded")
    (tmp_path / "text.pth").write_text("hello world")
    torch.save([trained.fc.bias], tmp_path / "list.pt")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "none.pt")
    torch.save({}, tmp_path / "void.pt")
    (tmp_path / "model.h5").touch()
    (tmp_path / "folder.pt").mkdir()
    words = {
        "zip.pt": "is damaged or not a PyTorch checkpoint",
        "old.pt": "is damaged or not a PyTorch checkpoint",
        "cut.safetensors": "is damaged",
        "empty.pt": "is damaged or not a PyTorch checkpoint",
        "empty.safetensors": "is damaged",
        "page.pth": "not a PyTorch checkpoint",
        "text.pth": "not a PyTorch checkpoint",
        "list.pt": "holds list; expected a state_dict",
        "none.pt": "holds no weights but 'epoch', 'lr'",
        "void.pt": "holds no weights but nothing",
        "model.h5": r"unknown kind of file .* ending in .safetensors or .pt",
        "folder.pt": "there is no file",
        "missing.pt": "there is no file",
        "missing.safetensors": "there is no file",
    }
    for name, expected in words.items():
        with pytest.raises(ModelError, match=expected):
            load_checkpoint(tmp_path / name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_with_the_way_to_convert_it(tmp_path, trained):
    torch.jit.save(torch.jit.script(trained), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"TorchScript archive.*state_dict\(\)"):
        load_checkpoint(tmp_path / "a.pt")


def test_weights_of_a_module(trained):
    assert set(weights_in(trained)) == set(trained.state_dict())


# -- the real ones -------------------------------------------------------------------


@pytest.fixture
def networks(root):
    spec = importlib.util.spec_from_file_location("networks", root / "benchmarks" / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_real_checkpoints_in_their_networks(shared, networks):
    with np.load(shared / "cifar10" / "test.npz") as file:
        x = torch.from_numpy(file["x"][:200]).float() / 255
        y = torch.from_numpy(file["y"][:200]).long()
    robust = load_checkpoint(shared / "triple-wins" / "resnet38.safetensors", networks.ResNet38())
    assert sum(each.numel() for each in robust.parameters()) == 564_122
    plain = load_checkpoint(
        shared / "resnet20" / "resnet20.safetensors",
        Normalized(networks.ResNet20(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
    assert sum(each.numel() for each in plain.parameters()) == 269_722
    with torch.inference_mode():
        assert 0.78 < (robust(x).argmax(1) == y).float().mean() < 0.90
        assert (plain(x).argmax(1) == y).float().mean() > 0.87
        assert torch.equal(plain(x), networks.resnet20()(x))
    with pytest.raises(ModelError, match=r"does not fit ResNet38: \d+ missing in the file"):
        load_checkpoint(shared / "resnet20" / "resnet20.safetensors", networks.ResNet38())
