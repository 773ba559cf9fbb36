"""The state of an explorer as a short string that can be pasted anywhere."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import replace
from typing import Any

from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Choice, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.sequence import any_attack_from_dict as attack_from_dict
from gdws_explorer.session.control_state import BudgetSetting, ControlState
from gdws_explorer.session.session import Session

PREFIX = "gx1."
TRAINED = "trained"  # the kind of plans whose weights are not in the string
DIGITS = 16  # of the fingerprint, in hex: enough to refuse another network


def encode(session: Session) -> str:
    """Packs the plan, locks, selection and measuring of a session into text."""
    with session.lock:
        return _encode(session)


def _encode(session: Session) -> str:
    controls, state, measured = session.controls, session.controls.state, session.measurements
    raw = {
        "bench": session.bench,
        "of": session.network.fingerprint[:DIGITS],
        "plan": _packed(state.plan),
        "pins": {
            letter: _packed(plan)
            for letter, plan in controls.pins.items()
            if plan.calibration is None  # of the others the images are not in the string
        },
        "locked": sorted(state.locked),
        "skipped": sorted(state.skipped),
        "families": state.families,
        "weighing": state.weighing,
        "data": _source(session),
        "budget": None if state.budget is None else [state.budget.by, state.budget.position],
        "selected": controls.selected,
        "slide_by": controls.slider_meaning,
        "attack": None if measured.attack is None else measured.attack.to_dict(),
        "n": measured.n,
    }
    packed = zlib.compress(json.dumps(raw, separators=(",", ":")).encode(), 9)
    return PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(text: str) -> dict[str, Any]:
    """Reads what `encode` packed, except its plan; ExplorerError for any other text."""
    body = str(text).strip()
    try:
        if not body.startswith(PREFIX):
            raise ValueError(f"it does not begin with {PREFIX}")
        body = body.removeprefix(PREFIX)
        packed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return dict(json.loads(zlib.decompress(packed)))
    except (ValueError, TypeError, binascii.Error, zlib.error) as error:
        raise ExplorerError(
            f"the state string is damaged ({error}); copy it again, whole."
        ) from error


def restore(session: Session, raw: dict[str, Any]) -> None:
    """Brings a session to a decoded state; the state of another network is refused."""
    with session.lock:
        _restore(session, raw)


def _restore(session: Session, raw: dict[str, Any]) -> None:
    try:
        state = ControlState(
            plan=_plan(session.network, raw["of"], raw["plan"]),
            locked=frozenset(raw["locked"]),
            skipped=frozenset(raw["skipped"]),
            families=tuple(raw["families"]),
            weighing=raw["weighing"],
            budget=None if raw["budget"] is None else BudgetSetting(*raw["budget"]),
        )
        attack = None if raw["attack"] is None else attack_from_dict(raw["attack"])
        n, selected, slider_meaning = int(raw["n"]), raw["selected"], raw["slide_by"]
    except (KeyError, TypeError) as error:
        raise ExplorerError(f"the state string lacks {error}; copy it again, whole.") from None
    controls = session.controls
    alpha = state.budget is not None and state.budget.by == "alpha"
    # What is made from images is made again afterwards; until then the plan is one of the weights.
    controls.put_state(replace(state, budget=None) if alpha else state)
    for letter, packed in raw.get("pins", {}).items():
        controls.pin(letter, _plan(session.network, raw["of"], packed))
    controls.set_slider_meaning(slider_meaning)
    controls.select(selected)
    if session.measurements.data is not None:
        session.measure_with(attack, n)
    source = raw.get("data")
    if source is not None and source["kind"] == TRAINED:
        if source["label"] in session.views.trained:
            session.choose_source(source["label"])
            return
        session.show_message(
            "the plan of this state had trained weights, which a string does not hold: these are "
            "its ranks with the weights from before; train again, or load the exported network."
        )
    elif source is not None:
        under = source["attack"]
        session.choose_source(source["kind"], None if under is None else attack_from_dict(under))
    elif alpha:
        session.set_budget_meaning("alpha")


def _source(session: Session) -> dict[str, Any] | None:
    """The source of the plan and the attack on its images; None for the weights."""
    if session.plan.calibration is None:
        return None
    if session.plan.trained:
        return {"kind": TRAINED, "label": session.plan.calibration}
    attack = session.views.attack_of(session.plan)
    packed = None if attack is None else attack.to_dict()
    return {"kind": session.controls.source, "attack": packed}


def _plan(network: Network, fingerprint: str, packed: str) -> Plan:
    if not network.fingerprint.startswith(fingerprint):
        raise PlanError(
            f"the state is of another network (fingerprint {fingerprint}…, this one has "
            f"{network.fingerprint[:DIGITS]}…); open the network it belongs to."
        )
    choices = [_unpack(text) for text in packed.split(",")]
    if len(choices) != len(network.names):
        raise ExplorerError("the state string is damaged (it lacks layers); copy it again, whole.")
    return network.plan(dict(zip(network.names, choices, strict=True)))


def _packed(plan: Plan) -> str:
    return ",".join(_pack(choice) for _, choice in plan)


def _pack(choice: Choice) -> str:
    match choice:
        case GDWS(G, None):
            return f"g{G}"
        case GDWS(_, counts):
            return "c" + ".".join(map(str, counts or ()))
        case Tucker2(r_out, r_in):
            return f"t{r_out}.{r_in}"
        case SVD(rank):
            return f"s{rank}"
        case SpatialSVD(rank):
            return f"p{rank}"
    return "d"


def _unpack(text: str) -> Choice:
    kind, numbers = text[:1], text[1:]
    try:
        ranks = tuple(int(part) for part in numbers.split(".")) if numbers else ()
        match kind, ranks:
            case "d", ():
                return Dense()
            case "g", (G,):
                return GDWS(G)
            case "t", (r_out, r_in):
                return Tucker2(r_out, r_in)
            case "s", (rank,):
                return SVD(rank)
            case "p", (rank,):
                return SpatialSVD(rank)
            case "c", counts if counts:
                return GDWS(sum(counts), counts)
    except ValueError:
        pass
    raise ExplorerError(f"the state string is damaged (a layer is {text!r}); copy it again, whole.")
