"""Estimates of jobs: how many plans, how many are known, and how long the rest takes."""

import pytest

import gdws_explorer as gx
from gdws_explorer.network.network import Network
from gdws_explorer.study.job_estimate import estimate_job
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.study_spec import SearchSpec, SweepSpec
from gdws_explorer.study.sweep import Grid


@pytest.fixture(scope="module")
def network(bench):
    return Network(bench.model, bench.example).prepare()


@pytest.fixture
def sources(network, bench):
    return NetworkViews(network, bench.train_data)


@pytest.fixture
def measured(network, bench):
    made = Measurements(network, bench.data, gx.FGSM(0.15))
    made.change(gx.FGSM(0.15), 20)
    return made


def test_bundled_records_count_as_known(network, bench, sources):
    bundled = Measurements(network, bench.data, bench.attack, bench.records)
    plans = [r for r in bundled.records() if r.plan.calibration is None][:3]
    order = SweepSpec(Grid(macs=[r.macs / network.macs for r in plans]))
    known = {r.plan.hash for r in bundled.records()}
    assert estimate_job(order, bundled, sources).known == sum(
        plan.hash in known for plan in order.plans([network])
    )


def test_plans_from_data_are_counted_before_the_images_are_read(measured, sources):
    order = SweepSpec(Grid(macs=2), sources=("weights", "refit", "data"))
    before = estimate_job(order, measured, sources)
    assert (before.total, before.known, before.at_most) == (6, 0, True)
    assert sources.calibrated(gx.FGSM(0.15)) is None, "nothing was read for it"


def test_a_screened_search_counts_a_tenth_of_its_plans_for_the_strong_attack(
    network, bench, sources
):
    records = [r for r in bench.records if r.plan.calibration is None]
    measured = Measurements(network, bench.data, bench.attack, records)
    plain = estimate_job(SearchSpec(evaluations=40), measured, sources)
    screened = SearchSpec(evaluations=40, screen=((gx.FGSM(0.15), None),))
    found = estimate_job(screened, measured, sources)
    assert (found.total, found.known) == (40, 0)
    assert 0 < found.seconds < plain.seconds
    assert found.guess


def test_a_stop_ends_the_count_early(measured, sources):
    spec = SearchSpec(evaluations=40)
    assert estimate_job(spec, measured, sources, lambda: True).known == 0
