"""The plan under exploration, and every control that changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Dense, family_of
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.families import family_name
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.session.control_state import BudgetSetting, ControlState, dense_ms
from gdws_explorer.session.events import Event
from gdws_explorer.session.locking import locked
from gdws_explorer.session.presets import PRESETS
from gdws_explorer.session.slider import MEANINGS, LayerScale
from gdws_explorer.session.undo import UndoHistory
from gdws_explorer.study.budget_scale import (
    NETWORK_MEANINGS,
    RULES,
    network_number,
    network_position,
    network_share,
)
from gdws_explorer.study.comparison import LETTERS
from gdws_explorer.study.network_views import NetworkViews


class Controls:
    """The plan of one network with its locks, skips, sliders, selection, pins and undo.

    A change is one step of undo, calls `notify` and is complete before the method returns. All
    methods take the lock.

    views : the network, plain and made from images.
    notify : called with "plan", "selection" or "pins" after a change, while the lock is held.
    lock : the lock around the state; its own unless a session shares one.
    selected : name of the layer that every view shows.
    slider_meaning : what the layers' sliders set, one of `slider.MEANINGS`.
    budget_meaning : what the network's budget slider sets, one of NETWORK_MEANINGS.
    pins : the pinned plans by their letters.
    """

    def __init__(
        self,
        views: NetworkViews,
        notify: Callable[[Event], None] = lambda event: None,
        lock: threading.RLock | None = None,
    ) -> None:
        network = views.plain
        if not network.names:
            raise PlanError("no layer of this network can be approximated: " + _reasons(network))
        self.views = views
        self.lock = threading.RLock() if lock is None else lock
        self._notify = notify
        skipped = network.skip & frozenset(network.names)
        self.history = UndoHistory(ControlState(network.plan(), skipped=skipped))
        self.selected = next((n for n in network.names if n not in skipped), network.names[0])
        self.slider_meaning = "macs"
        self.budget_meaning = "macs"
        self.pins: dict[str, Plan] = {}
        # Choices are steps: without the exact position a slider would jump back to its step.
        self._exact_positions: dict[str, tuple[str, tuple[float, ...]]] = {}
        self._network: tuple[str | None, Network] | None = None
        self._summary: tuple[tuple[object, ...], Summary] | None = None
        self._positions: dict[str, tuple[object, tuple[float, ...]]] = {}  # by what they depend on

    # -- the present state -----------------------------------------------------------------

    @property
    def state(self) -> ControlState:
        """The plan with its locks, skips and budget."""
        return self.history.present

    @property
    def plan(self) -> Plan:
        """The present plan."""
        return self.history.present.plan

    @property
    @locked
    def network(self) -> Network:
        """The network as the plan sees it: plain, calibrated on images, or trained."""
        label, known = self.plan.calibration, self._network
        if known is None or known[0] != label:
            known = self._network = label, self.views.of(self.plan)
        return known[1]

    @property
    @locked
    def summary(self) -> Summary:
        """Costs and error of the plan; computed once per plan."""
        plan, network = self.plan, self.network
        key, known = (network, plan, network.latencies), self._summary
        if known is None or any(a is not b for a, b in zip(known[0], key, strict=True)):
            known = self._summary = key, network.summary(plan)
        return known[1]

    @property
    @locked
    def source(self) -> str:
        """The source of the plan: one of KINDS, or the label of a trained network."""
        label = self.plan.calibration
        if label is None:
            return "weights"
        return label if self.plan.trained else self.views.kind(self.plan)

    @locked
    def scale(self, name: str) -> LayerScale:
        """The scale of a layer's slider."""
        return LayerScale(self.network, name)

    @locked
    def positions(self, name: str) -> tuple[float, ...]:
        """The positions of a layer's slider, in [0, 1]; the exact ones that were last set.

        A position that no longer belongs to the layer's choice is replaced by the choice's own.
        """
        return self.all_positions[name]

    @property
    @locked
    def all_positions(self) -> dict[str, tuple[float, ...]]:
        """The positions of every layer's slider; only those of changed layers are computed."""
        network, meaning = self.network, self.slider_meaning
        for name, choice in self.plan:
            exact = self._exact_positions.get(name)
            key = (network, choice, meaning, exact)
            known = self._positions.get(name)
            if known is None or known[0] != key:
                scale = LayerScale(network, name)
                self._positions[name] = key, scale.nearest_positions(choice, meaning, exact)
        return {name: self._positions[name][1] for name, _ in self.plan}

    @property
    @locked
    def budget(self) -> BudgetSetting:
        """Meaning and position of the budget slider: as set, or as the plan happens to be."""
        state, by = self.state, self.budget_meaning
        if by == "ms" and self.network.latencies is None:
            by = "macs"  # a state of another session, where the time was measured
        if state.budget is not None and state.budget.by == by:
            return state.budget
        if by == "alpha" and (self.plan.calibration is not None or self.views.weighted is None):
            by = "macs"  # after an undo to a plan that α does not apply to
        network = self._budget_network(by)
        share = network_share(network, self.plan, self.summary, by)
        return BudgetSetting(by, network_position(network, by, share))

    @property
    @locked
    def budget_number(self) -> float:
        """The number of the budget slider, in the unit of its meaning."""
        budget = self.budget
        return network_number(self._budget_network(budget.by), budget.by, budget.position)

    # -- whole plans -----------------------------------------------------------------------

    @locked
    def put(self, plan: Plan) -> None:
        """Makes exactly this plan the present one; locks and skips stay."""
        self.put_state(replace(self.state, plan=plan, budget=None))

    @locked
    def put_state(self, state: ControlState) -> None:
        """Makes a whole state the present one: plan, locks, families, budget."""
        self.views.of(state.plan).check(state.plan)
        if state.budget is not None:
            self.budget_meaning = checked_meaning(state.budget.by, NETWORK_MEANINGS)
        self._put(state)

    @locked
    def apply_preset(self, name: str) -> None:
        """Makes a preset the present plan; locked and skipped layers stay."""
        if name not in PRESETS:
            raise ExplorerError(f"unknown preset {name!r}; expected one of {tuple(PRESETS)}.")
        plan = PRESETS[name](self.network, **self.state.held)
        self._put(replace(self.state, plan=plan, budget=None))

    @locked
    def change_source(self, network: Network) -> tuple[str, ...]:
        """Makes the plan from another view of the network; returns the locked layers that changed.

        The budget slider computes its plan again where it made the present one. Otherwise choices
        stay, and one that the other view does not have becomes the nearest that it has.
        """
        if network.label == self.plan.calibration:
            return ()
        before, state = self.state, self.state.on(network)
        if self.budget_meaning == "alpha" and network.label is not None:
            self.budget_meaning = "macs"
        self._put(state)
        return tuple(sorted(n for n in before.locked if state.plan[n] != before.plan[n]))

    @locked
    def reset(self) -> None:
        """Makes every layer dense and unlocked, and skips the first convolution; one step."""
        self._put(self.history.first)

    @locked
    def undo(self) -> None:
        """Goes back one step."""
        if self.history.undo():
            self._notify("plan")

    @locked
    def redo(self) -> None:
        """Goes forward one step that `undo` went back."""
        if self.history.redo():
            self._notify("plan")

    @locked
    def pin(self, letter: str, plan: Plan | Literal["present"] | None = "present") -> None:
        """Keeps the present plan, or another, under a letter from A to D; None removes the pin."""
        if letter not in LETTERS:
            raise ExplorerError(f"unknown pin {letter!r}; expected one of {', '.join(LETTERS)}.")
        kept = self.plan if plan == "present" else plan
        if kept is None:
            self.pins.pop(letter, None)
        else:
            self.views.of(kept).check(kept)
            self.pins[letter] = kept
        self._notify("pins")

    # -- one layer -------------------------------------------------------------------------

    @locked
    def select(self, name: str) -> None:
        """Selects the layer that every view shows."""
        if name not in self.network.names:
            raise PlanError(f"the network has no layer {name!r} that can be approximated.")
        if name != self.selected:
            self.selected = name
            self._notify("selection")

    @locked
    def set_slider_meaning(self, by: str) -> None:
        """Changes what the layers' sliders set; the plan stays."""
        self.slider_meaning = checked_meaning(by, MEANINGS)
        self._notify("selection")

    @locked
    def move_slider(self, name: str, positions: Sequence[float], gesture: object = None) -> None:
        """Moves a layer's slider; moves of one gesture (not None) are one step of undo."""
        meaning = self.slider_meaning
        choice = self.scale(name).choice(self._slider_family(name), meaning, positions)
        self._exact_positions[name] = meaning, tuple(positions)
        self._put(self.state.choose(name, choice), gesture, touched=name)

    @locked
    def set_numbers(self, name: str, numbers: Sequence[float]) -> None:
        """Sets a layer by the numbers of its slider: β, per cent of the MACs, or ranks."""
        family = self._slider_family(name)
        choice = self.scale(name).typed(family, self.slider_meaning, numbers)
        self._put(self.state.choose(name, choice), touched=name)

    @locked
    def set_family(self, name: str, family: str) -> None:
        """Changes a layer's family, at about the MACs that it has now."""
        layer = self.network.layer(name)
        family = family if family == "dense" else family_name(family)
        if family != "dense" and family not in layer.families:
            why = layer.reasons[family]
            raise PlanError(f"{name} cannot be approximated by {family}: {why}.")
        old, scale = self.plan[name], self.scale(name)
        if family_of(old) == family:
            self.select(name)
            return
        place = (0.5,) if isinstance(old, Dense) else scale.positions(old, "macs")
        self._put(self.state.choose(name, scale.choice(family, "macs", place)), touched=name)

    @locked
    def lock_layer(self, name: str, on: bool) -> None:
        """Locks a layer, so that the budget slider leaves it as it is, or unlocks it."""
        self._put(self.state.lock(name, on))

    @locked
    def skip_layer(self, name: str, on: bool) -> None:
        """Makes a layer dense and keeps it so whatever the budget slider does, or ends that."""
        self._put(self.state.skip(name, on))

    # -- the network's budget --------------------------------------------------------------

    @locked
    def set_budget_meaning(self, by: str) -> None:
        """Changes what the budget slider sets; the plan stays. "alpha" needs computed weights."""
        self._budget_network(checked_meaning(by, NETWORK_MEANINGS))
        self.budget_meaning = by
        self._notify("selection")

    @locked
    def move_budget(self, by: str, position: float, gesture: object = None) -> None:
        """Moves the budget slider: all layers that are neither locked nor skipped follow."""
        network = self._budget_network(checked_meaning(by, NETWORK_MEANINGS))
        self.budget_meaning = by
        budget = BudgetSetting(by, min(1.0, max(0.0, position)))
        self._put(self.state.under(network, budget), gesture)

    @locked
    def set_budget(self, by: str, number: float) -> None:
        """Sets the budget by its number; BudgetError where no plan reaches it."""
        network = self._budget_network(checked_meaning(by, NETWORK_MEANINGS))
        if by in RULES:
            network.lego(number, **self.state.held)
        else:
            self.state.bounded(network, by, number)
        self.move_budget(by, network_position(network, by, number))

    @locked
    def set_families(self, families: Sequence[str]) -> None:
        """Chooses the families that the budget slider may use."""
        self._put(self.state.allow(self._present_budget_network, tuple(families)))

    @locked
    def set_weighing(self, weighing: str) -> None:
        """Chooses how the budget slider compares the layers' errors, one of WEIGHINGS."""
        self._put(self.state.weigh(self._present_budget_network, weighing))

    # -- inside ----------------------------------------------------------------------------

    def _put(self, state: ControlState, gesture: object = None, touched: str | None = None) -> None:
        """Makes a state the present one and selects the layer that was touched."""
        selected = touched or self.selected
        reselected, self.selected = selected != self.selected, selected
        if state != self.state:
            self.history.put(state, gesture)
            self._notify("plan")
        elif reselected:
            self._notify("selection")

    def _slider_family(self, name: str) -> str:
        """The family that a layer's slider sets; for a dense layer the first one it has."""
        family, layer = family_of(self.plan[name]), self.network.layer(name)
        if family == "dense" and not layer.families:
            plain = self.views.plain.layer(name).families
            raise PlanError(f"{name} stays dense: {layer.reasons[plain[0]]}.")
        return layer.families[0] if family == "dense" else family

    @property
    def _present_budget_network(self) -> Network:
        """The network of the budget that made the present plan."""
        return self._budget_network("macs" if self.state.budget is None else self.state.budget.by)

    def _budget_network(self, by: str) -> Network:
        """The network that a budget of this meaning looks its errors up in."""
        if by == "ms":
            dense_ms(self.network)  # raises where none is measured
        if by != "alpha":
            return self.network
        if self.plan.calibration is not None:
            raise PlanError("α weighs errors of the weights; choose “from the weights” first.")
        if self.views.weighted is None:
            raise PlanError("α is not computed yet; choose “α of eq. 8” again.")
        return self.views.weighted


def checked_meaning(by: str, known: Sequence[str]) -> str:
    """A slider's meaning, checked; ExplorerError for an unknown one."""
    if by not in known:
        raise ExplorerError(f"unknown meaning {by!r} of a slider; expected one of {known}.")
    return by


def _reasons(network: Network) -> str:
    reasons = (f"{x.name}: {next(iter(x.reasons.values()))}" for x in network.layers)
    return "; ".join(list(reasons)[:4]) + "."
