"""The inputs of a sweep and of a search."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from gdws_explorer.errors import DataError
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import FGSM, PGD
from gdws_explorer.session.session import Session
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.study.network_views import KINDS
from gdws_explorer.study.objectives import parse_constraint
from gdws_explorer.study.search import SAMPLERS
from gdws_explorer.study.study_spec import SearchSpec, StudySpec, SweepSpec
from gdws_explorer.study.sweep import Grid
from gdws_explorer.widgets.form import labelled, row

SWEEP, SEARCH = "Sweep", "Search"
SWEEPS = {
    "beta": "β, the same for every layer (paper)", "alpha": "β weighted by α (eq. 8)",
    "macs": "MACs budgets", "params": "parameter budgets",
}  # fmt: skip
MIXED, EACH, ALL = "mixed", "each", "all"
SOURCES = {
    "weights": "the weights", "refit": "the weights, refitted", "data": "images, refitted",
    ALL: "all of these",
}  # fmt: skip
OBJECTIVES = {
    "robust accuracy and MACs": ("robust", "macs"),
    "robust, clean accuracy and MACs": ("robust", "clean", "macs"),
    "robust accuracy and parameters": ("robust", "params"),
    "clean accuracy and MACs": ("clean", "macs"),
}
TIMED_OBJECTIVES = {"robust accuracy and milliseconds": ("robust", "ms")}
SAMPLER_NAMES = {"nsga2": "NSGA-II", "tpe": "TPE"}
NO_SCREENING = "none: the full attack for all plans"
SCREENS: dict[str, Callable[[Attack], Attack]] = {
    "FGSM, then the front": lambda attack: FGSM(attack.eps),
    "PGD-5, then the front": lambda attack: PGD(attack.eps, steps=5, norm=attack.norm),
}
PROCESSES = {"this kernel": 0, "1 process": 1, "2 processes": 2, "4 processes": 4}


class SweepSearchForm:
    """The inputs of a sweep and of a search; `spec()` returns what they define.

    kind : sweep or search. sweep_over, points, layers : of a sweep. objectives, evaluations,
    constraints, sampler, screening : of a search. families, source, processes : of both.
    changed : called when an input changes.
    """

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session = session
        self.kind = w.ToggleButtons(
            options=[SWEEP, SEARCH], style={"button_width": "84px"},
            tooltips=["Plans at evenly spaced budgets", "Plans that Optuna proposes"],
        )  # fmt: skip
        self._make_sweep_inputs()
        self._make_search_inputs()
        self._make_common_inputs()
        self.box = w.VBox(
            [
                self.kind,
                row(self.sweep_over, self.points, self.objectives, self.evaluations),
                row(self.constraints), row(self.screening, self.sampler),
                row(self.families, self.layers), row(self.source, self.processes),
            ]
        )  # fmt: skip
        for widget in (self.kind, self.sweep_over):
            widget.observe(lambda _change: self._show_inputs(), "value")
        for widget in (
            self.kind, self.sweep_over, self.points, self.families, self.layers, self.source,
            self.objectives, self.evaluations, self.constraints, self.sampler, self.screening,
        ):  # fmt: skip
            widget.observe(lambda _change: changed(), "value")
        self._show_inputs()

    @property
    def workers(self) -> int | None:
        """The number of processes that measure; None for the kernel itself."""
        return self.processes.value or None

    def spec(self) -> StudySpec:
        """Returns the sweep or search; DataError, ExplorerError or BudgetError for wrong inputs."""
        if self._session.measurements.data is None:
            raise DataError("there are no images to measure on; open with data=(images, labels).")
        chosen = self.source.value
        sources = KINDS if chosen == ALL else (chosen,)
        return self._sweep(sources) if self.kind.value == SWEEP else self._search(sources)

    def _make_sweep_inputs(self) -> None:
        has_images = self._session.views.images is not None
        sweeps = [(label, name) for name, label in SWEEPS.items() if has_images or name != "alpha"]
        self.sweep_over = labelled(w.Dropdown, "over", 72, 330, options=sweeps)
        self.points = labelled(
            w.IntText, "points", 46, 110, value=30, continuous_update=False,
            tooltip="The number of budgets between the smallest and the largest",
        )  # fmt: skip
        self.layers = labelled(
            w.Dropdown, "layers", 72, 210, options=[("together", False), ("one at a time", True)],
            tooltip="One at a time: the other layers stay dense, which shows each layer's effect",
        )  # fmt: skip

    def _make_search_inputs(self) -> None:
        timed = TIMED_OBJECTIVES if self._session.network.latencies is not None else {}
        self.objectives = labelled(
            w.Dropdown, "objectives", 72, 330, options={**OBJECTIVES, **timed}
        )
        self.evaluations = labelled(
            w.IntText, "plans", 46, 116, value=150, continuous_update=False,
            tooltip="The number of different plans that are measured",
        )  # fmt: skip
        self.constraints = labelled(
            w.Text, "constraints", 72, 330, continuous_update=False,
            placeholder="robust ≥ 45 %, macs ≤ 60 %",
            tooltip="Least robust or clean accuracy, most macs or params; separated by commas",
        )  # fmt: skip
        self.sampler = labelled(
            w.Dropdown, "sampler", 58, 160,
            options=[(SAMPLER_NAMES[name], name) for name in SAMPLERS],
            tooltip="NSGA-II: Deb et al. 2002; TPE: Ozaki et al. 2020; both of Optuna",
        )  # fmt: skip
        self.screening = labelled(
            w.Dropdown, "screening", 72, 260, options=[NO_SCREENING, *SCREENS],
            tooltip="A fast attack for all plans; the full attack only for the front that results",
        )  # fmt: skip

    def _make_common_inputs(self) -> None:
        families = [("all together", MIXED), ("each alone", EACH)]
        families += [(family.label, name) for name, family in FAMILIES.items()]
        self.families = labelled(w.Dropdown, "families", 72, 210, options=families)
        self.source = labelled(
            w.Dropdown, "made from", 72, 230,
            options=[(label, name) for name, label in SOURCES.items()],
            tooltip="What approximations are made from; refitted on the calibration images",
        )  # fmt: skip
        self.processes = labelled(
            w.Dropdown, "in", 20, 140, options=[*PROCESSES.items()],
            tooltip="Processes of this machine that measure the plans (needs dask)",
        )  # fmt: skip

    def _sweep(self, sources: tuple[str, ...]) -> SweepSpec:
        over, points = self.sweep_over.value, self.points.value
        if points < 1:
            raise DataError(f"points is {points}; expected a whole number from 1 up.")
        beta = over in ("beta", "alpha")
        skipped = self._session.controls.state.skipped
        layers = [name for name in self._session.views.plain.names if name not in skipped]
        chosen = self.families.value
        grid = Grid(
            beta=points if beta else (),
            macs=points if over == "macs" else (),
            params=points if over == "params" else (),
            families={MIXED: ("any",), EACH: tuple(FAMILIES)}.get(chosen, (chosen,)),
            layers=layers if self.layers.value else None,
        )
        return SweepSpec(grid, sources, alpha=over == "alpha")

    def _search(self, sources: tuple[str, ...]) -> SearchSpec:
        constraints = [part for part in self.constraints.value.split(",") if part.strip()]
        attack = calibration_attack(self._session.measurements.attack)
        make_screen = SCREENS.get(self.screening.value)
        family = self.families.value
        return SearchSpec(
            objectives=self.objectives.value,
            constraints=dict(parse_constraint(part) for part in constraints),
            evaluations=self.evaluations.value,
            sampler=self.sampler.value,
            families=None if family in (MIXED, EACH) else (family,),
            screen=() if make_screen is None or attack is None else ((make_screen(attack), None),),
            sources=sources,
        )

    def _show_inputs(self) -> None:
        """Shows only the inputs that matter for the chosen kind."""
        sweep = self.kind.value == SWEEP
        beta = self.sweep_over.value in ("beta", "alpha")  # of GDWS only
        has_images = self._session.views.images is not None
        needed = {
            self.sweep_over: sweep, self.points: sweep, self.layers: sweep,
            self.families: not (sweep and beta), self.source: has_images,
            self.objectives: not sweep, self.evaluations: not sweep, self.constraints: not sweep,
            self.screening: not sweep, self.sampler: not sweep,
        }  # fmt: skip
        for widget, shown in needed.items():
            widget.layout.display = None if shown else "none"
