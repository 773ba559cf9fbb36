import dataclasses
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import safetensors.torch
import torch

from gdws_explorer import bench
from gdws_explorer.bench import digits as recipe
from gdws_explorer.bench.resources import data_file
from gdws_explorer.errors import Cancelled, DataError
from gdws_explorer.robust import PGD, Report, evaluate


def test_images_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    selection = pytest.importorskip("sklearn.model_selection")
    theirs = datasets.load_digits()
    with np.load(data_file("digits.npz")) as ours:
        assert np.array_equal(ours["images"], theirs.images)
        assert np.array_equal(ours["labels"], theirs.target)
        train, test = selection.train_test_split(
            np.arange(1797), test_size=360, stratify=theirs.target, random_state=0
        )
        assert np.array_equal(ours["train"], np.sort(train))
        assert np.array_equal(ours["test"], np.sort(test))


def test_the_split_is_stratified_and_covers_everything():
    (x, y), (u, v) = recipe.load_images()
    assert (x.shape, u.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert float(x.min()) == float(u.min()) == 0
    assert float(x.max()) == float(u.max()) == 1
    share = torch.cat([y, v]).bincount() * 360 / 1797
    assert (v.bincount() - share).abs().max() < 1
    with np.load(data_file("digits.npz")) as stored:
        both = np.concatenate([stored["train"], stored["test"]])
    assert np.array_equal(np.sort(both), np.arange(1797))


@pytest.mark.parametrize("name", ["digits", "digits-plain"])
def test_bench_is_complete(name):
    loaded = bench.load(name)
    assert loaded.name == name
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.example.shape == (1, 1, 8, 8)
    assert loaded.model(loaded.example).shape == (1, 10)
    assert loaded.attack == PGD(0.15, steps=20)
    count = sum(each.numel() for each in loaded.model.parameters())
    assert 280_000 < count < 300_000
    assert loaded.card["parameters"] == count
    convs = [each for each in loaded.model.modules() if isinstance(each, torch.nn.Conv2d)]
    assert len(convs) >= 6
    assert all(each.kernel_size == (3, 3) for each in convs)
    assert any(each.stride != (1, 1) for each in convs)
    assert all(each.dtype == torch.float32 for each in loaded.model.parameters())
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.name = "mine"


def test_every_load_is_a_new_model_and_draws_no_random_number():
    state = torch.get_rng_state()
    first, second = bench.load("digits").model, bench.load("digits").model
    assert torch.equal(state, torch.get_rng_state())
    first.conv1.weight.data.zero_()
    assert second.conv1.weight.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "clean", "low", "high"), [("digits", 0.98, 0.87, 1), ("digits-plain", 0.98, 0, 0.4)]
)
def test_bundled_networks_reach_their_figures(name, clean, low, high):
    loaded = bench.load(name)
    report = evaluate(loaded.model, loaded.data, loaded.attack)
    assert report.n == 360
    assert report.clean >= clean
    assert low <= report.robust <= high
    # The card says the same; another processor's rounding may turn a verdict or two.
    card = loaded.card["measured_on_the_360"]
    assert abs(card["clean_correct"] - report.clean_correct) <= 2
    assert abs(card["robust_correct"] - report.robust_correct) <= 4
    assert Report.from_dict(card).attack == loaded.attack


@pytest.mark.parametrize("name", ["digits", "digits-plain"])
def test_stored_records_were_measured_on_this_bench(name):
    loaded = bench.load(name)
    assert len(loaded.records) >= 30
    assert {record.n for record in loaded.records} == {360}
    assert len({record.plan.hash for record in loaded.records}) == len(loaded.records)
    assert len({record.setting.key for record in loaded.records}) == 1
    assert all(record.attack == loaded.attack.to_dict() for record in loaded.records)
    shares = [record.macs / max(each.macs for each in loaded.records) for record in loaded.records]
    assert min(shares) < 0.2
    dense = next(record for record in loaded.records if str(record.plan) == "all layers dense")
    assert dense.robust_correct == loaded.card["measured_on_the_360"]["robust_correct"]


def test_unknown_name_says_what_exists():
    with pytest.raises(DataError, match="'cifar'; expected one of digits, digits-plain, cifar10"):
        bench.load("cifar")
    assert bench.names() == ("digits", "digits-plain", "cifar10")


@pytest.mark.slow
def test_loading_needs_no_scikit_learn(root):
    code = (
        "import sys; sys.modules['sklearn'] = None; from gdws_explorer import bench;"
        "bench.load('digits'); sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 3


def test_missing_file_is_named():
    with pytest.raises(DataError, match=r"letters\.npz is missing; install"):
        data_file("letters.npz")


def test_wobble_moves_a_little():
    _, (x, _) = recipe.load_images()
    torch.manual_seed(0)
    moved = recipe.random_affine(x)
    assert moved.shape == x.shape
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert 0.01 < (moved - x).abs().mean() < 0.2
    still = recipe.random_affine(x, shift=0, degrees=0, scale=0)
    assert torch.allclose(still, x, atol=1e-5)


@pytest.mark.slow
def test_training_again_writes_weights_and_card(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "RECIPE", {**recipe.RECIPE, "epochs": 1})
    told = []
    threads = torch.get_num_threads()
    report = recipe.train_digits(out=tmp_path, progress=lambda *what: told.append(what))
    assert torch.get_num_threads() == threads
    assert len(told) == 22
    assert told[-1][0] == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["digits.json", "digits.safetensors"]
    card = json.loads((tmp_path / "digits.json").read_text(encoding="utf-8"))
    assert card["measured_on_the_360"]["clean_correct"] == report.clean_correct
    assert card["recipe"]["epochs"] == 1
    again = recipe.untrained(1)
    again.load_state_dict(safetensors.torch.load_file(tmp_path / "digits.safetensors"))
    assert evaluate(again.eval(), recipe.load_images()[1]).clean_correct == report.clean_correct


def test_cancelled_training_writes_nothing(tmp_path):
    stop = threading.Event()
    with pytest.raises(Cancelled):
        recipe.train_digits(out=tmp_path, progress=lambda *_: stop.set(), cancel=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_recipe_makes_these_weights_again(tmp_path):
    """The quick twin's recipe, from the first to the last step."""
    recipe.train_digits(plain=True, out=tmp_path)
    made = safetensors.torch.load_file(tmp_path / "digits-plain.safetensors")
    stored = safetensors.torch.load_file(data_file("digits-plain.safetensors"))
    # On the processor that made them they are equal to the bit; others round differently.
    assert made.keys() == stored.keys()
    card = json.loads((tmp_path / "digits-plain.json").read_text(encoding="utf-8"))
    assert card["measured_on_the_360"]["clean"] >= 0.98
