"""Evaluate bar: attack, number of images, Evaluate, progress; and the menu of settings."""

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
from gdws_explorer.utils.parsing import parse_radius
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import button, labelled, on, on_change, row, set_value, silent

GIVEN = "given"  # the menu's entry for an attack that the inputs cannot express


class EvaluateBar:
    """The inputs of an evaluation, its buttons, and the progress of the running job.

    attack, norm, eps, steps, restarts, n : the inputs. evaluate_button, cancel_button,
    finetune_button : the buttons. bar, status : progress as a bar and as text.
    finetune : called by the button "Fine-tune this plan".
    """

    def __init__(self, session: Session, finetune: Callable[[], None]) -> None:
        self._session = session
        self._given = session.measurements.attack
        settings = attack_settings_of(self._given)
        options = [(kind.label, name) for name, kind in ATTACK_TYPES.items()]
        if settings is None:
            assert self._given is not None
            options.insert(0, (self._given.label, GIVEN))
            settings = _given_settings(self._given)
        self._eps_of_norm = {"linf": "8/255", "l2": eps_text(USUAL_L2)}  # of the norm not shown
        self._make_inputs(options, settings)
        self.evaluate_button = button("Evaluate", "play", "Measure this plan in the background", 96)
        self.evaluate_button.button_style = "primary"
        self.cancel_button = button(
            "Cancel", "stop", "Stop the running measurement and those that wait", 80
        )
        self.finetune_button = button(
            "Fine-tune this plan", "graduation-cap",
            "Train this plan's factors on attacked images: opens the panel “Train”", 170,
        )  # fmt: skip
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self.status = w.HTML()
        on(session, self.finetune_button, finetune)
        on(session, self.evaluate_button, self._evaluate)
        on(session, self.cancel_button, session.jobs.cancel)
        on_change(self.attack, self._change_attack)
        on_change(self.norm, self._change_norm)
        for widget in (self.eps, self.steps, self.restarts, self.n):
            on_change(widget, lambda _change: self._apply_or_explain())
        buttons = (self.evaluate_button, self.cancel_button, self.finetune_button)
        self.box = w.VBox([row(*self._inputs, *buttons), w.HBox([self.bar, self.status])])
        self._shown_setting = session.measurements.setting
        self.refresh()

    def refresh(self) -> None:
        """Shows the running job, and only the inputs that the attack has."""
        session = self._session
        if session.measurements.setting != self._shown_setting:
            self._show_setting()
        running = session.jobs.running
        self.bar.value = 0.0 if running is None else running.fraction
        self.bar.layout.visibility = "hidden" if running is None else "visible"
        self.cancel_button.disabled = running is None
        self.evaluate_button.disabled = session.measurements.data is None
        kind = ATTACK_TYPES.get(self.attack.value)
        attacks = kind is not None and self.attack.value != "none"
        self.eps.layout.display = None if attacks else "none"
        self.norm.layout.display = None if attacks else "none"
        self.norm.disabled = kind is None or len(kind.norms) == 1
        self.steps.layout.display = None if kind is not None and kind.steps else "none"
        self.steps.description = "steps" if kind is None else kind.steps_name
        self.restarts.layout.display = None if kind is not None and kind.restarts else "none"
        self.attack.tooltip = "the attack that was given" if kind is None else kind.tip
        self.status.value = text.job(session)

    def _make_inputs(self, options: list[tuple[str, str]], settings: AttackSettings) -> None:
        self.attack = labelled(
            w.Dropdown, "attack", 42, 170, options=options, value=settings.kind,
            tooltip="By torchattacks",
        )  # fmt: skip
        self.norm = w.Dropdown(
            options=[(label, name) for name, label in NORMS.items()], value=settings.norm,
            layout=w.Layout(width="52px"),
            tooltip="The norm of ε: ℓ∞ bounds every pixel, ℓ2 the root of the sum of squares",
        )  # fmt: skip
        self.eps = labelled(
            w.Text, "ε", 14, 86, value=eps_text(settings.eps), continuous_update=False,
            tooltip="Radius for images in [0, 1], such as 8/255",
        )  # fmt: skip
        self.steps = labelled(
            w.IntText, "steps", 46, 104, value=settings.steps, continuous_update=False
        )
        self.restarts = labelled(
            w.IntText, "restarts", 56, 104, value=settings.restarts, continuous_update=False,
            tooltip="The number of random starts",
        )  # fmt: skip
        self.n = labelled(
            w.IntText, "n", 14, 74, value=self._session.measurements.n, continuous_update=False,
            tooltip="The number of images",
        )  # fmt: skip
        self._inputs = (self.attack, self.norm, self.eps, self.steps, self.restarts, self.n)

    def _show_setting(self) -> None:
        """Shows the present setting after something else changed it."""
        measured = self._session.measurements
        self._shown_setting, attack = measured.setting, measured.attack
        with silent(*self._inputs):
            self.n.value = measured.n
            if self._chosen_attack() == attack:
                return
            settings = attack_settings_of(attack)
            if settings is None:
                assert attack is not None
                self._given = attack
                settings = _given_settings(attack)
                others = [option for option in self.attack.options if option[1] != GIVEN]
                self.attack.options = [(attack.label, GIVEN), *others]
            self.attack.value, self.norm.value = settings.kind, settings.norm
            self.eps.value = eps_text(settings.eps)
            self.steps.value, self.restarts.value = settings.steps, settings.restarts

    def _evaluate(self) -> None:
        self._apply()
        self._session.evaluate()

    def _change_attack(self, change: dict[str, Any]) -> None:
        """Sets the usual number of steps of another attack, and a norm that it has."""
        kind = ATTACK_TYPES.get(change["new"])
        with self._session.show_errors():
            if kind is not None:
                before = ATTACK_TYPES.get(change["old"])
                if kind.steps and (before is None or before.steps != kind.steps):
                    set_value(self.steps, kind.steps)
                if self.norm.value not in kind.norms:
                    self._swap_eps(self.norm.value, kind.norms[0])
                    set_value(self.norm, kind.norms[0])
            self._apply()

    def _change_norm(self, change: dict[str, Any]) -> None:
        """Shows the radius of the other norm: radii of different norms are not comparable."""
        self._swap_eps(change["old"], change["new"])
        self._apply_or_explain()

    def _swap_eps(self, old: str, new: str) -> None:
        self._eps_of_norm[old] = self.eps.value
        set_value(self.eps, self._eps_of_norm[new])

    def _apply_or_explain(self) -> None:
        with self._session.show_errors():
            self._apply()

    def _apply(self) -> None:
        self._session.measure_with(self._chosen_attack(), self.n.value)

    def _chosen_attack(self) -> AttackSpec:
        """The attack of the inputs; DataError for numbers that it does not accept."""
        if self.attack.value == GIVEN:
            return self._given
        eps = 8 / 255 if self.attack.value == "none" else parse_radius("ε", self.eps.value)
        settings = AttackSettings(
            self.attack.value, eps, self.norm.value, self.steps.value, self.restarts.value
        )
        return settings.attack


class SettingsMenu:
    """A menu of the settings that have records; hidden while there is only one.

    menu : the dropdown, whose value is an EvaluationSetting.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.menu = labelled(
            w.Dropdown, "setting", 48, 440,
            tooltip="Records of different attacks, images or seeds are on different fronts",
        )  # fmt: skip
        self.menu.layout.max_width = "100%"
        on_change(self.menu, self._choose)
        self.box = w.VBox([self.menu])
        self.refresh()

    def refresh(self) -> None:
        """Lists the settings; the one whose records are shown is selected."""
        measured = self._session.measurements
        counts = sorted(measured.settings(), key=lambda each: each.label)
        options = [(f"{each.label}: {each.measured} measured", each.setting) for each in counts]
        with silent(self.menu):
            if tuple(options) != self.menu.options:
                self.menu.options = options
            self.menu.value = measured.shown
        self.box.layout.display = None if len(options) > 1 else "none"

    def _choose(self, change: dict[str, Any]) -> None:
        if change["new"] is not None:
            with self._session.show_errors():
                self._session.show_setting(change["new"])


def _given_settings(attack: AttackSpec) -> AttackSettings:
    """Returns the inputs' values while an attack that they cannot express is selected."""
    first = stages_of(attack)[0]
    return AttackSettings(GIVEN, first.eps, first.norm)
