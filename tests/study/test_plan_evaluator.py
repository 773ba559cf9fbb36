import pickle

import pytest
import torch

from gdws_explorer.errors import DataError, PlanError
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.robust import FGSM, evaluate
from gdws_explorer.study.plan_evaluator import PlanEvaluator


def test_it_measures_what_evaluate_measures(evaluator, network, images):
    plan = network.plan({"2": GDWS(9)})
    record = evaluator.measure(plan, parent="p" * 16)
    report = evaluate(network.build(plan), images, FGSM(0.1), n=40)
    assert (record.clean_correct, record.robust_correct) == (
        report.clean_correct, report.robust_correct,
    )  # fmt: skip
    assert record.setting == evaluator.setting
    assert (record.macs, record.parent) == (network.summary(plan).macs, "p" * 16)


def test_it_travels_with_every_view_and_without_tables(network, images, alike):
    calibrated = network.calibrated(network.calibrate(images[0], n=None), refit=images[0])
    refitted = network.refitted(images[0])
    evaluator = PlanEvaluator((network.prepare(), calibrated, refitted), images, None, 20, seed=3)
    parcel = pickle.dumps(evaluator)
    other = pickle.loads(parcel)
    assert other.setting == evaluator.setting
    assert [one.label for one in other.networks] == [one.label for one in evaluator.networks]
    for view in evaluator.networks:
        plan = view.budget(macs=0.6)
        assert alike(other.measure(plan, view.summary(plan))) == alike(evaluator.measure(plan))


def test_plans_from_elsewhere_and_wrong_counts_are_refused(evaluator, network, images):
    stranger = network.refitted(images[0] / 2).plan()
    with pytest.raises(PlanError, match="not available here"):
        evaluator.measure(stranger)
    for n in (0, 41):
        with pytest.raises(DataError, match=f"n is {n}; expected 1 to 40"):
            PlanEvaluator((network,), images, None, n)


def test_progress_ends_at_one_and_cancel_stops(evaluator, network):
    seen = []
    evaluator.measure(network.plan(), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(Exception, match="stopped"):
        evaluator.measure(network.plan(), cancel=lambda: True)


def test_the_model_is_not_changed(evaluator, network):
    before = {key: value.clone() for key, value in network.model.state_dict().items()}
    evaluator.measure(network.plan({"2": GDWS(9)}))
    assert all(torch.equal(before[key], v) for key, v in network.model.state_dict().items())
