"""Measurements: one setting on the front, the others when asked for, and nothing lost."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.robust.attacks import FGSM
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.storage.store import Store


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2)
    )
    return gx.Network(model, torch.zeros(1, 1, 8, 8), skip=())


@pytest.fixture
def data():
    return torch.rand(12, 1, 8, 8), torch.arange(12) % 2


@pytest.fixture
def mine(record, network, data):
    """Make a record of this network, on these images unless others are named."""

    def make(G, **changed):
        usual = {
            "fingerprint": network.fingerprint, "data": data_fingerprint(*data), "n": 12,
            "clean": 9, "robust": 5, "attack": FGSM(0.1).to_dict(),
        }  # fmt: skip
        return record(G, **{**usual, **changed})

    return make


def run(measured, network, plan):
    return measured.task(plan, network)(lambda fraction: None, lambda: False)


def test_settings_are_listed_and_switched_but_never_mixed(network, data, mine):
    store = Store()
    bundled = (mine(1), mine(2, seed=3))
    away = mine(5, data="0123456789abcdef")
    store.extend([mine(3), mine(4, attack=None, robust=None), away, mine(6, fingerprint="e" * 64)])
    measured = Measurements(network, data, FGSM(0.1), bundled, store)
    assert measured.records() == (mine(1), mine(3))
    assert [(one.measured, one.label) for one in measured.settings()] == [
        (2, "FGSM ℓ∞ ε 0.1 · n 12 · seed 0"),
        (1, "FGSM ℓ∞ ε 0.1 · n 12 · seed 3"),
        (1, "no attack · n 12 · seed 0"),
        (1, "FGSM ℓ∞ ε 0.1 · n 12 · seed 0 · other images (01234567)"),
    ]
    assert measured.others() == 3
    _, seeded, clean, images = (one.setting for one in measured.settings())
    measured.show(seeded)
    assert (measured.seed, measured.records()) == (3, (mine(2, seed=3),))
    measured.show(clean)
    assert (measured.attack, measured.seed) == (None, 0)
    assert measured.records() == (mine(4, attack=None, robust=None),)
    measured.show(images)  # can be looked at; nothing here is measured on them
    assert measured.shown == images
    assert measured.records(measured.shown) == (away,)
    assert measured.records() == (mine(4, attack=None, robust=None),)
    measured.change(FGSM(0.1), 12)
    assert measured.shown == measured.setting
    with pytest.raises(DataError, match=r"of network e{12}…, this one is"):
        measured.show(mine(1, fingerprint="e" * 64).setting)


def test_an_empty_setting_is_listed_with_none(network, data):
    measured = Measurements(network, data, AttackSequence((FGSM(0.1), gx.PGD(0.1))))
    (only,) = measured.settings()
    assert (only.measured, only.setting) == (0, measured.setting)
    assert "then PGD-20" in only.label


def test_records_of_another_program_appear(network, data, mine, tmp_path):
    path = tmp_path / "study.db"
    measured = Measurements(network, data, FGSM(0.1), store=Store(path))
    assert measured.records() == ()
    other = Store(path)
    other.add(mine(1))
    assert measured.records() == (mine(1),)
    assert measured.of(mine(1).plan) == mine(1)
    assert measured.of(mine(2).plan) is None
    other.close()
    measured.close()


def test_moves_look_nothing_up(network, data, mine, monkeypatch):
    store = Store()
    measured = Measurements(network, data, FGSM(0.1), store=store)
    store.add(mine(1))
    asked = []
    records = store.records
    monkeypatch.setattr(store, "records", lambda *a: asked.append(1) or records(*a))
    for _ in range(3):
        assert measured.records() == (mine(1),)
        assert measured.of(mine(1).plan) is not None
    assert len(asked) == 1
    store.add(mine(2))
    assert len(measured.records()) == 2


def test_what_is_measured_has_verdicts_and_times(network, data):
    measured = Measurements(network, data, FGSM(0.1))
    plan = network.budget(macs=0.5)
    first, second = run(measured, network, network.plan()), run(measured, network, plan)
    assert len(first.robust_mask) == 4
    assert first.timings["build s"] > 0
    paired = gx.compare(first, second)
    assert paired.n == 12
    assert paired.difference == pytest.approx(second.robust - first.robust)


def test_a_measurement_that_cannot_be_kept_is_not_lost(network, data, monkeypatch):
    store = Store()
    measured = Measurements(network, data, None, store=store)

    def refuse(*_, **__):
        raise RuntimeError("of another version")

    monkeypatch.setattr(store._base.storage, "create_new_trial", refuse)
    with pytest.raises(ExplorerError, match="1 record waits in memory"):
        run(measured, network, network.plan())
    assert measured.of(network.plan()) is not None
    monkeypatch.undo()
    run(measured, network, network.budget(macs=0.5))
    assert len(store) == len(measured.records()) == 2
    assert store.counts() == {measured.setting: 2}
