"""The explorer: sliders, the selected layer, the front, measuring and export on one page."""

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
from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
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
from gdws_explorer.widgets.time_bar import TimeBar
from gdws_explorer.widgets.toolbar import Toolbar

PANELS: tuple[type[Panel], ...] = (
    PinsPanel,
    MaskingPanel,
    SensitivityPanel,
    SweepSearchPanel,
    TrainPanel,
)


class Explorer(w.VBox):  # type: ignore[misc]
    """The interactive explorer of one network; `gx.explore` makes it.

    session : its state and work, without widgets. plan, summary, network : the present ones.
    custom : the explorer of the user's own network, while one is open in its place.
    `close()` ends its background work.

    open_custom : opens what the panel "Bring your own" found; None leaves out that panel.
    """

    def __init__(
        self,
        session: Session,
        open_custom: Callable[[CustomBench, AttackSpec], Explorer] | None = None,
    ) -> None:
        self.session = session
        self.custom: Explorer | None = None
        self._open_custom = open_custom
        self._drawing = threading.RLock()
        self.desk = DeskWidget(session)
        self.time_bar = TimeBar(session)
        self.layer_view = LayerView(session)
        self.front_view = FrontView(session)
        self.toolbar = Toolbar(session)
        self._steps = session.snapshot.can_undo, session.snapshot.can_redo
        self.evaluate_bar = EvaluateBar(session, self._finetune)
        self.front_controls = FrontControls(session, self.front_view)
        panels = PANELS if open_custom is None else (*PANELS, CustomModelPanel)
        self.panel_bar = PanelBar(session, panels)
        self.export_bar = ExportBar(session)
        self.message_line = w.HTML(text.message(session))
        self.message_line.add_class("gx-message")
        left = w.VBox([self.layer_view.box])
        self.filter_bar = FilterBar(session, self.front_view)
        self.settings_menu = SettingsMenu(session)
        right = w.VBox(
            [
                self.front_controls.box,
                self.filter_bar.box,
                self.front_view.box,
                self.settings_menu.box,
                self.evaluate_bar.box,
            ]
        )
        columns = w.Box([left, right])
        columns.add_class("gx-columns")
        left.add_class("gx-column")
        right.add_class("gx-column")
        self._usual = [
            self.toolbar.box,
            self.message_line,
            self.desk,
            self.time_bar.box,
            columns,
            self.panel_bar.box,
            self.export_bar.box,
        ]
        super().__init__(
            self._usual,
            layout=w.Layout(width="100%", padding="8px"),
        )
        self.add_class("gx-explorer")
        session.subscribe(self._changed)

    @property
    def plan(self) -> Plan:
        """The present plan."""
        return self.session.plan

    @property
    def summary(self) -> Summary:
        """Costs and error of the present plan."""
        return self.session.summary

    @property
    def network(self) -> Network:
        """The network under exploration."""
        return self.session.network

    @property
    def measured(self) -> Record | None:
        """The record of the present plan in the present setting; None if it is not measured."""
        return self.session.measurements.of(self.session.plan)

    @property
    def state(self) -> str:
        """The whole view as a short string; `gx.explore(state=…)` brings it back."""
        return states.encode(self.session)

    def close(self) -> None:
        """Ends the background work and closes the widgets."""
        if not sys or sys.is_finalizing():  # ipywidgets closes what is left when Python itself ends
            return
        self._leave()
        self.session.close()
        self.panel_bar.close()
        for widget in inside(self):
            widget.close()
        super().close()

    def _finetune(self) -> None:
        """Opens the panel "Train" with the present plan."""
        self.panel_bar.open(TrainPanel.title)
        panel = self.panel_bar.opened
        assert isinstance(panel, TrainPanel)
        panel.choose(FINETUNE)
        self.session.show_message(
            f"“{TrainPanel.title}” is open below: look at the settings, then Start."
        )

    def _enter(self) -> None:
        """Shows the user's own network in the place of this one."""
        assert self._open_custom is not None
        assert self.session.custom is not None
        self._leave()
        self.custom = self._open_custom(*self.session.custom)
        back = button("Back", "arrow-left", f"Back to {self.session.title}")
        on(self.session, back, self._leave)
        self.children = [row(back), self.custom]

    def _leave(self) -> None:
        """Returns from the user's own network to this one."""
        if self.custom is None:
            return
        gone, self.custom = self.custom, None
        self.children[0].children[0].close()
        self.children[0].close()
        self.children = self._usual
        gone.close()

    def _changed(self, event: Event, now: Snapshot) -> None:
        if event == "custom":
            self._enter()
            return
        # Called in the kernel's thread and in workers: one draws at a time.
        with self._drawing:
            if event in ("plan", "selection"):
                self.layer_view.refresh(now)
                self.front_view.refresh_plan(now)
                self.time_bar.refresh(now)
                if (now.can_undo, now.can_redo) != self._steps:
                    self._steps = now.can_undo, now.can_redo
                    self.toolbar.refresh(now)
                self.desk.refresh(now)  # last: its answer allows the page to send the next move
            elif event == "source":
                self.desk.refresh(now)
            elif event in ("records", "filters"):
                self.front_view.refresh(now)
                self.filter_bar.refresh()
                self.settings_menu.refresh()
            elif event == "estimate":
                self.front_view.refresh_plan(now)
                self.front_controls.refresh()
            elif event == "message":
                self.message_line.value = text.message(self.session)
            if event in ("job", "records"):
                self.evaluate_bar.refresh()
            if self.panel_bar.opened is not None:
                self.panel_bar.refresh(event)
