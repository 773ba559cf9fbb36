"""How plans are measured: attack and images, Evaluate, progress, cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from gdws_explorer.robust.attack_base import NORMS
from gdws_explorer.robust.sequence import stages_of
from gdws_explorer.session.session import Session
from gdws_explorer.study.attack_settings import (
    ATTACK_TYPES,
    USUAL_L2,
    AttackSettings,
    AttackSpec,
    attack_settings_of,
)
from gdws_explorer.utils.format import eps_text
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import (
    button,
    labelled,
    on,
    on_change,
    radius,
    row,
    set_value,
    silent,
)

GIVEN = "given"  # an attack that the inputs cannot say


class EvaluateBar:
    """The inputs below the front, and what runs.

    finetune : called when the plan is to be trained further.
    """

    def __init__(self, session: Session, finetune: Callable[[], None]) -> None:
        self._session = session
        self._given = session.measurements.attack
        wish = attack_settings_of(self._given)
        options = [(kind.label, name) for name, kind in ATTACK_TYPES.items()]
        if wish is None:
            assert self._given is not None
            options.insert(0, (self._given.label, GIVEN))
            first = stages_of(self._given)[0]
            wish = AttackSettings(GIVEN, first.eps, first.norm)
        self._other_eps = {"linf": "8/255", "l2": eps_text(USUAL_L2)}
        self._attack = labelled(
            w.Dropdown, "attack", 42, 170, options=options, value=wish.kind,
            tooltip="Through torchattacks",
        )  # fmt: skip
        self._norm = w.Dropdown(
            options=[(label, name) for name, label in NORMS.items()], value=wish.norm,
            layout=w.Layout(width="52px"), tooltip="What ε measures: ℓ∞ each pixel, ℓ2 the sum",
        )  # fmt: skip
        self._eps = labelled(
            w.Text, "ε", 14, 86, value=eps_text(wish.eps), continuous_update=False,
            tooltip="Radius for images in [0, 1], as 8/255",
        )  # fmt: skip
        self._steps = labelled(
            w.IntText, "steps", 46, 104, value=wish.steps, continuous_update=False
        )
        self._restarts = labelled(
            w.IntText, "restarts", 56, 104, value=wish.restarts, continuous_update=False,
            tooltip="How often it is tried from another random start",
        )  # fmt: skip
        self._n = labelled(
            w.IntText, "n", 14, 74, value=session.measurements.n, continuous_update=False,
            tooltip="How many images",
        )  # fmt: skip
        self._evaluate = button("Evaluate", "play", "Measure this plan in the background", 96)
        self._evaluate.button_style = "primary"
        self._cancel = button("Cancel", "stop", "Stop the measurement and those that wait", 80)
        self._finetune = button(
            "Fine-tune this plan", "graduation-cap",
            "Train its factors further, against attacks: opens the panel “Train”", 170,
        )  # fmt: skip
        self._bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self._text = w.HTML()
        on(session, self._finetune, finetune)
        on(session, self._evaluate, self._go)
        on(session, self._cancel, session.jobs.cancel)
        on_change(self._attack, self._chosen)
        on_change(self._norm, self._ball)
        for widget in (self._eps, self._steps, self._restarts, self._n):
            on_change(widget, self._set)
        self._inputs = (
            self._attack, self._norm, self._eps, self._steps, self._restarts, self._n
        )  # fmt: skip
        self.box = w.VBox(
            [
                row(*self._inputs, self._evaluate, self._cancel, self._finetune),
                w.HBox([self._bar, self._text]),
            ]
        )
        self._disable_all = session.measurements.data is None
        self._followed = session.measurements.setting
        self.refresh()

    def refresh(self) -> None:
        """Show the running job, and only the inputs that the attack has."""
        if self._session.measurements.setting != self._followed:
            self._follow()
        running = self._session.jobs.running
        self._bar.value = 0.0 if running is None else running.fraction
        self._bar.layout.visibility = "hidden" if running is None else "visible"
        self._cancel.disabled = running is None
        self._evaluate.disabled = self._disable_all
        kind = ATTACK_TYPES.get(self._attack.value)
        attacks = kind is not None and self._attack.value != "none"
        self._eps.layout.display = None if attacks else "none"
        self._norm.layout.display = None if attacks else "none"
        self._norm.disabled = kind is None or len(kind.norms) == 1
        self._steps.layout.display = None if kind is not None and kind.steps else "none"
        self._steps.description = "steps" if kind is None else kind.steps_name
        self._restarts.layout.display = None if kind is not None and kind.restarts else "none"
        self._attack.tooltip = "as given" if kind is None else kind.tip
        self._text.value = text.job(self._session)

    def _follow(self) -> None:
        """Show how it is measured now, where somebody else changed it."""
        measured = self._session.measurements
        self._followed, attack = measured.setting, measured.attack
        with silent(*self._inputs):
            self._n.value = measured.n
            if self._wanted() == attack:
                return
            wish = attack_settings_of(attack)
            if wish is None:
                assert attack is not None
                self._given = attack
                first = stages_of(attack)[0]
                wish = AttackSettings(GIVEN, first.eps, first.norm)
                rest = [option for option in self._attack.options if option[1] != GIVEN]
                self._attack.options = [(attack.label, GIVEN), *rest]
            self._attack.value, self._norm.value = wish.kind, wish.norm
            self._eps.value = eps_text(wish.eps)
            self._steps.value, self._restarts.value = wish.steps, wish.restarts

    def _go(self) -> None:
        self._apply()
        self._session.evaluate()

    def _chosen(self, change: dict[str, Any]) -> None:
        """Another attack: its own usual number of steps, and a norm that it has."""
        kind = ATTACK_TYPES.get(change["new"])
        with self._session.show_errors():
            if kind is not None:
                before = ATTACK_TYPES.get(change["old"])
                if kind.steps and (before is None or before.steps != kind.steps):
                    set_value(self._steps, kind.steps)
                if self._norm.value not in kind.norms:
                    self._swap_eps(self._norm.value, kind.norms[0])
                    set_value(self._norm, kind.norms[0])
            self._apply()

    def _ball(self, change: dict[str, Any]) -> None:
        """Another norm: ε of one says nothing about ε of the other."""
        self._swap_eps(change["old"], change["new"])
        self._set(change)

    def _swap_eps(self, old: str, new: str) -> None:
        self._other_eps[old] = self._eps.value
        set_value(self._eps, self._other_eps[new])

    def _set(self, _change: Any) -> None:
        with self._session.show_errors():
            self._apply()

    def _apply(self) -> None:
        self._session.measure_with(self._wanted(), self._n.value)

    def _wanted(self) -> AttackSpec:
        if self._attack.value == GIVEN:
            return self._given
        eps = 8 / 255 if self._attack.value == "none" else radius(self._eps.value)
        wish = AttackSettings(
            self._attack.value, eps, self._norm.value, self._steps.value, self._restarts.value
        )
        return wish.attack


class SettingsMenu:
    """A menu that is there once there is more than one setting."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._menu = labelled(
            w.Dropdown, "setting", 48, 440,
            tooltip="Records of different attacks, images or seeds never share a front",
        )  # fmt: skip
        self._menu.layout.max_width = "100%"
        on_change(self._menu, self._chosen)
        self.box = w.VBox([self._menu])
        self.refresh()

    def refresh(self) -> None:
        """List what there is now; the one on view is chosen."""
        shown = self._session.measurements.shown
        there = self._session.measurements.settings()
        options = [
            (f"{one.label}: {one.measured} measured", one.setting)
            for one in sorted(there, key=lambda one: one.label)
        ]
        with silent(self._menu):
            if tuple(options) != self._menu.options:
                self._menu.options = options
            self._menu.value = shown
        self.box.layout.display = None if len(options) > 1 else "none"

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is not None:
            with self._session.show_errors():
                self._session.show_setting(change["new"])
