"""CIFAR-10's bench: with its images, wherever they lie, and without."""

import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

import gdws_explorer as gx
from gdws_explorer import bench
from gdws_explorer.bench import cifar10, torchvision_datasets
from gdws_explorer.bench.resources import data_file
from gdws_explorer.errors import DataError
from gdws_explorer.robust import Report
from gdws_explorer.training import Recipe


@pytest.fixture
def folder(tmp_path):
    """A stand-in for the images: 30 in three training files, 20 to test on."""
    random = np.random.default_rng(0)
    for name, n in (("train_0", 10), ("train_1", 12), ("train_2", 8), ("test", 20)):
        x = random.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", x=x, y=(np.arange(n) % 10).astype(np.uint8))
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch, tmp_path):
    monkeypatch.delenv(cifar10.FOLDER, raising=False)
    monkeypatch.setattr(torchvision_datasets, "default_folder", lambda: tmp_path / "cache")


def test_the_network_is_as_its_card_says():
    loaded = bench.load("cifar10")
    card = loaded.card
    assert sum(each.numel() for each in loaded.model.parameters()) == card["parameters"]
    assert loaded.model.model.conv1.out_channels == card["width"]
    assert not any(module.training for module in loaded.model.modules())
    assert data_file("cifar10.safetensors").stat().st_size <= 6_000_000
    stored = safetensors.torch.load_file(data_file("cifar10.safetensors"))
    assert all(each.dtype == torch.float16 for each in stored.values() if each.is_floating_point())
    assert all(each.dtype == torch.float32 for each in loaded.model.parameters())
    measured = card["measured_on_the_10000"]
    report = Report.from_dict({**measured, "clean_mask": None, "robust_mask": None})
    assert report.n == 10_000
    assert report.attack == loaded.attack == gx.PGD(8 / 255, 20)
    assert list(report.robust_interval) == measured["robust_interval"]
    for course in card["courses"].values():
        recipe = Recipe.from_dict(course["recipe"])
        assert recipe.eps == 8 / 255
        assert len(course["history"]) == recipe.epochs


def test_without_images_it_opens_with_what_there_is():
    loaded = gx.load("cifar10")
    assert loaded.data is None
    assert loaded.train_data is None
    assert loaded.example.shape == (1, 3, 32, 32)
    assert loaded.model(loaded.example).shape == (1, 10)


def test_images_are_found_where_they_are_said_to_be(folder, monkeypatch):
    loaded = gx.load("cifar10", root=folder)
    (x, y), (u, v) = loaded.train_data, loaded.data
    assert (x.shape, y.shape) == ((30, 3, 32, 32), (30,))
    assert (u.shape, v.shape) == ((20, 3, 32, 32), (20,))
    with np.load(folder / "train_1.npz") as second:
        assert torch.equal(x[10:22], torch.from_numpy(second["x"]).float() / 255)
    assert torch.equal(loaded.example, u[:1])
    monkeypatch.setenv(cifar10.FOLDER, str(folder))
    assert torch.equal(gx.load("cifar10").data[0], u)


def test_a_folder_without_images_is_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"not complete in .*empty"):
        gx.load("cifar10", root=tmp_path / "empty")
    monkeypatch.setenv(cifar10.FOLDER, str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"not complete in .*gone"):
        gx.load("cifar10")


def test_other_images_are_refused(tmp_path):
    for name in ("train_0", "test"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((4, 3, 8, 8), np.uint8), y=np.arange(4))
    with pytest.raises(DataError, match=r"has images \(3, 8, 8\).*expected CIFAR-10"):
        gx.load("cifar10", root=tmp_path)


@pytest.mark.parametrize("how", [{"root": "/tmp"}, {"download": True}])
def test_the_digits_are_bundled(how):
    with pytest.raises(DataError, match="images of digits are bundled"):
        gx.load("digits", **how)


def test_empty_networks_come_in_widths_and_draw_no_random_number():
    state = torch.get_rng_state()
    wide, narrow = cifar10.untrained(32), cifar10.untrained()
    assert torch.equal(state, torch.get_rng_state())
    assert wide.model.conv1.out_channels == 32
    assert sum(each.numel() for each in narrow.parameters()) == 701_018
    assert torch.equal(narrow.model.conv1.weight, cifar10.untrained().model.conv1.weight)


def test_shrunk_images_stay_images():
    torch.manual_seed(0)
    small = cifar10.downscaled(torch.rand(5, 3, 32, 32).round())
    assert small.shape == (5, 3, 24, 24)
    assert small.min() >= 0
    assert small.max() <= 1


def test_the_recipes_can_be_read_back():
    for recipe in cifar10.COURSES.values():
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.slow
def test_the_command_trains_measures_and_goes_on(folder, tmp_path, root):
    # torch 2.13's backward pass corrupts memory with 2 or 4 channels on some processors.
    out = tmp_path / "out"

    def command():
        return subprocess.run(
            [
                sys.executable, root / "benchmarks" / "make_cifar10.py", "--data", folder,
                "--run", tmp_path / "run", "--out", out, "--width", "8", "--epochs", "1",
                "--threads", "1",
            ],
            check=True, capture_output=True, text=True, cwd=root,
        ).stdout  # fmt: skip

    first = command()
    weights = (out / "cifar10.safetensors").read_bytes()
    card = json.loads((out / "cifar10.json").read_text(encoding="utf-8"))
    assert card["width"] == 8
    assert card["measured_on_the_10000"]["n"] == 20
    assert [len(course["history"]) for course in card["courses"].values()] == [1] * len(
        cifar10.COURSES
    )
    again = command()  # all is there: nothing is trained or measured again
    assert (out / "cifar10.safetensors").read_bytes() == weights
    assert first.splitlines()[-1] == again.splitlines()[-1]
    assert [line for line in first.splitlines() if "Entry" in line] == [
        line for line in again.splitlines() if "Entry" in line
    ]
