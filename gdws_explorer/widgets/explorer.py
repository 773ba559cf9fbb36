"""The explorer: the desk, the chosen layer, the front, measuring and taking away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from gdws_explorer.bench.own import Own
from gdws_explorer.explore.attacking import Measure
from gdws_explorer.explore.presets import PRESETS
from gdws_explorer.explore.records import Record
from gdws_explorer.figures.front import COSTS
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.network.summary import Summary
from gdws_explorer.training.task import FINETUNE
from gdws_explorer.widgets import state as states
from gdws_explorer.widgets import words
from gdws_explorer.widgets.desk import DeskWidget
from gdws_explorer.widgets.live import FrontView, LayerView
from gdws_explorer.widgets.measuring import Measuring
from gdws_explorer.widgets.panels.many import ManyPanel
from gdws_explorer.widgets.panels.masking import MaskingPanel
from gdws_explorer.widgets.panels.own import OwnPanel
from gdws_explorer.widgets.panels.pins import PinsPanel
from gdws_explorer.widgets.panels.sensitivity import SensitivityPanel
from gdws_explorer.widgets.panels.shelf import Panel, Shelf
from gdws_explorer.widgets.panels.training import TrainPanel
from gdws_explorer.widgets.parts import button, inside, labelled, on, row, wide
from gdws_explorer.widgets.session import Session
from gdws_explorer.widgets.settings import SettingsMenu
from gdws_explorer.widgets.wanted import Wanted

PANELS: tuple[type[Panel], ...] = (
    PinsPanel,
    MaskingPanel,
    SensitivityPanel,
    ManyPanel,
    TrainPanel,
)


class Explorer(w.VBox):
    """The interactive explorer of one network; `gx.explore` makes it.

    session : everything it knows, without widgets. plan, summary, network : what is on the desk.
    own : the explorer of the user's own network, while one is open in its place.
    `close()` ends its background work.

    open_own : opens what the panel "Bring your own" found; without it there is no such panel.
    """

    def __init__(
        self, session: Session, open_own: Callable[[Own, Measure], Explorer] | None = None
    ) -> None:
        self.session = session
        self.own: Explorer | None = None
        self._open_own = open_own
        self._drawing = threading.RLock()
        self.desk = DeskWidget(session)
        self.layer_view = LayerView(session)
        self.front_view = FrontView(session)
        self.tools = Tools(session)
        self.measuring = Measuring(session, self._finetune)
        self.axes = Axes(session, self.front_view)
        panels = PANELS if open_own is None else (*PANELS, OwnPanel)
        self.shelf = Shelf(session, panels)
        self.taking = Taking(session)
        self._message = w.HTML(words.message(session))
        self._message.add_class("gx-message")
        left = w.VBox([self.layer_view.box])
        self.wanted = Wanted(session, self.front_view)
        self.settings = SettingsMenu(session)
        right = w.VBox(
            [
                self.axes.box,
                self.wanted.box,
                self.front_view.box,
                self.settings.box,
                self.measuring.box,
            ]
        )
        columns = w.Box([left, right])
        columns.add_class("gx-columns")
        left.add_class("gx-column")
        right.add_class("gx-column")
        self._usual = [
            self.tools.box, self._message, self.desk, columns, self.shelf.box, self.taking.box
        ]  # fmt: skip
        super().__init__(
            self._usual,
            layout=w.Layout(width="100%", padding="8px"),
        )
        self.add_class("gx-explorer")
        session.subscribe(self._changed)

    @property
    def plan(self) -> Plan:
        """The plan on the faders."""
        return self.session.plan

    @property
    def summary(self) -> Summary:
        """Its costs and error."""
        return self.session.summary

    @property
    def network(self) -> Network:
        """The network under exploration."""
        return self.session.network

    @property
    def measured(self) -> Record | None:
        """What was measured of it in the present setting, if anything was."""
        return self.session.measurements.of(self.session.plan)

    @property
    def state(self) -> str:
        """The whole view as a short string; `gx.explore(state=…)` brings it back."""
        return states.encode(self.session)

    def close(self) -> None:
        """End the background work and take the widgets away."""
        if not sys or sys.is_finalizing():  # ipywidgets closes what is left when Python itself ends
            return
        self._leave()
        self.session.close()
        self.shelf.close()
        for widget in inside(self):
            widget.close()
        super().close()

    def _finetune(self) -> None:
        """Open the panel "Train" on the plan that is on the faders."""
        self.shelf.open(TrainPanel.title)
        panel = self.shelf.opened
        assert isinstance(panel, TrainPanel)
        panel.choose(FINETUNE)
        self.session.say(f"“{TrainPanel.title}” is open below: look at the settings, then Start.")

    def _enter(self) -> None:
        """Show the user's own network in the place of this one."""
        assert self._open_own is not None
        assert self.session.brought is not None
        self._leave()
        self.own = self._open_own(*self.session.brought)
        back = button("Back", "arrow-left", f"Back to {self.session.title}")
        on(self.session, back, self._leave)
        self.children = [row(back), self.own]

    def _leave(self) -> None:
        """Come back from it."""
        if self.own is None:
            return
        gone, self.own = self.own, None
        self.children[0].children[0].close()
        self.children[0].close()
        self.children = self._usual
        gone.close()

    def _changed(self, what: str) -> None:
        if what == "own":
            self._enter()
            return
        # Called from the kernel's thread and from the worker's: one draws at a time.
        with self._drawing:
            if what in ("desk", "view"):
                self.layer_view.refresh()
                self.front_view.moved()
                self.tools.refresh()
                self.desk.refresh()  # last: its answer lets the next move come
            elif what == "learning":
                self.desk.refresh()
            elif what in ("records", "filters"):
                self.front_view.refresh()
                self.wanted.refresh()
                self.settings.refresh()
            elif what == "estimate":
                self.front_view.moved()
                self.axes.refresh()
            elif what == "message":
                self._message.value = words.message(self.session)
            if what in ("job", "records"):
                self.measuring.refresh()
            self.shelf.refresh(what)


class Tools:
    """The title, undo and redo, presets, reset."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._undo = button("Undo", "undo", "Take the last step back (Ctrl+Z)")
        self._redo = button("Redo", "repeat", "Take it again (Ctrl+Y)")
        reset = button("Reset", "refresh", "All layers dense, nothing locked")
        self._preset = w.Dropdown(
            options=[("Presets …", ""), *((name, name) for name in PRESETS)],
            layout=w.Layout(width="240px"),
        )
        on(session, self._undo, session.undo)
        on(session, self._redo, session.redo)
        on(session, reset, session.reset)
        self._preset.observe(self._chosen, "value")
        self.box = row(w.HTML(words.head(session)), self._undo, self._redo, self._preset, reset)
        self.refresh()

    def refresh(self) -> None:
        """Undo and redo are alive only where there is a step."""
        self._undo.disabled = not self._session.history.past
        self._redo.disabled = not self._session.history.future

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"]:
            with self._session.told():
                self._session.preset(change["new"])
            self._preset.value = ""


class Axes:
    """What the front shows, and walking along it."""

    def __init__(self, session: Session, view: FrontView) -> None:
        self._view = view
        costs = [(label, name) for name, label in COSTS.items()]
        self._cost = labelled(w.Dropdown, "x", 14, 230, options=costs)
        metrics = [
            ("clean and robust accuracy", ("robust", "clean")),
            ("robust accuracy", ("robust",)),
            ("clean accuracy", ("clean",)),
        ]
        self._metrics = labelled(w.Dropdown, "y", 14, 230, options=metrics)
        self._dominated = w.Checkbox(
            value=True, description="show dominated plans", indent=False, layout=wide(170)
        )
        back = button("", "arrow-left", "The next cheaper plan of the front (←)", 36)
        forth = button("", "arrow-right", "The next dearer plan of the front (→)", 36)
        on(session, back, lambda: session.walk(-1, view.metrics[0], view.cost))
        on(session, forth, lambda: session.walk(1, view.metrics[0], view.cost))
        for widget in (self._cost, self._metrics, self._dominated):
            widget.observe(self._changed, "value")
        self._live = w.Checkbox(
            value=False, description="live estimate", indent=False, layout=wide(120),
            tooltip="While you drag: the plan on images attacked once for the dense network, an "
            "upper bound of its robust accuracy",
        )  # fmt: skip
        self._session = session
        self._live.observe(self._estimating, "value")
        self.box = row(self._cost, self._metrics, self._dominated, self._live, back, forth)

    def _changed(self, _change: Any) -> None:
        self._view.cost = self._cost.value
        self._view.metrics = self._metrics.value
        self._view.dominated = self._dominated.value
        self._view.refresh()

    def refresh(self) -> None:
        """The box is ticked where estimates are on."""
        self._live.value = self._session.estimates.on

    def _estimating(self, change: dict[str, Any]) -> None:
        if change["new"] != self._session.estimates.on:
            with self._session.told():
                self._session.estimate(change["new"])
            self.refresh()


class Taking:
    """Export, records as CSV, the state string."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = labelled(
            w.Text, "folder", 48, 220, value="chosen", tooltip="Where the chosen network is written"
        )
        self._export = button(
            "Export network", "download",
            "plan.json, model.safetensors, model.onnx, report.json and a README.md", 150,
        )  # fmt: skip
        csv = button("Records as CSV", "table", "All records of this setting: records.csv", 150)
        state = button("State string", "link", "The whole view as text", 120)
        self._state = w.Text(
            placeholder="gx.explore(state=…) restores it", layout=w.Layout(width="320px")
        )
        on(session, self._export, self._go)
        on(session, csv, self._csv)
        on(session, state, self._show)
        self.box = row(self._folder, self._export, csv, state, self._state)

    def _go(self) -> None:
        self._export.disabled = True
        try:
            self._session.say("exporting …")
            folder = self._session.export(self._folder.value.strip() or "chosen")
        finally:
            self._export.disabled = False
        self._session.say(f"exported to {folder}: its README.md says how to load it again.")

    def _csv(self) -> None:
        path = self._session.measurements.save("records.csv")
        self._session.say(f"wrote {path}.")

    def _show(self) -> None:
        self._state.value = states.encode(self._session)
        if self._session.plan.trained:
            self._session.say(
                "the string holds the ranks, not the trained weights: to keep these, export the "
                "network."
            )
