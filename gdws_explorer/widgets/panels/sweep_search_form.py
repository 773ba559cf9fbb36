"""What is to be measured: the form of a sweep and that of a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.widgets.form import labelled, row

SWEEP, SEARCH = "Sweep", "Search"
LINES = {
    "beta": "β, one for every layer (the paper)", "alpha": "β weighed by α of eq. 8",
    "macs": "MACs budgets", "params": "parameter budgets",
}  # fmt: skip
MIXED, EACH, ALL = "mixed", "each", "all"
SOURCES = {
    "weights": "the weights", "refit": "the weights, refitted", "data": "images, refitted",
    ALL: "all of these",
}  # fmt: skip
AIMS = {
    "robust accuracy and MACs": ("robust", "macs"),
    "robust, clean accuracy and MACs": ("robust", "clean", "macs"),
    "robust accuracy and parameters": ("robust", "params"),
    "clean accuracy and MACs": ("clean", "macs"),
}
TIMED = {"robust accuracy and milliseconds": ("robust", "ms")}
SAMPLER_NAMES = {"nsga2": "NSGA-II", "tpe": "TPE"}
NONE = "no: all meet the attack"
SCREENS: dict[str, Callable[[Attack], Attack]] = {
    "FGSM, then the front": lambda usual: FGSM(usual.eps),
    "PGD-5, then the front": lambda usual: PGD(usual.eps, steps=5, norm=usual.norm),
}


class SweepSearchForm:
    """The inputs; `order()` is what they say. changed : called when one of them changes."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session = session
        self._kind = w.ToggleButtons(
            options=[SWEEP, SEARCH], style={"button_width": "84px"},
            tooltips=["Plans along a line", "Plans that Optuna proposes, from the front on"],
        )  # fmt: skip
        learns = session.views.images is not None
        lines = [(text, name) for name, text in LINES.items() if learns or name != "alpha"]
        self._line = labelled(w.Dropdown, "over", 72, 330, options=lines)
        self._points = labelled(
            w.IntText, "points", 46, 110, value=30, continuous_update=False,
            tooltip="How many along the whole range",
        )  # fmt: skip
        families = [("all together", MIXED), ("each alone", EACH)]
        families += [(one.label, name) for name, one in FAMILIES.items()]
        self._families = labelled(w.Dropdown, "families", 72, 210, options=families)
        self._layers = labelled(
            w.Dropdown, "layers", 72, 210, options=[("together", False), ("one at a time", True)],
            tooltip="One at a time: the others stay dense, so each layer's own part is seen",
        )  # fmt: skip
        self._source = labelled(
            w.Dropdown, "made from", 72, 230,
            options=[(text, name) for name, text in SOURCES.items()],
            tooltip="What approximations are made from; refitted on the calibration images",
        )  # fmt: skip
        timed = TIMED if session.network.latencies is not None else {}
        self._aim = labelled(w.Dropdown, "for", 72, 330, options={**AIMS, **timed})
        self._evaluations = labelled(
            w.IntText, "plans", 46, 116, value=150, continuous_update=False,
            tooltip="Different plans that are measured",
        )  # fmt: skip
        self._constraints = labelled(
            w.Text, "holding to", 72, 330, continuous_update=False,
            placeholder="robust ≥ 45 %, macs ≤ 60 %",
            tooltip="robust, clean at least; macs, params at most; between commas",
        )  # fmt: skip
        self._sampler = labelled(
            w.Dropdown, "sampler", 58, 160,
            options=[(SAMPLER_NAMES[name], name) for name in SAMPLERS],
            tooltip="NSGA-II: Deb et al. 2002; TPE: Ozaki et al. 2020; both of Optuna",
        )  # fmt: skip
        self._screen = labelled(
            w.Dropdown, "screening", 72, 260, options=[NONE, *SCREENS],
            tooltip="A cheap attack for all of them, the strong one for what is on the front then",
        )  # fmt: skip
        self._workers = labelled(
            w.Dropdown, "in", 20, 140,
            options=[("this kernel", 0), ("1 process", 1), ("2 processes", 2), ("4 processes", 4)],
            tooltip="Processes of this machine measure beside the kernel (needs dask)",
        )  # fmt: skip
        self.box = w.VBox(
            [
                self._kind,
                row(self._line, self._points, self._aim, self._evaluations),
                row(self._constraints), row(self._screen, self._sampler),
                row(self._families, self._layers), row(self._source, self._workers),
            ]
        )  # fmt: skip
        self._kind.observe(self._shown, "value")
        self._line.observe(self._shown, "value")
        for widget in (
            self._kind, self._line, self._points, self._families, self._layers, self._source,
            self._aim, self._evaluations, self._constraints, self._sampler, self._screen,
        ):  # fmt: skip
            widget.observe(lambda _change: changed(), "value")
        self._shown(None)

    @property
    def workers(self) -> int | None:
        """Processes to measure in; None for the kernel's own."""
        return self._workers.value or None

    def order(self) -> StudySpec:
        """What is ordered; DataError, ExplorerError or BudgetError where the form is wrong."""
        if self._session.measurements.data is None:
            raise DataError("there are no images to measure on; open with data=(images, labels).")
        chosen = self._source.value
        sources = KINDS if chosen == ALL else (chosen,)
        return self._sweep(sources) if self._kind.value == SWEEP else self._hunt(sources)

    def _sweep(self, sources: tuple[str, ...]) -> SweepSpec:
        line, points = self._line.value, self._points.value
        checked_whole("points", points)
        beta = line in ("beta", "alpha")
        network = self._session.views.plain
        able = [name for name in network.names if name not in self._session.controls.state.skipped]
        grid = Grid(
            beta=points if beta else (),
            macs=points if line == "macs" else (),
            params=points if line == "params" else (),
            families={MIXED: ("any",), EACH: tuple(FAMILIES)}.get(
                self._families.value, (self._families.value,)
            ),
            layers=able if self._layers.value else None,
        )
        return SweepSpec(grid, sources, alpha=line == "alpha")

    def _hunt(self, sources: tuple[str, ...]) -> SearchSpec:
        asked = [part for part in self._constraints.value.split(",") if part.strip()]
        usual = calibration_attack(self._session.measurements.attack)
        make = SCREENS.get(self._screen.value)
        one = self._families.value
        return SearchSpec(
            objectives=self._aim.value,
            constraints=dict(parse_constraint(part) for part in asked),
            evaluations=self._evaluations.value,
            sampler=self._sampler.value,
            families=None if one in (MIXED, EACH) else (one,),
            screen=() if make is None or usual is None else ((make(usual), None),),
            sources=sources,
        )

    def _shown(self, _change: Any) -> None:
        """Only the inputs that count."""
        sweep = self._kind.value == SWEEP
        beta = self._line.value in ("beta", "alpha")  # of GDWS alone
        learns = self._session.views.images is not None
        there = {
            self._line: sweep, self._points: sweep, self._layers: sweep,
            self._families: not (sweep and beta), self._source: learns,
            self._aim: not sweep, self._evaluations: not sweep, self._constraints: not sweep,
            self._screen: not sweep, self._sampler: not sweep,
        }  # fmt: skip
        for widget, on in there.items():
            widget.layout.display = None if on else "none"
