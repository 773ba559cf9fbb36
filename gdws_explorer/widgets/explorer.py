"""The explorer: the desk, the chosen layer, the front, measuring and taking away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import ipywidgets as w

from gdws_explorer.bench.custom import CustomBench
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.session import state_string as states
from gdws_explorer.session.session import Session
from gdws_explorer.study.attack_settings import AttackSpec
from gdws_explorer.study.records import Record
from gdws_explorer.training.training_spec import FINETUNE
from gdws_explorer.widgets import text
from gdws_explorer.widgets.desk import DeskWidget
from gdws_explorer.widgets.evaluate_bar import EvaluateBar, SettingsMenu
from gdws_explorer.widgets.export_bar import ExportBar
from gdws_explorer.widgets.filter_bar import FilterBar
from gdws_explorer.widgets.form import button, inside, on, row
from gdws_explorer.widgets.front_controls import FrontControls
from gdws_explorer.widgets.front_view import FrontView
from gdws_explorer.widgets.layer_view import LayerView
from gdws_explorer.widgets.panels.custom_model_panel import CustomModelPanel
from gdws_explorer.widgets.panels.masking_panel import MaskingPanel
from gdws_explorer.widgets.panels.panel_bar import Panel, PanelBar
from gdws_explorer.widgets.panels.pins_panel import PinsPanel
from gdws_explorer.widgets.panels.sensitivity_panel import SensitivityPanel
from gdws_explorer.widgets.panels.sweep_search_panel import SweepSearchPanel
from gdws_explorer.widgets.panels.train_panel import TrainPanel
from gdws_explorer.widgets.toolbar import Toolbar

PANELS: tuple[type[Panel], ...] = (
    PinsPanel,
    MaskingPanel,
    SensitivityPanel,
    SweepSearchPanel,
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
        self,
        session: Session,
        open_own: Callable[[CustomBench, AttackSpec], Explorer] | None = None,
    ) -> None:
        self.session = session
        self.own: Explorer | None = None
        self._open_own = open_own
        self._drawing = threading.RLock()
        self.desk = DeskWidget(session)
        self.layer_view = LayerView(session)
        self.front_view = FrontView(session)
        self.tools = Toolbar(session)
        self.measuring = EvaluateBar(session, self._finetune)
        self.axes = FrontControls(session, self.front_view)
        panels = PANELS if open_own is None else (*PANELS, CustomModelPanel)
        self.shelf = PanelBar(session, panels)
        self.taking = ExportBar(session)
        self._message = w.HTML(text.message(session))
        self._message.add_class("gx-message")
        left = w.VBox([self.layer_view.box])
        self.wanted = FilterBar(session, self.front_view)
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
                self._message.value = text.message(self.session)
            if what in ("job", "records"):
                self.measuring.refresh()
            self.shelf.refresh(what)
