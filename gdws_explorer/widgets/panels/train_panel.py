"""The panel "Train": training to low rank, or fine-tuning of the present plan."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.errors import ExplorerError
from gdws_explorer.figures import admm_ranks, training_curves
from gdws_explorer.session.events import Event
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.session.training_queue import TrainingRun
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, MEASURES, TrainingSpec, default_recipe
from gdws_explorer.utils.format import eps_text
from gdws_explorer.utils.parsing import parse_radius
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import (
    button,
    error_text,
    errors_in,
    inside,
    labelled,
    on,
    on_change,
    row,
    silent,
)
from gdws_explorer.widgets.panels import training_text

KIND_LABELS = [
    ("CSTAR-style: low rank and robustness together", "tucker2"),
    ("robust GDWS training: the same for GDWS ranks", "gdws"),
    ("fine-tune the present plan", FINETUNE),
]
METHOD_LABELS = [
    ("PGD (Madry)", "pgd"), ("TRADES", "trades"), ("fast (FGSM)", "fast"),
    ("standard, no attack", "standard"),
]  # fmt: skip


class TrainPanel:
    """A form, an estimate of the time, the curves of a training, and its result.

    kind, ratio, measure, method, eps, epochs, lr : the inputs. start_button, restart_button,
    cancel_button : the buttons. bar, status : progress as a bar and as text. forecast : the
    estimated time. message : the result, or an error. curves, ranks : the figures; ranks is None
    before the first training to low rank. ranks_column : the box of `ranks`.
    """

    title: ClassVar[str] = "Train"
    tip: ClassVar[str] = "Train low rank and robustness together, or fine-tune the plan"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawing = threading.RLock()
        self._drawn: object = None  # the training and the number of epochs in the figures
        self._timing: Job | None = None
        self._make_inputs()
        self._make_buttons()
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self.status, self.forecast, self.message = w.HTML(), w.HTML(), w.HTML()
        self._title = w.HTML()
        empty = training_curves.info(TrainingProgress((1, 1)))
        self.curves = Figure(training_curves.figure(empty))
        self.ranks: Figure | None = None
        self._rank_rows: list[str] = []  # of `ranks`
        self._curves_column, self.ranks_column = w.VBox([self.curves]), w.VBox([])
        self._figures = w.Box([self._curves_column, self.ranks_column])
        self._figures.layout.display = "none"  # until there is something to draw
        self._figures.add_class("gx-columns")
        for column in (self._curves_column, self.ranks_column):
            column.add_class("gx-column")
        self.box = w.VBox(
            [
                row(self.kind, self.ratio, self.measure),
                row(self.method, self.eps, self.epochs, self.lr),
                self.forecast,
                row(
                    self.start_button, self.restart_button, self.cancel_button, self.bar,
                    self.status,
                ),
                self.message,
                self._title,
                self._figures,
            ]
        )  # fmt: skip
        self._fill_in_defaults()
        self._show()

    def choose(self, kind: str) -> None:
        """Selects what to train: "finetune", "tucker2" or "gdws"."""
        self.kind.value = kind

    def refresh(self, event: Event) -> None:
        """Shows the trainings, and the estimate for the present plan."""
        if event == "records" and self._default_attack != self._session.measurements.attack:
            self._fill_in_defaults()
        if event in ("training", "records"):
            self._show()
        elif event == "plan" and self.kind.value == FINETUNE:
            self._show_forecast()

    def spec(self) -> TrainingSpec:
        """Returns the training of the form; DataError or BudgetError for wrong inputs."""
        session, method, kind = self._session, self.method.value, self.kind.value
        eps = None if method == "standard" else parse_radius("ε", self.eps.value)
        images = len(session.training_queue.data()[1])
        recipe = default_recipe(kind, session.views.plain, images, method, eps, self._norm)
        recipe = replace(recipe, epochs=self.epochs.value, lr=self.lr.value)
        return TrainingSpec(kind, recipe, self.measure.value, self.ratio.value)

    # -- the form --------------------------------------------------------------------------

    def _make_inputs(self) -> None:
        self.kind = labelled(w.Dropdown, "training", 70, 440, options=KIND_LABELS)
        self.ratio = labelled(
            w.FloatText, "budget", 48, 120, value=8.0, step=1.0, continuous_update=False,
            tooltip="The dense network's total divided by the trained one's",
        )  # fmt: skip
        self.measure = labelled(
            w.Dropdown, "× fewer", 52, 180, options=[(label, m) for m, label in MEASURES.items()]
        )
        self.method = labelled(
            w.Dropdown, "method", 70, 250, options=METHOD_LABELS,
            tooltip="The attack on the training images in every step",
        )  # fmt: skip
        self.eps = labelled(
            w.Text, "ε", 14, 90, continuous_update=False,
            tooltip="Radius of the attack for images in [0, 1]; by default that of Evaluate",
        )  # fmt: skip
        self.epochs = labelled(
            w.IntText, "epochs", 48, 114, continuous_update=False,
            tooltip="Epochs towards low rank; half as many follow for the factors",
        )  # fmt: skip
        self.lr = labelled(
            w.FloatText, "learning rate", 84, 164, step=0.01, continuous_update=False,
            tooltip="The highest learning rate of the schedule",
        )  # fmt: skip
        on_change(self.kind, lambda _change: self._fill_in_defaults())
        for widget in (self.ratio, self.measure, self.method, self.eps, self.epochs, self.lr):
            on_change(widget, lambda _change: self._follow_inputs())

    def _make_buttons(self) -> None:
        session = self._session
        self.start_button = button("Start", "play", "Train in the background", 116)
        self.start_button.button_style = "primary"
        self.restart_button = button(
            "Start anew", "refresh", "Delete the checkpoint, and train from the first epoch", 116
        )
        self.cancel_button = button("Cancel", "stop", "Stop; the checkpoint is kept", 84)
        on(session, self.start_button, lambda: self._start(restart=False))
        on(session, self.restart_button, lambda: self._start(restart=True))
        on(session, self.cancel_button, session.training_queue.cancel)

    def _fill_in_defaults(self) -> None:
        """Sets ε, epochs and learning rate to the defaults of the training and of the attack."""
        kind, attack = self.kind.value, calibration_attack(self._session.measurements.attack)
        self._default_attack = self._session.measurements.attack
        self._norm = "linf" if attack is None else attack.norm
        recipe = default_recipe(kind, self._session.views.plain, 1, "standard")
        with silent(self.eps, self.epochs, self.lr):
            self.eps.value = eps_text(8 / 255 if attack is None else attack.eps)
            self.epochs.value, self.lr.value = recipe.epochs, recipe.lr
        self._follow_inputs()

    def _follow_inputs(self) -> None:
        """Shows the inputs that matter, times a few steps, and shows the estimate."""
        budget = None if self.kind.value != FINETUNE else "none"
        self.ratio.layout.display = self.measure.layout.display = budget
        self.eps.layout.display = "none" if self.method.value == "standard" else None
        self.message.value = ""
        with errors_in(self.message):
            self._timing = self._session.training_queue.measure_speed(
                self.spec(), self._session.plan
            )
        self._show_forecast()

    def _start(self, *, restart: bool) -> None:
        self.message.value = ""
        with errors_in(self.message):
            self._session.train(self.spec(), restart=restart)

    # -- progress and result ---------------------------------------------------------------

    def _show(self) -> None:
        """Shows the running or the latest training, and the estimate for the next one."""
        queue = self._session.training_queue
        run, alive = queue.latest, queue.running is not None
        self.bar.layout.visibility = "visible" if alive else "hidden"
        self.bar.value = run.progress.fraction if run is not None and alive else 0.0
        self.start_button.disabled = self.restart_button.disabled = alive
        self.cancel_button.disabled = not alive
        if run is not None and alive:
            left = run.progress.seconds_left(time.monotonic())
            self.status.value = training_text.status_text(run, left)
            self.message.value = ""
        else:
            self.status.value = ""
            self._show_result(run)
        self._show_forecast()
        self._draw(run)

    def _show_result(self, run: TrainingRun | None) -> None:
        """Shows the result of the latest training, or why its time could not be estimated."""
        if self._timing is not None and self._timing.error is not None:
            self.message.value = error_text(self._timing.error)
        elif run is not None and run.job is not None:
            stored = 0 if run.checkpoint is None else run.spec.epochs_done(run.checkpoint)
            self.message.value = training_text.result_text(run, stored)

    def _show_forecast(self) -> None:
        """Shows how long the training of the form takes."""
        session, queue = self._session, self._session.training_queue
        if queue.running is not None:
            self.forecast.value = ""
            return
        try:
            spec = self.spec()
            self.forecast.value = training_text.forecast_text(queue, spec, session.plan)
            done = queue.epochs_done(spec, session.plan)
        except ExplorerError as error:
            self.forecast.value, self.start_button.disabled = error_text(error), True
            self.restart_button.layout.display = "none"
            return
        self.start_button.disabled = False
        finished = done == sum(spec.planned)
        self.start_button.description = (
            "Open result" if finished else "Continue" if done else "Start"
        )
        self.restart_button.layout.display = None if done else "none"

    def _draw(self, run: TrainingRun | None) -> None:
        """Draws the curves, once per finished epoch."""
        with self._drawing:
            state = None if run is None else (id(run), run.progress.length)
            if state == self._drawn:
                return
            self._drawn = state
            if run is None:
                return
            self._title.value = training_text.title_text(run)
            self.curves.redraw(training_curves.figure(training_curves.info(run.progress)))
            self._draw_ranks(run.progress.rounds)
            self._figures.layout.display = None

    def _draw_ranks(self, rounds: AdmmHistory | None) -> None:
        """Draws the ranks of a training to low rank; hides the figure for others."""
        self.ranks_column.layout.display = "none" if rounds is None else None
        if rounds is None:
            return
        data = admm_ranks.info(rounds)
        fresh = admm_ranks.figure(data, training_curves.HEIGHT)
        if self.ranks is not None and self._rank_rows == data.rows:
            self.ranks.redraw(fresh)
            return
        old, self.ranks, self._rank_rows = self.ranks, Figure(fresh), data.rows
        self.ranks_column.children = [self.ranks]
        if old is not None:
            for widget in (*inside(old), old):
                widget.close()
