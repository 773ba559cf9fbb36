"""What stands on the explorer's desk, who listens to it, and its history."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from torch import Tensor

from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Dense, family_of
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.session.control_state import BudgetSetting, ControlState
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

Listener = Callable[[str], None]


class Stage:
    """One network under exploration, without what moves and measures it; see Session."""

    def __init__(
        self,
        network: Network,
        calibration: tuple[Tensor, Tensor | None] | None,
        cache: bool | str | os.PathLike[str],
    ) -> None:
        if not network.names:
            raise PlanError("no layer of this network can be approximated: " + _why_not(network))
        self.sources = NetworkViews(network, calibration, cache)
        skipped = network.skip & frozenset(network.names)
        self.history = UndoHistory(ControlState(network.plan(), skipped=skipped))
        self.selected = next((n for n in network.names if n not in skipped), network.names[0])
        self.slide_by = "macs"
        self.budget_by = "macs"
        self.pins: dict[str, Plan] = {}
        self.message = ""
        self.failed = False
        self.lock = threading.RLock()
        self._listeners: list[Listener] = []

    # -- listening -----------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(what)` after every change."""
        self._listeners.append(listener)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn an error of the user's into a message; the session goes on."""
        try:
            with self.lock:
                yield
        except ExplorerError as error:
            self.say(str(error), failed=True)

    def tell(self, what: str) -> None:
        """Say to everybody who listens what changed outside of the session's own methods."""
        self._tell(what)

    def say(self, text: str, *, failed: bool = False) -> None:
        """Show one sentence to the user."""
        self.message, self.failed = text, failed
        self._tell("message")

    # -- what is on the desk ---------------------------------------------------------------

    @property
    def desk(self) -> ControlState:
        """The plan and how it is held."""
        return self.history.present

    @property
    def plan(self) -> Plan:
        """The plan on the faders."""
        return self.desk.plan

    @property
    def network(self) -> Network:
        """The network as the plan sees it: plain, or calibrated on images."""
        return self.sources.of(self.plan)

    @property
    def norm(self) -> str:
        """What errors are parts of."""
        return "‖W‖²" if self.network.calibration is None else "the outputs"

    def dial(self, name: str) -> LayerScale:
        """What a layer's fader means."""
        return LayerScale(self.network, name)

    @property
    def summary(self) -> Summary:
        """Costs and error of the plan on the faders."""
        plan = self.plan  # once: another thread may put another in between
        return self.sources.of(plan).summary(plan)

    def put(self, plan: Plan) -> None:
        """Put a whole plan on the desk."""
        self.put_desk(replace(self.desk, plan=plan, budget=None))

    def put_desk(self, desk: ControlState) -> None:
        """Put a whole desk in place: plan, locks, families, budget."""
        self.sources.of(desk.plan).check(desk.plan)
        if desk.budget is not None:
            self.budget_by = meaning(desk.budget.by, NETWORK_MEANINGS)
        self._put(desk)

    def reset(self) -> None:
        """Everything dense, nothing locked, the first convolution skipped: one step of undo."""
        self._put(self.history.first)

    def undo(self) -> None:
        """Take the last step back."""
        if self.history.undo():
            self._tell("desk")

    def redo(self) -> None:
        """Take a step again that undo took back."""
        if self.history.redo():
            self._tell("desk")

    def pin(self, letter: str, plan: Plan | Literal["present"] | None = "present") -> None:
        """Keep the plan on the faders, or another, under a letter from A to D; None lets go."""
        if letter not in LETTERS:
            raise ExplorerError(f"{letter!r} is no pin; expected one of {', '.join(LETTERS)}.")
        kept = self.plan if plan == "present" else plan
        if kept is None:
            self.pins.pop(letter, None)
        else:
            self.sources.of(kept).check(kept)
            self.pins[letter] = kept
        self._tell("pins")

    # -- looking -----------------------------------------------------------------------------

    def select(self, name: str) -> None:
        """Choose the layer that every view lights up."""
        if name not in self.network.names:
            raise PlanError(f"the network has no layer {name!r} that can be approximated.")
        if name != self.selected:
            self.selected = name
            self._tell("view")

    def set_slide_by(self, by: str) -> None:
        """Change what the layers' faders mean."""
        self.slide_by = meaning(by, MEANINGS)
        self._tell("view")

    # -- inside ----------------------------------------------------------------------------------

    def _put(self, desk: ControlState, gesture: object = None, touched: str | None = None) -> None:
        """Put a desk in place; the layer that was touched for it is the chosen one."""
        with self.lock:
            chosen = touched or self.selected
            again, self.selected = chosen != self.selected, chosen
            if desk != self.desk:
                self.history.put(desk, gesture)
                self._tell("desk")
            elif again:
                self._tell("view")

    def _tell(self, what: str) -> None:
        if what in ("desk", "view") and self.failed:
            self.message, self.failed = "", False
            self._tell("message")
        for listener in list(self._listeners):
            listener(what)


def meaning(by: str, known: Sequence[str]) -> str:
    """The meaning of a fader, checked; ExplorerError for another."""
    if by not in known:
        raise ExplorerError(f"{by!r} is not what a fader can mean; expected one of {known}.")
    return by


def _why_not(network: Network) -> str:
    reasons = (f"{x.name}: {next(iter(x.reasons.values()))}" for x in network.layers)
    return "; ".join(list(reasons)[:4]) + "."


class Faders(Stage):
    """A stage whose plan is moved by hand; see Session."""

    def __init__(
        self,
        network: Network,
        calibration: tuple[Tensor, Tensor | None] | None,
        cache: bool | str | os.PathLike[str],
    ) -> None:
        super().__init__(network, calibration, cache)
        # Where the hand left a fader: choices are steps, and a fader must not jump to the step.
        self._aims: dict[str, tuple[str, tuple[float, ...]]] = {}

    # -- where the faders stand --------------------------------------------------------------

    def positions(self, name: str) -> tuple[float, ...]:
        """Where a layer's fader stands: where the hand left it, while that is still its choice."""
        choice = self.plan[name]
        by, aim = self._aims.get(name, ("", ()))
        own = self.dial(name).positions(choice, self.slide_by)
        standing = by == self.slide_by and len(aim) == len(own)
        if standing and self.dial(name).choice(family_of(choice), by, aim) == choice:
            return aim
        return own

    def budget(self) -> BudgetSetting:
        """Where the network's fader stands: as set, or as the plan happens to be."""
        if self.desk.budget is not None and self.desk.budget.by == self.budget_by:
            return self.desk.budget
        by = self.budget_by
        if by == "alpha" and (self.plan.calibration is not None or self.sources.weighted is None):
            by = "macs"  # an undo went back to where α says nothing
        network = self._weighing(by)
        now = network_share(network, self.plan, self.summary, by)
        return BudgetSetting(by, network_position(network, by, now))

    def budget_number(self) -> float:
        """The number beside the network's fader."""
        budget = self.budget()
        return network_number(self._weighing(budget.by), budget.by, budget.position)

    # -- moving ----------------------------------------------------------------------------

    def move(self, name: str, positions: Sequence[float], gesture: object = None) -> None:
        """Move a layer's fader; moves of one gesture are one step of undo."""
        choice = self.dial(name).choice(self._family(name), self.slide_by, positions)
        self._aims[name] = (self.slide_by, tuple(positions))
        self._put(self.desk.choose(name, choice), gesture, touched=name)

    def type_numbers(self, name: str, numbers: Sequence[float]) -> None:
        """Set a layer by the numbers beside its fader."""
        choice = self.dial(name).typed(self._family(name), self.slide_by, numbers)
        self._put(self.desk.choose(name, choice), touched=name)

    def set_method(self, name: str, one: str) -> None:
        """Change a layer's family, at about the MACs that it has now."""
        layer = self.network.layer(name)
        if one != "dense" and one not in layer.families:
            why = layer.reasons.get(one, "there is no such family")
            raise PlanError(f"{name} cannot be approximated by {one}: {why}.")
        old = self.plan[name]
        if family_of(old) == one:
            self.select(name)
            return
        place = (0.5,) if isinstance(old, Dense) else self.dial(name).positions(old, "macs")
        choice = self.dial(name).choice(one, "macs", place)
        self._put(self.desk.choose(name, choice), touched=name)

    def move_network(self, by: str, position: float, gesture: object = None) -> None:
        """Move the network's fader: all layers that are neither locked nor skipped follow."""
        self.budget_by = meaning(by, NETWORK_MEANINGS)
        budget = BudgetSetting(by, min(1.0, max(0.0, position)))
        self._put(self.desk.under(self._weighing(by), budget), gesture)

    def type_budget(self, by: str, number: float) -> None:
        """Set the network's budget by its number; out of reach is an error, not a clamp."""
        network = self._weighing(by)
        if by in RULES:
            network.lego(number, **self.desk.held)
        else:
            self.desk.bounded(network, by, number)
        self.move_network(by, network_position(network, by, number))

    def set_families(self, families: Sequence[str]) -> None:
        """Choose the families that the network's fader may use."""
        self._put(self.desk.allow(self._weighing(self._by), tuple(families)))

    def set_weighing(self, weighing: str) -> None:
        """Choose how the network's fader compares the layers' errors."""
        self._put(self.desk.weigh(self._weighing(self._by), weighing))

    def hold(self, name: str, on: bool) -> None:
        """Lock a layer as it is, or let it go."""
        self._put(self.desk.lock(name, on))

    def skip(self, name: str, on: bool) -> None:
        """Keep a layer dense whatever the network's fader says, or let it go."""
        self._put(self.desk.skip(name, on))

    def preset(self, name: str) -> None:
        """Put a preset on the desk; locked and skipped layers stay."""
        plan = PRESETS[name](self.network, **self.desk.held)
        self._put(replace(self.desk, plan=plan, budget=None))

    # -- inside ----------------------------------------------------------------------------------

    def _family(self, name: str) -> str:
        """A layer's family; touching the fader of a dense layer starts its first one."""
        one, layer = family_of(self.plan[name]), self.network.layer(name)
        if one == "dense" and not layer.families:
            plain = self.sources.plain.layer(name).families
            raise PlanError(f"{name} stays dense: {layer.reasons[plain[0]]}.")
        return layer.families[0] if one == "dense" else one

    @property
    def _by(self) -> str:
        """What the budget of the present plan limits."""
        return "macs" if self.desk.budget is None else self.desk.budget.by

    def _weighing(self, by: str) -> Network:
        """The network that a budget of this meaning looks its errors up in."""
        if by != "alpha":
            return self.network
        if self.plan.calibration is not None:
            raise PlanError("α weighs errors of the weights; choose “from the weights” first.")
        if self.sources.weighted is None:
            raise PlanError("α is not computed yet; choose “α of eq. 8” again.")
        return self.sources.weighted
