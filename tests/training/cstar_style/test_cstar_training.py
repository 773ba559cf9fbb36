"""CSTAR-style training: exact budgets and ranks, a front shared with the parent, killed runs."""

import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, Cancelled, DataError, TrainingError
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense, Tucker2
from gdws_explorer.robust import PGD, evaluate
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.training import Recipe, cstar, finetune
from gdws_explorer.training.callbacks import EpochInfo
from gdws_explorer.training.cstar_style.admm import Admm
from gdws_explorer.training.cstar_style.cstar_training import (
    factor_recipe,
    factors_checkpoint,
    penalty_weights,
)
from gdws_explorer.training.cstar_style.projection import project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule

RECIPE = Recipe("pgd", epochs=4, lr=0.05, batch_size=16, eps=0.1, steps=2)


def make(seed=0, width=10):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4),
        ).eval()  # fmt: skip


@pytest.fixture
def parent(data):
    return Network(make(), data[0])


def weights(model):
    return {name: each.clone() for name, each in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


# -- the whole of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["tucker2", "gdws"])
@pytest.mark.parametrize("budget", [{"ratio": 3}, {"macs": 0.5}])
def test_the_result_is_a_smaller_network_within_its_budget(parent, data, family, budget):
    small = cstar(parent, data, RECIPE, family=family, rho=(0.1, 2.0), **budget)
    summary = small.network.summary(small.plan)
    assert summary.params == sum(p.numel() for p in small.model.parameters())
    if "ratio" in budget:
        assert summary.params <= parent.params / 3
    else:
        assert summary.macs <= 0.5 * parent.macs
    assert summary.relative_error < 1e-9
    with torch.no_grad():
        again = small.network.build(small.plan)(data[0])
        torch.testing.assert_close(again, small.model(data[0]), atol=1e-4, rtol=1e-4)
        dense = small.network.model(data[0])
        torch.testing.assert_close(dense, small.model(data[0]), atol=1e-4, rtol=1e-4)
    assert not small.model.training


@pytest.mark.slow
def test_training_brings_the_kernels_to_exact_ranks(parent, data):
    recipe = replace(RECIPE, epochs=30, batch_size=8, momentum=0.5)
    small = cstar(parent, data, recipe, ratio=3, rho=(1.0, 8.0), tuning=replace(RECIPE, epochs=1))
    rounds = small.rounds
    assert rounds.ranks.shape == (31, 2, 2)
    assert rounds.residual.shape == (31, 2)
    moved = small.rounds.ranks[-1].any(axis=1)
    assert (rounds.residual[0][moved] > 0.2).all()
    assert (rounds.residual[-1] < 0.02).all()
    assert (rounds.cost <= parent.params / 3).all()
    for name, choice in small.plan:
        kernel = small.network.model.get_submodule(name).weight
        if isinstance(choice, Tucker2):
            assert _rank(kernel.flatten(1)) <= choice.r_out
            assert _rank(kernel.transpose(0, 1).flatten(1)) <= choice.r_in
            module = small.model.get_submodule(name)
            assert isinstance(module, Tucker2Conv2d)
            assert module.core.weight.shape[:2] == (choice.r_out, choice.r_in)
    assert any(isinstance(choice, Tucker2) for _, choice in small.plan)
    assert len(small.low_rank) == 30
    assert len(small.entries) == 1


def _rank(matrix):
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=1e-5))


def test_it_is_measured_and_drawn_on_the_parents_front(parent, data):
    small = cstar(parent, data, RECIPE, ratio=3)
    attack = PGD(0.1, 2)
    measured = Measurements(parent, data, attack)
    dense = measured.task(parent.plan(), parent)(lambda _: None, lambda: False)
    record = measured.task(small.plan, small.network, small.parent)(lambda _: None, lambda: False)
    assert record.setting == dense.setting == measured.setting
    assert measured.records() == (dense, record)
    assert record.plan.trained
    assert record.parent == dense.plan.hash
    assert record.params < dense.params / 3 + 1
    report = evaluate(small.model, data, attack)
    assert abs(report.clean_correct - record.clean_correct) <= 1
    assert abs(report.robust_correct - record.robust_correct) <= 1


def test_it_opens_as_a_network_of_its_own(parent, data):
    small = cstar(parent, data, RECIPE, ratio=3)
    own = Network(small.network.model, data[0])
    plan = own.plan(dict(small.plan))
    assert own.fingerprint != parent.fingerprint
    assert own.summary(plan).relative_error < 1e-9
    with torch.no_grad():
        again = own.build(plan)(data[0])
        torch.testing.assert_close(again, small.model(data[0]), atol=1e-4, rtol=1e-4)


def test_the_network_and_torchs_randomness_stay_as_they_are(parent, data):
    model = make()
    before, state = weights(model), torch.get_rng_state()
    small = cstar(model, data, RECIPE, ratio=3)
    assert equal(before, weights(model))
    assert torch.equal(state, torch.get_rng_state())
    assert small.plan.fingerprint == parent.fingerprint
    again = cstar(parent, data, RECIPE, ratio=3, device="cpu")
    assert again.plan == small.plan
    assert equal(weights(small.model), weights(again.model))


@pytest.mark.slow
def test_rules_and_losses_are_a_choice(parent, data):
    plans = {
        cstar(parent, data, recipe, ratio=3, rule=rule).plan.hash
        for recipe in (RECIPE, replace(RECIPE, method="trades"))
        for rule in (RankRule(), RankRule("raw", by_cost=False))
    }
    assert len(plans) == 4


def test_progress_runs_through_both_phases(parent, data):
    seen = []
    cstar(parent, data, RECIPE, ratio=3, progress=lambda done, moment: seen.append((done, moment)))
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert [m.phase for _, m in seen] == ["low rank"] * 12 + ["factors"] * 6
    assert [len(m.rounds.cost) for _, m in seen] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [5] * 6


def test_held_out_images_are_for_the_factors(parent, data):
    seen = []

    def note(x):
        seen.append(x)
        return x

    recipe = replace(RECIPE, epochs=6, validation=0.25, average=0.9)
    small = cstar(parent, data, recipe, ratio=3, augment=note)
    learned = {each.numpy().tobytes() for x in seen for each in x}
    assert len(learned) == 36
    assert all(entry.validation is None for entry in small.low_rank)
    assert all(entry.validation.n == 12 for entry in small.entries)


# -- killed, cancelled, gone wrong ---------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 7, 12, 14])
def test_a_killed_run_goes_on_to_the_same_weights(parent, data, tmp_path, steps):
    whole = cstar(parent, data, RECIPE, ratio=3, rho=(0.05, 1.0))
    file = tmp_path / "run.safetensors"
    left = [steps]

    def kill(_done, _moment):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    options = {"ratio": 3, "rho": (0.05, 1.0), "checkpoint": file}
    with pytest.raises(KeyboardInterrupt):
        cstar(parent, data, RECIPE, progress=kill, **options)
    seen = []
    again = cstar(parent, data, RECIPE, progress=lambda done, _: seen.append(done), **options)
    assert len(seen) == 18 - steps // 3 * 3
    assert again.plan == whole.plan
    assert equal(weights(again.model), weights(whole.model))
    assert (again.rounds.ranks == whole.rounds.ranks).all()
    assert (again.rounds.residual == whole.rounds.residual).all()
    assert factors_checkpoint(file).exists()


def test_cancel_stops_it(parent, data):
    stop = threading.Event()
    with pytest.raises(Cancelled):
        cstar(parent, data, RECIPE, ratio=3, cancel=stop, progress=lambda *_: stop.set())


@pytest.mark.parametrize(
    "other",
    [{"ratio": 4}, {"rho": (0.1, 0.2)}, {"rule": RankRule("raw")}, {"family": "gdws"},
     {"network": make(seed=1)}],
)  # fmt: skip
def test_another_runs_checkpoint_is_refused_and_kept(parent, data, tmp_path, other):
    file = tmp_path / "run.safetensors"
    options = {"network": parent, "ratio": 3, "checkpoint": file}
    cstar(data=data, recipe=RECIPE, **options)
    before = file.read_bytes(), factors_checkpoint(file).read_bytes()
    with pytest.raises(TrainingError, match="belongs to another training"):
        cstar(data=data, recipe=RECIPE, **{**options, **other})
    assert (file.read_bytes(), factors_checkpoint(file).read_bytes()) == before


def test_a_loss_that_is_no_number_says_where_and_keeps_the_last_epoch(parent, data, tmp_path):
    file = tmp_path / "run.safetensors"
    cstar(parent, data, RECIPE, ratio=3, checkpoint=file)
    with pytest.raises(TrainingError, match=r"at step \d+ of|in epoch \d+"):
        cstar(parent, data, replace(RECIPE, lr=1e6), ratio=3, checkpoint=tmp_path / "other")


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"ratio": 1}, BudgetError, "ratio is 1"),
        ({"ratio": 1000}, BudgetError, r"cannot be reached.*ask for params="),
        ({}, BudgetError, "no budget given"),
        ({"ratio": 3, "macs": 0.5}, BudgetError, "exactly one"),
        ({"ratio": 3, "family": "svd"}, BudgetError, "family is 'svd'"),
        ({"ratio": 3, "rho": (0, 1)}, DataError, "two positive numbers"),
        ({"ratio": 3, "rho": 0.1}, DataError, "two positive numbers"),
    ],
)
def test_what_cannot_be_asked_for(parent, data, wrong, error, words):
    with pytest.raises(error, match=words):
        cstar(parent, data, RECIPE, **wrong)


def test_schedules():
    assert penalty_weights((0.01, 1.0), 3) == pytest.approx([0.01, 0.1, 1.0])
    assert penalty_weights((0.5, 1.0), 1) == [0.5]
    assert factor_recipe(RECIPE).epochs == 2
    assert factor_recipe(RECIPE).lr < RECIPE.lr


# -- alternating directions -----------------------------------------------------------------------


def moved(model, by, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += by * torch.randn(parameter.shape, generator=generator)
    return model


def epoch(model):
    return EpochInfo(1, 4, model, model, None)


def test_the_penalty_and_its_updates_are_admms(parent):
    budget, model = RankBudget.of(parent, ratio=3), make()
    admm = Admm(model, budget, RankRule(), [0.2, 0.8, 0.8])
    z = project({n: model.get_submodule(n).weight for n in budget.layers}, budget).kernels
    u = {name: torch.zeros_like(each) for name, each in z.items()}
    for before, after in ((0.2, 0.8), (0.8, 0.8)):
        moved(model, 0.1)
        w = {name: model.get_submodule(name).weight for name in budget.layers}
        held = [name for name, choice in admm.choices.items() if choice != Dense()]
        wanted = before / 2 * sum((w[n] - z[n] + u[n]).square().sum() for n in held)
        torch.testing.assert_close(admm.penalty(model), wanted)
        model.zero_grad()
        admm.penalty(model).backward()
        for name in held:
            torch.testing.assert_close(
                w[name].grad, before * (w[name] - z[name] + u[name]).detach()
            )
        admm.after_epoch(epoch(model))
        made = project({n: (w[n] + u[n]).detach() for n in w}, budget)
        assert admm.choices == made.choices
        z = made.kernels
        u = {n: (before / after * (u[n] + w[n] - z[n])).detach() for n in w}
        for n, residual in zip(w, admm.rounds.residual[-1], strict=True):
            assert residual == pytest.approx(
                float(((w[n] - z[n]).norm() / w[n].norm()).detach()), rel=1e-5
            )
    assert admm.rounds.rho.tolist() == [0.0, 0.2, 0.8]


def test_its_state_comes_back(parent):
    budget, model = RankBudget.of(parent, "gdws", ratio=3), make()
    rhos = [0.1, 0.2, 0.4]
    admm, again = (Admm(model, budget, RankRule(), rhos) for _ in range(2))
    admm.after_epoch(epoch(moved(model, 0.1)))
    again.restore({name: each.clone() for name, each in admm.capture().items()})
    moved(model, 0.1, seed=2)
    assert torch.equal(admm.penalty(model), again.penalty(model))
    for each in (admm, again):
        each.after_epoch(epoch(model))
    assert admm.rounds.to_dict() == again.rounds.to_dict()
    assert equal(admm.capture(), again.capture())


def test_a_layer_that_stays_dense_is_not_held_back(parent):
    model = make()
    admm = Admm(model, RankBudget.of(parent, params=1.0), RankRule(), [1.0])
    assert set(admm.choices.values()) == {Dense()}
    assert float(admm.penalty(moved(model, 0.1))) == 0
    assert not admm.rounds.ranks.any()


# -- fine-tuning any plan -----------------------------------------------------------------------


def test_any_plan_can_be_trained_further(parent, data):
    plans = [
        parent.budget(params=0.5),
        parent.budget(params=0.4, families=["gdws"]),
        parent.budget(params=0.5, families=["svd"]),
        parent.plan(),
    ]
    for plan in plans:
        found = finetune(parent, plan, data, RECIPE)
        assert found.parent == plan.hash
        assert found.plan != plan
        assert found.plan.trained
        assert [type(c) for _, c in found.plan] == [type(c) for _, c in plan]
        before, after = parent.summary(plan), found.network.summary(found.plan)
        assert (after.params, after.macs) == (before.params, before.macs)
        again = found.network.build(found.plan)
        with torch.no_grad():
            torch.testing.assert_close(again(data[0]), found.model(data[0]), atol=1e-4, rtol=1e-3)
        assert evaluate(found.model, data).clean >= evaluate(parent.build(plan), data).clean
        assert len(found.entries) == RECIPE.epochs


def test_plans_of_every_source_can_be_trained(parent, data, tmp_path):
    x = data[0]
    calibrated = parent.calibrated(parent.calibrate(x, n=16), refit=x)
    for network in (parent.refitted(x), calibrated):
        plan = network.budget(params=0.5, families=["gdws"])
        first = finetune(network, plan, data, RECIPE, checkpoint=tmp_path / network.label)
        assert first.plan.fingerprint == parent.fingerprint
        second = finetune(first.network, first.plan, data, RECIPE)
        assert second.parent == first.plan.hash
        assert second.plan.fingerprint == parent.fingerprint
        assert second.plan.calibration != first.plan.calibration


def test_trained_counts_are_kept_where_energy_would_choose_others(data):
    model = make(width=8)
    parent = Network(model, data[0])
    counts = (8, 0, 1, 0, 0, 3, 0, 0)
    plan = parent.plan({"5": GDWS(12, counts)})
    found = finetune(parent, plan, data, RECIPE)
    assert tuple(found.network.counts("5", found.plan["5"]).tolist()) == counts


def test_finetune_leaves_the_network_as_it_is(data):
    model = make()
    before = weights(model)
    parent = Network(model, data[0])
    finetune(model, parent.plan(), data, RECIPE)
    assert equal(before, weights(model))
