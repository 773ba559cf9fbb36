"""The faders of a session: where they stand, and what their moves make of the plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from gdws_explorer.errors import PlanError
from gdws_explorer.explore.desk import Budget
from gdws_explorer.explore.dial import (
    NETWORK_MEANINGS,
    RULES,
    network_number,
    network_position,
    network_share,
)
from gdws_explorer.explore.presets import PRESETS
from gdws_explorer.network.choices import Dense, family
from gdws_explorer.network.network import Network
from gdws_explorer.widgets.stage import Stage, meaning


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
        if standing and self.dial(name).choice(family(choice), by, aim) == choice:
            return aim
        return own

    def budget(self) -> Budget:
        """Where the network's fader stands: as set, or as the plan happens to be."""
        if self.desk.budget is not None and self.desk.budget.by == self.budget_by:
            return self.desk.budget
        by = self.budget_by
        if by == "alpha" and (self.plan.calibration is not None or self.sources.weighted is None):
            by = "macs"  # an undo went back to where α says nothing
        network = self._weighing(by)
        now = network_share(network, self.plan, self.summary, by)
        return Budget(by, network_position(network, by, now))

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
        if family(old) == one:
            self.select(name)
            return
        place = (0.5,) if isinstance(old, Dense) else self.dial(name).positions(old, "macs")
        choice = self.dial(name).choice(one, "macs", place)
        self._put(self.desk.choose(name, choice), touched=name)

    def move_network(self, by: str, position: float, gesture: object = None) -> None:
        """Move the network's fader: all layers that are neither locked nor skipped follow."""
        self.budget_by = meaning(by, NETWORK_MEANINGS)
        budget = Budget(by, min(1.0, max(0.0, position)))
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
        one, layer = family(self.plan[name]), self.network.layer(name)
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
