"""The panel "Train", and the trainings behind it, without a browser."""

import threading

import pytest
import torch
from ipywidgets.widgets import widget as widgets
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import DataError, PlanError
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE


def make():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
        ).eval()  # fmt: skip


@pytest.fixture
def opened(data, tmp_path):
    """A function that opens a small network with these images to train on."""
    made = []

    def open_it(calibration=data, cache=tmp_path, **given):
        explorer = gx.explore(
            make(), data=data, calibration=calibration, attack=gx.PGD(0.1, 3), cache=cache, **given
        )
        made.append(explorer)
        return explorer

    yield open_it
    for explorer in made:
        explorer.close()


@pytest.fixture
def explorer(opened):
    return opened()


def panel_of(explorer, kind=None):
    """The panel, set to something short, when it has timed its steps."""
    explorer.panel_bar.open("Train")
    panel = explorer.panel_bar.opened
    panel.epochs.value, panel.ratio.value = 2, 2.0
    if kind is not None:
        panel.choose(kind)
        panel.epochs.value = 2
    explorer.session.training_queue.jobs.wait(60)
    return panel


def trained(explorer, panel):
    panel.start_button.click()
    assert panel.message.value == ""
    explorer.session.training_queue.jobs.wait(120)
    explorer.session.jobs.wait(60)
    return explorer.session.training_queue.latest


@pytest.fixture
def held(monkeypatch):
    """Trainings wait after their first epoch: `reached` is set there, `go` lets them on."""
    reached, go, update = threading.Event(), threading.Event(), TrainingProgress.update

    def waiting(self, progress, now):
        update(self, progress, now)
        if sum(self.length[:2]) >= 1:
            reached.set()
            go.wait(60)

    monkeypatch.setattr(TrainingProgress, "update", waiting)
    yield reached, go
    go.set()


@pytest.mark.parametrize("kind", ["tucker2", "gdws"])
def test_low_rank_and_robustness_together(explorer, kind):
    panel = panel_of(explorer, kind)
    assert "about" in panel.forecast.value
    assert "a few steps timed" in panel.forecast.value
    assert "48 training images" in panel.forecast.value
    run = trained(explorer, panel)
    session = explorer.session
    assert explorer.plan == run.result.plan
    assert explorer.plan.trained
    assert explorer.summary.params <= explorer.network.params / 2
    record = explorer.measured
    assert record.parent == session.views.plain.plan().hash
    assert record in session.measurements.records()
    assert "Done" in panel.message.value
    assert "trained: " in session.message
    assert "is finished" in panel.forecast.value
    figure = panel.curves
    assert [len(trace.x) for trace in figure.data[:3]] == [2, 1, 3]
    ranks = len(run.progress.rounds.names) * (2 if kind == "tucker2" else 1)
    assert panel.ranks.data[0].z.shape == (ranks, 3)
    assert panel.ranks_column.layout.display is None


def test_the_plan_is_fine_tuned_from_a_button_beside_evaluate(explorer):
    session = explorer.session
    session.controls.move_budget("macs", 0.6)
    before = session.plan
    panel_of(explorer)
    explorer.panel_bar.open(None)
    explorer.evaluate_bar.finetune_button.click()
    assert "Train" in session.message
    panel = explorer.panel_bar.opened
    assert panel.kind.value == FINETUNE
    assert panel.ratio.layout.display == "none"
    panel.epochs.value = 1
    run = trained(explorer, panel)
    assert dict(run.result.plan) == dict(explorer.plan)
    assert explorer.measured.parent == before.hash
    assert panel.ranks_column.layout.display == "none"
    session.controls.undo()
    assert session.plan == before


@pytest.mark.slow
def test_faders_menu_and_export_of_a_trained_network(explorer, tmp_path):
    session = explorer.session
    panel = panel_of(explorer, FINETUNE)
    run = trained(explorer, panel)
    label = run.result.network.label
    network = explorer.desk.state["network"]
    assert network["source"] == label
    assert network["sources"][-1] == [label, "trained: fine-tuned"]
    session.controls.move_slider("5", [0.4])
    assert session.plan.trained
    assert session.summary.relative_error > 0
    with torch.no_grad():
        dense = session.network.build(session.network.plan())
        assert not torch.equal(dense[3].weight, session.views.plain.model[3].weight)
    session.choose_source("weights")
    assert not session.plan.trained
    session.choose_source(label)
    assert session.plan.trained
    folder = session.export(tmp_path / "out")
    words = (folder / "README.md").read_text()
    assert "`plan.json` alone does not make this network again" in words
    again = gx.restore(folder, make())
    x = session.measurements.data[0]
    with torch.no_grad():
        here = session.network.build(session.plan)(x)
        torch.testing.assert_close(again(x), here, atol=1e-5, rtol=1e-4)


def test_a_state_string_says_that_it_holds_no_weights(explorer, opened, data):
    panel = panel_of(explorer, FINETUNE)
    trained(explorer, panel)
    explorer.session.controls.move_slider("5", [0.4])
    explorer.export_bar.state_button.click()
    assert "not the trained weights" in explorer.session.message
    other = opened(state=explorer.state)
    assert not other.plan.trained
    assert dict(other.plan) == dict(explorer.plan)
    assert "which a string does not hold" in other.message_line.value


def test_a_trained_plan_of_another_kernel_is_refused(explorer, opened):
    run = trained(explorer, panel_of(explorer, FINETUNE))
    other = opened()
    with pytest.raises(PlanError, match="factors were trained"):
        other.session.show(run.result.plan)


def test_it_runs_beside_the_faders_and_measurements(explorer, held):
    reached, go = held
    panel = panel_of(explorer, FINETUNE)
    panel.start_button.click()
    assert reached.wait(60)
    session = explorer.session
    assert session.training_queue.running is not None
    assert panel.start_button.disabled
    assert not panel.cancel_button.disabled
    with pytest.raises(DataError, match="under way"):
        session.train(panel.spec())
    session.controls.move_slider("5", [0.5])
    session.evaluate()
    session.jobs.wait(60)
    assert explorer.measured is not None
    assert session.training_queue.running is not None
    go.set()
    session.training_queue.jobs.wait(60)
    session.jobs.wait(60)
    assert session.plan.trained
    assert "Done" in panel.message.value


def test_cancel_says_what_was_reached_and_continue_goes_on(explorer, held):
    reached, go = held
    before = explorer.plan
    panel = panel_of(explorer, FINETUNE)
    panel.epochs.value = 3
    explorer.session.training_queue.jobs.wait(60)
    panel.start_button.click()
    assert reached.wait(60)
    panel.cancel_button.click()
    go.set()
    explorer.session.training_queue.jobs.wait(60)
    assert "Stopped" in panel.message.value
    assert "after 2 of 3 epochs (epoch 1: loss" in panel.message.value
    assert "Continue goes on" in panel.message.value
    assert panel.start_button.description == "Continue"
    assert "2 of 3 epochs are done" in panel.forecast.value
    assert not explorer.plan.trained
    run = trained(explorer, panel)
    assert run.result is not None
    assert len(panel.curves.data[1].x) == 3
    assert panel.start_button.description == "Start", "to go on with what is trained now"
    explorer.session.show(before)
    assert panel.start_button.description == "Open result"
    assert panel.restart_button.layout.display is None
    panel.epochs.value = 4
    assert panel.start_button.description == "Start"
    assert panel.restart_button.layout.display == "none"


def test_begun_anew(explorer):
    panel = panel_of(explorer, "gdws")
    first = trained(explorer, panel)
    assert panel.start_button.description == "Open result"
    panel.restart_button.click()
    explorer.session.training_queue.jobs.wait(60)
    again = explorer.session.training_queue.latest
    assert again is not first
    assert again.result.network.label == first.result.network.label, (
        "the same seed, the same weights"
    )


def test_without_a_cache_nothing_is_written(opened, tmp_path):
    explorer = opened(cache=False)
    panel = panel_of(explorer, FINETUNE)
    assert "no checkpoints" in panel.forecast.value
    run = trained(explorer, panel)
    assert run.checkpoint is None
    assert panel.start_button.description == "Start"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("with_images", "words"), [(False, "no images"), (True, "no labels")])
def test_what_cannot_be_trained_on_is_said(opened, data, with_images, words):
    explorer = opened(calibration=data[0] if with_images else None)
    panel = panel_of(explorer)
    assert words in panel.forecast.value
    assert panel.start_button.disabled


def test_settings_that_cannot_be_are_refused_in_place(explorer):
    panel = panel_of(explorer, "tucker2")
    panel.ratio.value = 1.0
    assert "expected how many times fewer" in panel.forecast.value
    assert panel.start_button.disabled
    panel.ratio.value = 500.0
    explorer.session.training_queue.jobs.wait(60)
    assert "cannot be reached" in panel.message.value
    panel.ratio.value = 2.0
    explorer.session.training_queue.jobs.wait(60)
    assert panel.message.value == ""
    assert not panel.start_button.disabled
    panel.eps.value = "much"
    assert "expected a number such as" in panel.forecast.value
    panel.eps.value, panel.lr.value = "0.1", -1.0
    assert "a positive learning rate" in panel.forecast.value


def test_a_loss_that_is_no_number_is_said_and_the_plan_stays(explorer):
    panel = panel_of(explorer, FINETUNE)
    before = explorer.plan
    panel.lr.value = 1e30
    explorer.session.training_queue.jobs.wait(60)
    trained_run = trained(explorer, panel)
    assert trained_run.result is None
    assert trained_run.job.status == "failed"
    assert "smaller learning rate" in panel.message.value
    assert "the training stopped" in explorer.session.message
    assert explorer.plan == before


def test_epsilon_follows_the_attack_that_is_measured_with(explorer):
    panel = panel_of(explorer)
    assert panel.eps.value == "0.1"
    explorer.session.measure_with(gx.PGD(8 / 255, 3), 20)
    assert panel.eps.value == "8/255"
    explorer.session.measure_with(gx.PGD(0.5, 3, norm="l2"), 20)
    assert panel.spec().recipe.training_attack.norm == "l2"
    panel.method.value = "standard"
    assert panel.eps.layout.display == "none"
    assert panel.spec().recipe.validation_attack is None


def test_a_page_that_looks_again_finds_progress_and_curves(explorer, held):
    reached, go = held
    panel = panel_of(explorer, FINETUNE)
    panel.start_button.click()
    assert reached.wait(60)
    explorer.panel_bar.open(None)
    go.set()
    explorer.session.training_queue.jobs.wait(60)
    explorer.session.jobs.wait(60)
    explorer.panel_bar.open("Train")
    assert "Done" in panel.message.value
    state = panel.curves.get_state()
    assert len(state["_widget_data"][1]["x"]) == 2


def test_closing_ends_a_training(explorer, held):
    reached, go = held
    panel = panel_of(explorer, FINETUNE)
    panel.start_button.click()
    assert reached.wait(60)
    run = explorer.session.training_queue.latest
    run.job.cancel()
    go.set()
    explorer.close()
    assert run.job.status == "cancelled"


def test_an_opened_panel_leaves_no_widget(opened):
    panel_of(opened()).box.close()
    known = set(widgets._instances)
    for kind in ("tucker2", "gdws"):
        explorer = opened()
        panel = panel_of(explorer, kind)
        panel.epochs.value = 1
        trained(explorer, panel)
        explorer.close()
    assert set(widgets._instances) == known
