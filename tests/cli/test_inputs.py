"""Networks, images and attacks from the options of a command."""

from __future__ import annotations

import argparse
import sys

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.cli.inputs import let_workers_import, make_attack, read_data, read_model

NO_SETTINGS = {"eps": None, "norm": None, "steps": None, "restarts": None, "queries": None}


def model_options(model: str, **given) -> argparse.Namespace:
    return argparse.Namespace(
        **{"model": model, "weights": None, "key": None, "classes": None, **given}
    )


def attack_options(attack: str, **given) -> argparse.Namespace:
    return argparse.Namespace(**{"attack": attack, **NO_SETTINGS, **given})


def test_a_bundled_network_brings_its_bench():
    model, bench = read_model(model_options("digits"))
    assert bench.name == "digits"
    assert model is bench.model
    x, y = read_data(argparse.Namespace(data=None), bench)
    assert (len(x), len(y)) == (360, 360)


def test_a_registered_network_has_no_bench_and_needs_data():
    model, bench = read_model(model_options("cifar:resnet18", classes=3))
    assert bench is None
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    with pytest.raises(gx.DataError, match="needs --data"):
        read_data(argparse.Namespace(data=None), bench)


def test_the_error_of_a_factory_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inputs_test_net.py").write_text("def made():\n    raise KeyError('conv')\n")
    with pytest.raises(gx.ModelError, match=r"^inputs_test_net.py:made cannot be used: 'conv'\.$"):
        read_model(model_options("inputs_test_net.py:made"))
    sys.modules.pop("inputs_test_net", None)


def test_the_radius_is_the_benchs_or_8_of_255():
    assert make_attack(attack_options("fgsm"), None) == gx.FGSM(8 / 255)
    assert make_attack(attack_options("fgsm"), gx.load("digits")) == gx.FGSM(0.15)
    assert make_attack(attack_options("none"), None) is None


def test_a_setting_that_an_attack_does_not_accept_is_refused():
    with pytest.raises(
        gx.DataError, match=r"--steps is for --attack pgd, .*square does not accept"
    ):
        make_attack(attack_options("square", steps=3), None)


def test_workers_find_a_file_beside_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    let_workers_import(f"{tmp_path}/nets.py:made")
    let_workers_import(f"{tmp_path}/nets.py:made")
    assert sys.path.count(str(tmp_path)) == 1
