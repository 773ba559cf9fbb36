"""Which setting the measurements begin in."""

import dataclasses

import pytest

import gdws_explorer as gx
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.utils.sampling import EVALUATION_IMAGES


@pytest.fixture(scope="module")
def network(bench):
    return gx.Network(bench.model, bench.example)


def test_without_images_the_bundled_records_say_the_setting(bench, network):
    measured = Measurements(network, None, None, bench.records)
    assert measured.setting == bench.records[0].setting
    assert measured.attack == bench.attack
    assert len(measured.records()) == len(bench.records)


def test_without_images_records_of_another_network_say_nothing(bench, network):
    other = gx.load("digits-plain")
    measured = Measurements(network, None, bench.attack, other.records)
    assert (measured.n, measured.records()) == (0, ())


def test_images_are_measured_on_as_many_as_the_bundled_records(bench, network):
    fewer = [dataclasses.replace(r, n=100, clean_correct=90, robust_correct=50, clean=0.9,
                                 robust=0.5, seed=3) for r in bench.records]  # fmt: skip
    measured = Measurements(network, bench.data, bench.attack, fewer)
    assert (measured.n, measured.seed) == (100, 3)
    assert len(measured.records()) == len(fewer)


@pytest.mark.parametrize("how", ["other attack", "other images"])
def test_records_of_another_setting_do_not_decide(bench, network, how):
    x, y = bench.data
    data = (1 - x, y) if how == "other images" else (x, y)
    attack = gx.FGSM(0.1) if how == "other attack" else bench.attack
    fewer = [dataclasses.replace(r, n=100) for r in bench.records]
    measured = Measurements(network, data, attack, fewer)
    assert (measured.n, measured.seed) == (min(EVALUATION_IMAGES, len(y)), 0)
    assert measured.records() == ()
