"""The session: what the explorer does, without a widget."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable, LayerTimes, Spread
from gdws_explorer.network.network import Network
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.session import session as sessions
from gdws_explorer.session import state_string as states
from gdws_explorer.session.session import Session
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.storage.store import Store


@pytest.fixture(scope="module")
def network(bench):
    return Network(bench.model, bench.example).prepare()


@pytest.fixture
def session(network, bench):
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    made = Session.of(network, measured, title="digits", bench="digits")
    yield made
    made.close()


def times_of(network):
    """Times of a network: dense 1 ms per layer; GDWS slower from 2 kernels per channel on."""
    layers = {}
    for layer in network.layers:
        grid = (1, 2 * layer.weight_shape[1], 20 * layer.weight_shape[1])
        pairs = (1, max(layer.weight_shape[:2]))
        layers[layer.name] = LayerTimes(
            1.0,
            {
                family: LatencyCurve((pairs, pairs), (0.1, 0.5, 0.6, 2.0))
                if family == "tucker2"
                else LatencyCurve((grid,), (0.2, 1.0, 8.0))
                for family in layer.families
            },
        )
    total = len(layers) + 2.0
    return LatencyTable(
        1, 1, "cpu", {"processor": "Test"}, network.fingerprint, total,
        Spread(0.99 * total, 1.01 * total, 9), layers, "onnxruntime", 1.0,
    )  # fmt: skip


@pytest.fixture
def timed(session, network, monkeypatch):
    """A session whose time is measured by the table of `times_of`."""
    monkeypatch.setattr(sessions, "measure_latency", lambda *_, **__: times_of(network))
    job = session.measure_latency()
    _settled(session)
    assert job.status == "done"
    yield session
    network.use_latencies(None)


def test_measured_time_is_in_summaries_and_budgets(timed):
    assert timed.summary.ms == timed.summary.dense_ms
    timed.controls.move_slider("conv4", [0.1])
    layer = timed.summary.layers["conv4"]
    assert layer.ms < layer.dense_ms == 1.0
    timed.controls.set_budget_meaning("ms")
    assert timed.controls.budget_number == timed.summary.ms / timed.summary.dense_ms
    timed.controls.set_budget("ms", 0.7)
    assert timed.summary.ms <= 0.7 * timed.summary.dense_ms + 1e-3
    assert not any(each.slower for each in timed.summary.layers.values())
    timed.controls.move_budget("ms", 0.0)  # the least that is possible
    assert timed.summary.ms < 0.7 * timed.summary.dense_ms


def test_the_mark_from_which_a_layer_is_slower_than_dense(timed):
    scale = timed.controls.scale("conv4")
    kernels = 2 * timed.network.layer("conv4").weight_shape[1]
    for by in ("macs", "error", "rank"):
        assert scale.slower_from("gdws", by) == scale.positions(gx.GDWS(kernels), by)[0]
    assert scale.slower_from("tucker2", "macs") is None


def test_all_views_of_the_network_have_the_times(timed):
    assert timed.views.plain.latencies is timed.network.latencies
    timed.views.use_latencies(None)
    assert timed.views.plain.latencies is None
    timed.notify("plan")
    assert timed.summary.ms is None


def test_a_budget_by_time_needs_measured_time(session):
    with pytest.raises(gx.BudgetError, match="no time is measured yet"):
        session.controls.set_budget_meaning("ms")
    with pytest.raises(gx.BudgetError, match="no time is measured yet"):
        session.controls.move_budget("ms", 0.5)


def test_a_state_with_a_budget_by_time_opens_without_times(timed, network):
    timed.controls.set_budget("ms", 0.7)
    text, plan = states.encode(timed), timed.plan
    network.use_latencies(None)
    again = gx.explore("digits", state=text).session
    assert again.plan == plan
    assert again.controls.budget.by == "macs"
    again.close()


def _heard(session):
    heard = []
    session.subscribe(lambda event, snapshot: heard.append(event))
    return heard


def test_moving_a_layer(session):
    heard = _heard(session)
    session.controls.move_slider("conv4", [0.5])
    assert isinstance(session.plan["conv4"], gx.GDWS)
    summary = session.summary.layers["conv4"]
    assert 0.49 < summary.macs / summary.dense_macs <= 0.5
    assert session.controls.positions("conv4") == (0.5,)
    assert "plan" in heard


def test_a_fader_stays_where_the_hand_left_it_until_something_else_moves_it(session):
    session.controls.move_slider("conv2", [0.5011])
    step = session.controls.scale("conv2").positions(session.plan["conv2"], "macs")
    assert session.controls.positions("conv2") == (0.5011,) != step
    session.controls.move_budget("macs", 0.3)
    assert session.controls.positions("conv2") != (0.5011,)
    session.controls.undo()
    assert session.controls.positions("conv2") == (0.5011,)


def test_the_hand_on_a_layer_chooses_it(session):
    for name, touch in (
        ("conv5", lambda: session.controls.move_slider("conv5", [0.5])),
        ("conv3", lambda: session.controls.set_family("conv3", "svd")),
        ("conv4", lambda: session.controls.set_numbers("conv4", [40])),
    ):
        touch()
        assert session.controls.selected == name
    session.controls.move_budget("macs", 0.4)
    assert session.controls.selected == "conv4"


def test_the_network_fader_says_what_the_plan_is(session):
    session.controls.move_budget("macs", 0.45)
    assert session.summary.macs <= 0.45 * session.network.macs
    assert session.controls.budget.position == 0.45
    session.controls.move_slider("conv3", [0.2])
    assert session.controls.budget.position == session.summary.macs / session.network.macs
    session.set_budget_meaning("error")
    assert session.controls.budget_number == pytest.approx(session.summary.relative_error, rel=1e-6)


def test_a_drag_is_one_step_of_undo(session):
    before = session.controls.state
    for place in (0.9, 0.8, 0.7):
        session.controls.move_budget("macs", place, gesture="drag 1")
    session.controls.move_slider("conv4", [0.2], gesture="drag 2")
    session.controls.undo()
    assert session.controls.budget.position == 0.7
    session.controls.undo()
    assert session.controls.state == before
    session.controls.redo()
    session.controls.redo()
    assert session.summary.layers["conv4"].macs <= 0.2 * session.network.layer("conv4").macs


def test_reset_is_a_step_too(session):
    session.controls.move_budget("macs", 0.3)
    moved = session.controls.state
    session.controls.reset()
    assert session.plan == session.network.plan()
    session.controls.undo()
    assert session.controls.state == moved


def test_methods_switch_at_about_the_same_macs(session):
    session.controls.move_slider("conv4", [0.4])
    session.controls.set_family("conv4", "tucker2")
    summary = session.summary.layers["conv4"]
    assert isinstance(summary.choice, gx.Tucker2)
    assert 0.35 < summary.macs / summary.dense_macs <= 0.41
    session.controls.set_family("conv4", "dense")
    assert session.plan["conv4"] == gx.Dense()


def test_a_users_error_becomes_a_message_and_changes_nothing(session):
    session.controls.move_slider("conv4", [0.5])
    desk = session.controls.state
    heard = _heard(session)
    with session.show_errors():
        session.controls.set_slider_meaning("rank")
        session.controls.set_numbers("conv4", [100000])
    assert session.failed
    assert "conv4: G is 100000" in session.message
    assert "message" in heard
    assert session.controls.state == desk
    session.controls.move_slider("conv4", [0.5])
    session.controls.move_slider("conv4", [0.6])
    assert not session.failed


def test_a_typed_budget_out_of_reach_is_an_error(session):
    with pytest.raises(gx.BudgetError, match="cheapest plan needs"):
        session.controls.set_budget("macs", 0.0001)
    with pytest.raises(gx.ExplorerError, match="expected"):
        session.controls.set_budget("beta", -1.0)
    session.controls.set_budget("beta", 0.01)
    assert session.summary.layers["conv4"].error <= 0.01 * (1 + 1e-9)


def test_an_evaluation_is_the_measurement_that_evaluate_makes(session, bench):
    session.measure_with(gx.PGD(0.15, steps=2), 40)
    session.controls.move_budget("macs", 0.31)
    plan = session.plan
    session.evaluate()
    session.controls.move_budget("macs", 0.9)  # the sliders go on; the job keeps its plan
    session.jobs.wait(60)
    (record,) = session.measurements.records()
    assert record.plan == plan
    report = evaluate(session.network.build(plan), bench.data, gx.PGD(0.15, steps=2), n=40, seed=0)
    assert (record.clean_correct, record.robust_correct) == (
        report.clean_correct,
        report.robust_correct,
    )
    assert record.macs == session.network.summary(plan).macs
    assert record.plan.fingerprint == session.network.fingerprint
    assert record.versions["torch"] == torch.__version__.split("+")[0] or record.versions["torch"]


def test_several_evaluations_queue_and_cancel_drops_them(session):
    session.measure_with(gx.PGD(0.15, steps=100), 360)
    for place in (0.3, 0.4, 0.5):
        session.controls.move_budget("macs", place)
        session.evaluate()
    deadline = time.monotonic() + 20
    while session.jobs.running is None and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    session.jobs.cancel()
    session.jobs.wait(30)
    assert time.monotonic() - began < 10
    assert session.measurements.records() == ()
    assert session.jobs.waiting == 0


def test_a_child_knows_the_measured_plan_it_came_from(session):
    session.measure_with(gx.PGD(0.15, steps=1), 20)
    session.controls.move_budget("macs", 0.5)
    session.evaluate()
    session.jobs.wait(30)
    parent = session.plan
    session.controls.move_slider("conv4", [0.3])
    session.evaluate()
    session.jobs.wait(30)
    child = session.measurements.of(session.plan)
    assert child.parent == parent.hash
    assert session.measurements.of(parent).parent is None


def test_records_of_other_settings_are_counted_not_mixed(session, bench):
    assert len(session.measurements.records()) == len(bench.records) >= 30
    session.measure_with(gx.PGD(0.1, steps=5), 100)
    assert session.measurements.records() == ()
    assert session.measurements.others() == len(bench.records)
    with pytest.raises(gx.DataError, match="1 to 360"):
        session.measure_with(bench.attack, 361)


def test_records_outlive_the_session(network, bench, tmp_path):
    path = tmp_path / "records.db"
    for expected in (0, 1):
        store = Store(path)
        measured = Measurements(network, bench.data, gx.FGSM(0.15), store=store)
        session = Session.of(network, measured, title="digits")
        session.measure_with(gx.FGSM(0.15), 20)
        assert len(session.measurements.records()) == expected
        session.controls.move_budget("macs", 0.4)
        session.evaluate()
        session.jobs.wait(30)
        session.close()


def test_walking_the_front(session):
    session.controls.move_budget("macs", 0.5)
    here = session.summary.macs
    session.step_along_front(1)
    assert session.summary.macs > here
    assert session.measurements.of(session.plan) is not None
    dearer = session.summary.macs
    session.step_along_front(-1)
    assert session.summary.macs < dearer


def test_a_plan_that_is_not_measured_has_a_predicted_place(session):
    session.controls.move_budget("macs", 0.43)
    guess = session.measurements.predicted(session.plan, session.summary.relative_error, "robust")
    assert 0.5 < guess < 1.0


def test_the_state_string_brings_everything_back(session, network, bench):
    session.controls.move_budget("macs", 0.4)
    session.controls.set_family("conv4", "tucker2")
    session.controls.lock_layer("conv4", True)
    session.controls.skip_layer("conv6", True)
    session.controls.set_slider_meaning("rank")
    session.controls.select("conv3")
    session.measure_with(gx.FGSM(0.1), 100)
    text = states.encode(session)
    assert len(text) < 500
    other = Session.of(network, Measurements(network, bench.data, bench.attack), title="digits")
    states.restore(other, states.decode(text))
    assert other.controls.state == session.controls.state
    assert (other.controls.selected, other.controls.slider_meaning) == ("conv3", "rank")
    assert (other.measurements.attack, other.measurements.n) == (gx.FGSM(0.1), 100)
    other.controls.undo()
    assert other.plan == network.plan()


@pytest.mark.parametrize(
    "damage", [lambda t: t[:40], lambda t: "hello", lambda t: t[:-6] + "AAAAAA", lambda t: ""]
)
def test_a_damaged_state_string_is_refused(session, damage):
    text = damage(states.encode(session))
    with pytest.raises(gx.ExplorerError, match="state string"):
        states.restore(session, states.decode(text))


def test_the_state_of_another_network_is_refused(session):
    raw = {**states.decode(states.encode(session)), "of": "0" * 16}
    with pytest.raises(gx.PlanError, match="another network"):
        states.restore(session, raw)


@pytest.mark.slow
def test_export_writes_what_was_measured(session, tmp_path):
    session.show(session.measurements.records()[3].plan)
    folder = session.export(tmp_path / "chosen")
    assert {p.name for p in folder.iterdir()} >= {
        "plan.json", "model.safetensors", "model.onnx", "report.json", "README.md",
    }  # fmt: skip
    text = (folder / "report.json").read_text()
    assert json.loads(text)
    assert str(session.measurements.of(session.plan).robust_correct) in text


def test_csv_of_the_records(session, tmp_path):
    path = session.measurements.save(tmp_path / "records.csv")
    assert len(path.read_text().splitlines()) == len(session.measurements.records()) + 1


def test_a_network_without_an_approximable_layer_is_refused():
    model = nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(gx.PlanError, match=r"no layer of this network.*transposed"):
        gx.explore(model, data=(torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 0, 1])))


@pytest.fixture
def informed(network, bench):
    """A session with a few images to learn from."""
    images = tuple(part[:60] for part in bench.train_data)
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    made = Session.of(network, measured, title="digits", bench="digits", calibration=images)
    yield made
    made.close()


def _settled(session):
    session.jobs.wait(120)
    return session


@contextmanager
def _busy(session):
    """Everything that is asked for meanwhile waits in the queue, however fast the machine."""
    free = threading.Event()
    session.jobs.submit("busy", lambda progress, cancelled: free.wait(120))
    try:
        yield lambda: [job.about for job in session.jobs.all if job.about != "busy"]
    finally:
        free.set()


def test_from_data_reads_the_images_once_and_the_fader_stays(informed, network):
    informed.controls.move_budget("macs", 0.4)
    plain = informed.plan
    with _busy(informed) as queued:
        informed.choose_source("data")
        assert informed.reading_images
        assert informed.plan == plain, "nothing moves before the images are read"
        informed.choose_source("data")
        assert len(queued()) == 1
    _settled(informed)
    assert not informed.reading_images
    assert informed.plan.calibration == informed.network.label is not None
    assert informed.controls.state.budget.position == 0.4
    assert informed.summary.macs <= 0.4 * network.macs
    assert informed.snapshot.error_unit == "the outputs"
    ours = informed.plan
    informed.controls.undo()
    assert informed.plan == plain
    assert informed.network is network
    informed.controls.redo()
    assert informed.plan == ours
    informed.choose_source("weights")
    assert informed.plan == plain
    informed.choose_source("data")
    assert informed.plan == ours, "at once: the images are known"
    assert not informed.reading_images


def test_choices_by_hand_are_taken_over(informed):
    informed.controls.set_family("conv2", "tucker2")
    informed.controls.set_family("conv3", "spatial")
    informed.controls.set_family("fc", "svd")
    before, kept = informed.summary, informed.plan["conv2"]
    _settled(_on(informed))
    assert informed.plan["conv2"] == kept
    assert not isinstance(informed.plan["conv3"], gx.SpatialSVD)
    after = informed.summary
    assert 0 < after.layers["conv3"].macs <= before.layers["conv3"].macs
    assert informed.plan["fc"] == gx.Dense()
    with pytest.raises(gx.PlanError, match="fc stays dense: the calibration holds no moments"):
        informed.controls.move_slider("fc", [0.5])
    informed.controls.apply_preset("Half the MACs, best family per layer")
    assert informed.summary.macs <= 0.5 * informed.network.macs
    informed.controls.move_slider("conv5", [0.3])
    assert informed.plan.calibration is not None


def _on(session):
    session.choose_source("data")
    return session


def test_plans_from_data_are_measured_refitted_and_stand_on_the_same_front(informed, bench):
    _settled(_on(informed)).controls.move_budget("macs", 0.3)
    count = len(informed.measurements.records())
    _settled(informed).measure_with(gx.FGSM(0.15), 40)
    informed.evaluate()
    _settled(informed).measure_with(bench.attack, 360)
    assert len(informed.measurements.records()) == count
    informed.measure_with(gx.FGSM(0.15), 40)
    (record,) = informed.measurements.records()
    assert record.plan == informed.plan
    built = informed.network.build(informed.plan)
    report = evaluate(built, bench.data, gx.FGSM(0.15), n=40)
    assert (record.clean_correct, record.robust_correct) == (
        report.clean_correct,
        report.robust_correct,
    )
    plain = informed.views.plain
    assert informed.measurements.predicted(informed.plan, 0.1, "clean") is None
    assert informed.measurements.predicted(plain.plan(), 0.1, "clean") is None


def test_a_plan_of_other_images_is_refused_in_words(informed, session):
    _settled(_on(informed)).controls.move_budget("macs", 0.5)
    with session.show_errors():
        session.show(informed.plan)
    assert "not read here" in session.message
    with session.show_errors():
        session.choose_source("data")
    assert "open with gx.explore(…, calibration=images)" in session.message
    assert session.plan.calibration is None


def test_reading_can_be_cancelled(informed):
    with _busy(informed):
        informed.choose_source("data")
        informed.jobs.cancel()
    _settled(informed)
    assert informed.plan.calibration is None
    assert not informed.reading_images
    assert informed.message == ""


@pytest.mark.slow
def test_a_state_from_data_comes_back(informed, network, bench):
    _settled(_on(informed)).controls.move_budget("macs", 0.35)
    raw = states.decode(states.encode(informed))
    images = tuple(part[:60] for part in bench.train_data)
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    again = Session.of(network, measured, title="digits", bench="digits", calibration=images)
    states.restore(again, raw)
    _settled(again)
    assert again.plan == informed.plan
    assert again.controls.state.budget == informed.controls.state.budget
    again.close()


@pytest.mark.slow
def test_alpha_is_one_click_and_uniform_is_another(informed, network):
    informed.set_budget_meaning("beta")
    informed.controls.move_budget("beta", 0.3)
    uniform = informed.plan
    with _busy(informed):
        informed.set_budget_meaning("alpha")
        assert informed.controls.budget_meaning == "beta"
    _settled(informed)
    assert informed.controls.budget_meaning == "alpha"
    assert informed.plan == uniform, "the plan stays until the fader moves"
    informed.controls.move_budget("alpha", 0.3)
    beta = informed.controls.budget_number
    assert informed.plan == informed.views.weighted.lego(beta, skip=network.skip)
    assert informed.plan != uniform
    informed.controls.set_budget("alpha", beta)
    informed.set_budget_meaning("beta")
    informed.controls.move_budget("beta", 0.3)
    assert informed.plan == uniform
    informed.set_budget_meaning("alpha")
    assert informed.controls.budget_meaning == "alpha", "computed once"
    _settled(_on(informed))
    with pytest.raises(gx.PlanError, match="choose “from the weights” first"):
        informed.set_budget_meaning("alpha")


def test_messages_of_the_background_stay(network, bench):
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    wrong = torch.rand(20, 3, 8, 8), None
    made = Session.of(network, measured, title="digits", calibration=wrong)
    made.choose_source("data")
    _settled(made)
    assert "reading the images stopped" in made.message
    assert made.failed
    made.close()


def test_an_error_while_images_are_read_is_not_wiped(informed):
    with _busy(informed):
        informed.choose_source("data")
        with informed.show_errors():
            informed.controls.set_budget("macs", 5.0)
        said = informed.message
        assert said
        informed.jobs.cancel()
    _settled(informed)
    assert informed.message == said


def test_requests_of_two_kinds_wait_for_each_other(informed):
    with _busy(informed) as queued:
        informed.set_budget_meaning("alpha")
        informed.choose_source("data")
        assert queued() == ["computing α from the images", "reading the images"]
        informed.choose_source("data")
        informed.set_budget_meaning("alpha")
        assert len(queued()) == 2
    _settled(informed)
    assert informed.plan.calibration is not None
    assert informed.views.weighted is not None
    assert informed.controls.budget_meaning == "macs", "α weighs errors of the weights only"


def test_alpha_never_means_something_else(informed):
    informed.set_budget_meaning("alpha")
    _settled(informed).controls.move_budget("alpha", 0.3)
    weighted = informed.plan
    _settled(_on(informed))
    assert informed.controls.budget_meaning == "macs"
    with pytest.raises(gx.PlanError, match="choose “from the weights” first"):
        informed.controls.move_budget("alpha", 0.2)
    informed.controls.undo()
    assert informed.plan == weighted
    assert informed.controls.budget.by in ("macs", "alpha")


def test_a_state_with_alpha_comes_back_with_it(informed, network, bench):
    informed.set_budget_meaning("alpha")
    _settled(informed).controls.move_budget("alpha", 0.3)
    number = informed.controls.budget_number
    images = tuple(part[:60] for part in bench.train_data)
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    again = Session.of(network, measured, title="digits", bench="digits", calibration=images)
    states.restore(again, states.decode(states.encode(informed)))
    _settled(again)
    assert again.plan == informed.plan
    assert again.controls.budget_meaning == "alpha"
    assert again.controls.budget_number <= number
    assert again.views.weighted is not None
    again.close()


@pytest.mark.slow
def test_a_state_knows_under_which_attack_its_images_were_read(informed, network, bench):
    _settled(_on(informed))
    informed.measure_with(gx.FGSM(0.1), 20)
    images = tuple(part[:60] for part in bench.train_data)
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    again = Session.of(network, measured, title="digits", bench="digits", calibration=images)
    states.restore(again, states.decode(states.encode(informed)))
    _settled(again)
    assert again.plan == informed.plan
    assert again.measurements.attack == gx.FGSM(0.1)
    again.close()


def test_locked_layers_that_cannot_stay_are_named(informed):
    informed.controls.set_family("conv3", "spatial")
    informed.controls.lock_layer("conv3", True)
    _settled(_on(informed))
    assert informed.message == (
        "conv3 could not stay as locked: the family cannot be made from this source."
    )


@pytest.mark.slow
def test_a_record_made_from_data_is_read_first_then_put(informed, network, bench):
    _settled(_on(informed)).controls.move_budget("macs", 0.3)
    wanted = informed.plan
    images = tuple(part[:60] for part in bench.train_data)
    measured = Measurements(network, bench.data, bench.attack, bench.records)
    fresh = Session.of(network, measured, title="digits", calibration=images)
    with _busy(fresh):
        fresh.show(wanted)
        assert fresh.plan.calibration is None
    _settled(fresh)
    assert fresh.plan == wanted
    fresh.close()


def test_plans_of_the_weights_can_be_refitted_at_once(informed, bench):
    informed.controls.move_budget("macs", 0.2)
    plain = informed.plan
    informed.choose_source("refit")
    assert not informed.reading_images
    assert informed.controls.source == "refit"
    assert dict(informed.plan) == dict(plain)
    assert informed.snapshot.error_unit == "‖W‖²"
    informed.measure_with(bench.attack, 60)
    informed.evaluate()
    _settled(informed)
    fitted = informed.measurements.of(informed.plan)
    informed.choose_source("weights")
    assert informed.plan == plain
    assert informed.measurements.of(plain) is None
    built = informed.views.refitted().build(fitted.plan)
    assert fitted.clean_correct == evaluate(built, bench.data, bench.attack, n=60).clean_correct
    raw = states.decode(states.encode(informed))
    assert raw["data"] is None
    informed.show(fitted.plan)
    assert informed.controls.source == "refit"
    assert states.decode(states.encode(informed))["data"] == {"kind": "refit", "attack": None}
    with pytest.raises(gx.ExplorerError, match="expected one of"):
        informed.choose_source("magic")


def test_an_estimate_follows_a_setting_that_changes_meanwhile(session):
    session.measure_with(gx.FGSM(0.15), 30)
    with _busy(session):
        session.show_live_estimates(True)
        session.measure_with(gx.FGSM(0.15), 40)
    _settled(session)
    _settled(session)
    session.estimates.wait(60)
    assert session.estimates.ready(gx.FGSM(0.15), 40, 0)
    assert session.snapshot.estimate.n == 40


def test_a_cancelled_attack_switches_the_estimate_off(session):
    session.measure_with(gx.FGSM(0.15), 30)
    with _busy(session):
        session.show_live_estimates(True)
        session.jobs.cancel()
    _settled(session)
    assert not session.estimates.enabled
