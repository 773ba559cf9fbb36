"""Orders: what they will take, and their runs, on a small network and a weak attack."""

import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.network.network import Network
from gdws_explorer.study.job_estimate import estimate_job
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.study_job import StudyJob
from gdws_explorer.study.study_spec import SearchSpec, SweepSpec
from gdws_explorer.study.sweep import Grid

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


def job_of(spec, measured, views, **given):
    """The job as the panel makes it."""
    return StudyJob(
        spec, measured.evaluator(views.plain), views, measured.store, known=measured.bundled,
        **given,
    )  # fmt: skip


def _run(spec, measured, views, **given):
    job = job_of(spec, measured, views, **given)
    job.run()
    return job


def test_a_sweep_measures_what_was_expected_and_nothing_twice(measured, sources):
    before = estimate_job(BETAS, measured, sources)
    assert (before.total, before.known, before.at_most) == (4, 0, False)
    arrived = []
    job = _run(BETAS, measured, sources, on_record=arrived.append)
    assert tuple(arrived) == measured.records()
    assert len(arrived) == 4
    grown = job.hypervolume_history
    assert len(grown) == 4
    assert (grown[1:] >= grown[:-1]).all()
    after = estimate_job(BETAS, measured, sources)
    assert (after.total, after.known, after.seconds) == (4, 4, 0.0)
    again = _run(BETAS, measured, sources)
    assert again.progress.measured == 0
    assert again.progress.known == 4
    assert estimate_job(SweepSpec(Grid(beta=4, macs=3)), measured, sources).known == 4


def test_a_search_that_was_interrupted_knows_what_it_has(measured, sources):
    order = SearchSpec(evaluations=6, constraints={"macs": 0.8})
    stop = threading.Event()

    def arrived(_record):
        if len(measured.records()) == 3:
            stop.set()

    job = job_of(order, measured, sources, on_record=arrived)
    with pytest.raises(gx.Cancelled):
        job.run(cancel=stop)
    assert len(measured.records()) == 3
    left = estimate_job(order, measured, sources)
    assert (left.total, left.known, left.at_most) == (6, 3, True)
    _run(order, measured, sources)
    assert len(measured.records()) == 6
    assert estimate_job(order, measured, sources).known == 6


def test_screening_spends_the_strong_attack_on_the_front_only(measured, sources):
    weak, strong = gx.FGSM(0.15), gx.PGD(0.15, steps=3)
    measured.change(strong, 20)
    job = _run(SearchSpec(evaluations=6, screen=((weak, None),)), measured, sources)
    assert len(job.records) == 6
    assert {r.attack["name"] for r in job.records} == {"FGSM"}
    front = job.objectives.front(job.records)
    assert {r.plan for r in measured.records()} == {r.plan for r in front}
    assert all(r.attack["name"] == "PGD" for r in measured.records())


def test_one_plan_of_an_order(measured, sources):
    _run(BETAS, measured, sources, limit=1)
    _run(BETAS, measured, sources, limit=1)
    assert len(measured.records()) == 2


def test_a_pause_holds_the_next_plan_back(measured, sources):
    third = threading.Event()

    def arrived(_record):
        if len(job.records) == 2:
            job.pause()
            third.set()

    job = job_of(BETAS, measured, sources, on_record=arrived)
    thread = threading.Thread(target=job.run, daemon=True)
    thread.start()
    assert third.wait(60)
    assert job.paused
    assert len(measured.records()) == 2
    job.resume()
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
