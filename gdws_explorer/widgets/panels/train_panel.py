"""The panel "Train": low rank and robustness together, or a plan trained further."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.errors import ExplorerError
from gdws_explorer.figures import admm_ranks
from gdws_explorer.figures import training_curves as pictures
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.session.training_queue import TrainingRun
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, MEASURES, TrainingSpec, default_recipe
from gdws_explorer.utils.format import eps_text
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import (
    button,
    inside,
    labelled,
    on,
    on_change,
    radius,
    refusal,
    row,
    silent,
    told,
)
from gdws_explorer.widgets.panels import training_text as words

KIND_LABELS = [
    ("CSTAR-style: low rank and robustness together", "tucker2"),
    ("robust GDWS training: the same for GDWS ranks", "gdws"),
    ("fine-tune the plan on the faders", FINETUNE),
]
METHOD_LABELS = [
    ("PGD (Madry)", "pgd"), ("TRADES", "trades"), ("fast (FGSM)", "fast"),
    ("standard, no attack", "standard"),
]  # fmt: skip


class TrainPanel:
    """What to train and how, how long it will take, its curves, and what came of it."""

    title: ClassVar[str] = "Train"
    tip: ClassVar[str] = "Train low rank and robustness together, or fine-tune the plan"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawing = threading.RLock()
        self._drawn: object = None
        self._timing: Job | None = None
        self._form()
        self._about, self._said, self._title = w.HTML(), w.HTML(), w.HTML()
        self._figure = Figure(pictures.figure(pictures.info(TrainingProgress((1, 1)))))
        self._ranks: tuple[object, Figure] | None = None  # what its rows are, and it
        self._left, self._right = w.VBox([self._figure]), w.VBox([])
        self._curves = w.Box([self._left, self._right])
        self._curves.layout.display = "none"  # empty axes would say nothing
        self._curves.add_class("gx-columns")
        for column in (self._left, self._right):
            column.add_class("gx-column")
        self.box = w.VBox(
            [
                row(self._kind, self._ratio, self._measure),
                row(self._method, self._eps, self._epochs, self._lr),
                self._about,
                row(self._start, self._anew, self._cancel, self._bar, self._text),
                self._said,
                self._title,
                self._curves,
            ]
        )
        self._usual()
        self._show()

    def choose(self, kind: str) -> None:
        """Set what is to be trained: "finetune", "tucker2" or "gdws"."""
        self._kind.value = kind

    def refresh(self, what: str) -> None:
        """Follow the trainings, and what they would begin with."""
        if what == "records" and self._measured != self._session.measurements.attack:
            self._usual()
        if what in ("training", "records"):
            self._show()
        elif what == "plan" and self._kind.value == FINETUNE:
            self._show_ahead()

    # -- the form ---------------------------------------------------------------------------

    def _form(self) -> None:
        session = self._session
        self._kind = labelled(w.Dropdown, "what", 70, 440, options=KIND_LABELS)
        self._ratio = labelled(
            w.FloatText, "budget", 48, 120, value=8.0, step=1.0, continuous_update=False,
            tooltip="How many times fewer than the dense network has, all layers together",
        )  # fmt: skip
        self._measure = labelled(
            w.Dropdown, "× fewer", 52, 180, options=[(text, m) for m, text in MEASURES.items()]
        )
        self._method = labelled(
            w.Dropdown, "learn from", 70, 250, options=METHOD_LABELS,
            tooltip="The images that it learns from: attacked in every step, or as they are",
        )  # fmt: skip
        self._eps = labelled(
            w.Text, "ε", 14, 90, continuous_update=False,
            tooltip="Radius of the attack, for images in [0, 1]; at first what is measured with",
        )  # fmt: skip
        self._epochs = labelled(
            w.IntText, "epochs", 48, 114, continuous_update=False,
            tooltip="Towards low rank; then half as many for the factors",
        )  # fmt: skip
        self._lr = labelled(
            w.FloatText, "learning rate", 84, 164, step=0.01, continuous_update=False,
            tooltip="The highest of the schedule",
        )  # fmt: skip
        self._start = button("Start", "play", "Train in the background", 116)
        self._start.button_style = "primary"
        self._anew = button("Start anew", "refresh", "Forget its checkpoint, and begin anew", 116)
        self._cancel = button("Cancel", "stop", "Stop; its checkpoint stays", 84)
        self._bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self._text = w.HTML()
        on(session, self._start, lambda: self._go(anew=False))
        on(session, self._anew, lambda: self._go(anew=True))
        on(session, self._cancel, session.training_queue.cancel)
        on_change(self._kind, lambda _change: self._usual())
        for widget in (
            self._ratio, self._measure, self._method, self._eps, self._epochs, self._lr
        ):  # fmt: skip
            on_change(widget, lambda _change: self._changed())

    def _usual(self) -> None:
        """Fill in what is usual for this kind of training and the attack that is measured with."""
        kind, attack = self._kind.value, calibration_attack(self._session.measurements.attack)
        self._measured = self._session.measurements.attack
        self._norm = "linf" if attack is None else attack.norm
        recipe = default_recipe(kind, self._session.views.plain, 1, "standard")
        with silent(self._eps, self._epochs, self._lr):
            self._eps.value = eps_text(8 / 255 if attack is None else attack.eps)
            self._epochs.value, self._lr.value = recipe.epochs, recipe.lr
        self._changed()

    def _task(self) -> TrainingSpec:
        """What the form says; DataError or BudgetError where it says nothing that can be done."""
        method, kind = self._method.value, self._kind.value
        eps = None if method == "standard" else radius(self._eps.value)
        images = len(self._session.training_queue.data()[1])
        recipe = default_recipe(kind, self._session.views.plain, images, method, eps, self._norm)
        recipe = replace(recipe, epochs=self._epochs.value, lr=self._lr.value)
        return TrainingSpec(kind, recipe, self._measure.value, self._ratio.value)

    def _changed(self) -> None:
        """Other settings: say how long they would take, and time them."""
        budget = None if self._kind.value != FINETUNE else "none"
        self._ratio.layout.display = self._measure.layout.display = budget
        self._eps.layout.display = "none" if self._method.value == "standard" else None
        self._said.value = ""
        with told(self._said):
            queue = self._session.training_queue
            self._timing = queue.measure_speed(self._task(), self._session.plan)
        self._show_ahead()

    def _go(self, *, anew: bool) -> None:
        self._said.value = ""
        with told(self._said):
            self._session.train(self._task(), restart=anew)

    # -- what is shown -------------------------------------------------------------------------

    def _show(self) -> None:
        """The training under way, or the latest one; and what would come next."""
        trainer = self._session.training_queue
        run, alive = trainer.latest, trainer.running is not None
        self._bar.layout.visibility = "visible" if alive else "hidden"
        self._bar.value = run.progress.fraction if run is not None and alive else 0.0
        self._start.disabled = self._anew.disabled = alive
        self._cancel.disabled = not alive
        if run is not None and alive:
            self._text.value = words.running(run, run.progress.seconds_left(time.monotonic()))
            self._said.value = ""
        else:
            self._text.value = ""
            self._show_end(run)
        self._show_ahead()
        self._draw(run)

    def _show_end(self, run: TrainingRun | None) -> None:
        """What came of the latest training, or why its time cannot be told."""
        if self._timing is not None and self._timing.error is not None:
            self._said.value = refusal(self._timing.error)
        elif run is not None and run.job is not None:
            kept = 0 if run.checkpoint is None else run.spec.epochs_done(run.checkpoint)
            self._said.value = words.ended(run, kept)

    def _show_ahead(self) -> None:
        """How long what the form says would take."""
        session, trainer = self._session, self._session.training_queue
        if trainer.running is not None:
            self._about.value = ""
            return
        try:
            task = self._task()
            self._about.value = words.ahead(trainer, task, session.plan)
            done = trainer.epochs_done(task, session.plan)
        except ExplorerError as error:
            self._about.value, self._start.disabled = refusal(error), True
            self._anew.layout.display = "none"
            return
        self._start.disabled = False
        over = done == sum(task.planned)
        self._start.description = "Open result" if over else "Continue" if done else "Start"
        self._anew.layout.display = None if done else "none"

    def _draw(self, run: TrainingRun | None) -> None:
        """Bring the curves up to date, once for every epoch that is over."""
        with self._drawing:
            state = None if run is None else (id(run), run.progress.length)
            if state == self._drawn:
                return
            self._drawn = state
            if run is None:
                return
            self._title.value = words.title(run)
            self._figure.redraw(pictures.figure(pictures.info(run.progress)))
            self._draw_ranks(run.progress.rounds)
            self._curves.layout.display = None

    def _draw_ranks(self, rounds: AdmmHistory | None) -> None:
        """The projections of the training, where it has any."""
        self._right.layout.display = "none" if rounds is None else None
        if rounds is None:
            return
        data = admm_ranks.info(rounds)
        if self._ranks is None or self._ranks[0] != data.rows:  # other layers, other traces
            old, self._ranks = (
                self._ranks,
                (data.rows, Figure(admm_ranks.figure(data, pictures.HEIGHT))),
            )
            self._right.children = [self._ranks[1]]
            if old is not None:
                for widget in (*inside(old[1]), old[1]):
                    widget.close()
        else:
            self._ranks[1].redraw(admm_ranks.figure(data, pictures.HEIGHT))
