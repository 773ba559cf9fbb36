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
from gdws_explorer.explore.desk import Desk
from gdws_explorer.explore.dial import MEANINGS, NETWORK_MEANINGS, Dial
from gdws_explorer.explore.history import History
from gdws_explorer.explore.pins import LETTERS
from gdws_explorer.explore.sources import Sources
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.network.summary import Summary

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
        self.sources = Sources(network, calibration, cache)
        skipped = network.skip & frozenset(network.names)
        self.history = History(Desk(network.plan(), skipped=skipped))
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
    def desk(self) -> Desk:
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

    def dial(self, name: str) -> Dial:
        """What a layer's fader means."""
        return Dial(self.network, name)

    @property
    def summary(self) -> Summary:
        """Costs and error of the plan on the faders."""
        plan = self.plan  # once: another thread may put another in between
        return self.sources.of(plan).summary(plan)

    def put(self, plan: Plan) -> None:
        """Put a whole plan on the desk."""
        self.put_desk(replace(self.desk, plan=plan, budget=None))

    def put_desk(self, desk: Desk) -> None:
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

    def _put(self, desk: Desk, gesture: object = None, touched: str | None = None) -> None:
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
