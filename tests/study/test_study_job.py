"""Orders: what they will take, and their runs, on a small network and a weak attack."""

import threading
from dataclasses import replace

import pytest

import gdws_explorer as gx
from gdws_explorer.network.network import Network
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.study.study_job import SearchSpec, StudyJob, SweepSpec, estimate_job
from gdws_explorer.study.sweep import Grid
from gdws_explorer.utils.provenance import machine

BETAS = SweepSpec(Grid(beta=4))


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


def _run(order, measured, sources, **given):
    errand = StudyJob(order, measured, sources, **given)
    errand.work(lambda fraction: None, lambda: False)
    return errand


def test_a_sweep_measures_what_was_expected_and_nothing_twice(measured, sources):
    before = estimate_job(BETAS, measured, sources)
    assert (before.total, before.known, before.at_most) == (4, 0, False)
    arrived = []
    errand = _run(BETAS, measured, sources, arrived=arrived.append)
    assert tuple(arrived) == measured.records()
    assert len(arrived) == 4
    grown = errand.growth
    assert len(grown) == 4
    assert (grown[1:] >= grown[:-1]).all()
    after = estimate_job(BETAS, measured, sources)
    assert (after.total, after.known, after.seconds) == (4, 4, 0.0)
    again = _run(BETAS, measured, sources)
    assert again.progress.measured == 0
    assert again.progress.known == 4
    assert estimate_job(SweepSpec(Grid(beta=4, macs=3)), measured, sources).known == 4


def test_bundled_records_count_as_known(network, bench, sources):
    bundled = Measurements(network, bench.data, bench.attack, bench.records)
    plans = [r for r in bundled.records() if r.plan.calibration is None][:3]
    order = SweepSpec(Grid(macs=[r.macs / network.macs for r in plans]))
    known = {r.plan.hash for r in bundled.records()}
    assert estimate_job(order, bundled, sources).known == sum(
        plan.hash in known for plan in order.plans([network])
    )


def test_a_search_that_was_interrupted_knows_what_it_has(measured, sources):
    order = SearchSpec(evaluations=6, constraints={"macs": 0.8})
    stop = threading.Event()

    def arrived(_record):
        if len(measured.records()) == 3:
            stop.set()

    errand = StudyJob(order, measured, sources, arrived=arrived)
    with pytest.raises(gx.Cancelled):
        errand.work(lambda fraction: None, stop.is_set)
    assert len(measured.records()) == 3
    left = estimate_job(order, measured, sources)
    assert (left.total, left.known, left.at_most) == (6, 3, True)
    _run(order, measured, sources)
    assert len(measured.records()) == 6
    assert estimate_job(order, measured, sources).known == 6


def test_screening_spends_the_strong_attack_on_the_front_only(measured, sources):
    weak, strong = gx.FGSM(0.15), gx.PGD(0.15, steps=3)
    measured.change(strong, 20)
    errand = _run(SearchSpec(evaluations=6, screen=weak), measured, sources)
    assert len(errand.records) == 6
    assert {r.attack["name"] for r in errand.records} == {"FGSM"}
    front = errand.aim.front(errand.records)
    assert {r.plan for r in measured.records()} == {r.plan for r in front}
    assert all(r.attack["name"] == "PGD" for r in measured.records())


def test_one_plan_of_an_order(measured, sources):
    _run(BETAS, measured, sources, limit=1)
    _run(BETAS, measured, sources, limit=1)
    assert len(measured.records()) == 2


def test_plans_from_data_are_counted_before_the_images_are_read(measured, sources):
    order = SweepSpec(Grid(macs=2), sources=("weights", "refit", "data"))
    before = estimate_job(order, measured, sources)
    assert (before.total, before.known, before.at_most) == (6, 0, True)
    assert sources.calibrated(gx.FGSM(0.15)) is None, "nothing was read for it"


def test_a_pause_holds_the_next_plan_back(measured, sources):
    third = threading.Event()

    def arrived(_record):
        if len(errand.records) == 2:
            errand.pause()
            third.set()

    errand = StudyJob(BETAS, measured, sources, arrived=arrived)
    thread = threading.Thread(
        target=errand.work, args=(lambda fraction: None, lambda: False), daemon=True
    )
    thread.start()
    assert third.wait(60)
    assert errand.paused
    assert len(measured.records()) == 2
    errand.resume()
    thread.join(60)
    assert len(measured.records()) == 4


def test_somebody_who_measures_beside_a_sweep_changes_nothing(measured, sources, network):
    """Torch's random numbers are the process's; `network.randomness` gives them out in turns."""
    measured.change(gx.PGD(0.15, steps=2, restarts=2), 20)
    evaluation = measured.task(network.plan(), network)
    before = evaluation(lambda part: None, lambda: False)
    thread = threading.Thread(target=_run, args=(BETAS, measured, sources))
    thread.start()
    beside = evaluation(lambda part: None, lambda: False)
    thread.join(60)
    assert beside.robust_mask == before.robust_mask
    assert len(measured.records()) == 5


def test_how_long_comes_from_the_latest_records(network, bench):
    nothing = Measurements(network, bench.data, bench.attack)
    assert measured_pace(nothing).seconds is None
    spent = [4.0, 1.0, 3.0]
    records = [
        replace(r, seconds=s, timings={"build s": 0.5}, created=f"2026-01-0{i + 1}T00:00:00+00:00")
        for i, (r, s) in enumerate(zip(bench.records, spent, strict=False))
    ]
    mine = [replace(r, machine=machine()) for r in records]
    here = Measurements(network, bench.data, bench.attack, mine)
    there = [replace(r, machine="abacus") for r in records]
    elsewhere = Measurements(network, bench.data, bench.attack, there)
    assert measured_pace(here) == (3.5, "")
    assert measured_pace(elsewhere) == (3.5, "from another machine")
    elsewhere.change(bench.attack, 90)
    assert measured_pace(elsewhere).seconds == pytest.approx(3.5 / 4)
    assert "other attacks" in measured_pace(elsewhere).guess
    elsewhere.change(None, 360)
    assert measured_pace(elsewhere).seconds < 3.5 / 10
