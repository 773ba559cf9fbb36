"""The state of a session at one moment, as its views read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.transfer import TransferEstimate
from gdws_explorer.session.control_state import BudgetSetting, ControlState
from gdws_explorer.study.records import Record


@dataclass(frozen=True)
class Snapshot:
    """A session's state, computed once per change and handed to every view.

    network : the network as the plan sees it (plain, calibrated or trained). plan : the plan.
    state : the plan with its locks, skips and budget, as undo keeps it.
    summary : costs and error of the plan.
    budget, budget_number : position and number of the network's budget slider.
    positions : of every layer's slider, in [0, 1]; two for a family of two ranks.
    selected : name of the selected layer. slider_meaning : one of `slider.MEANINGS`.
    error_unit : the quantity that errors are fractions of.
    source : what the plan is made from: one of KINDS, or a trained network's label.
    reading_images : whether images are being read, or wait for it.
    can_undo, can_redo : whether there is a step to undo or to redo.
    other_images : whether the records that are shown are of other images than these.
    record : what was measured of the plan in the present setting, or None.
    estimate : the live estimate of the plan, or None.
    """

    network: Network
    plan: Plan
    state: ControlState
    summary: Summary
    budget: BudgetSetting
    budget_number: float
    positions: Mapping[str, tuple[float, ...]]
    selected: str
    slider_meaning: str
    error_unit: str
    source: str
    reading_images: bool
    can_undo: bool
    can_redo: bool
    other_images: bool
    record: Record | None
    estimate: TransferEstimate | None
