"""The whole view as a short string that can be pasted anywhere."""

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
LOST = "trained"  # weights that are not in the string
NAMED = 16  # hex digits of the fingerprint: enough to refuse another network


def encode(session: Session) -> str:
    """The session's desk, selection and measuring as text."""
    desk, measured = session.desk, session.measurements
    raw = {
        "bench": session.bench,
        "of": session.network.fingerprint[:NAMED],
        "plan": _packed(desk.plan),
        "pins": {
            letter: _packed(plan)
            for letter, plan in session.pins.items()
            if plan.calibration is None  # of the others the images are not in the string
        },
        "locked": sorted(desk.locked),
        "skipped": sorted(desk.skipped),
        "families": desk.families,
        "weighing": desk.weighing,
        "data": _source(session),
        "budget": None if desk.budget is None else [desk.budget.by, desk.budget.position],
        "selected": session.selected,
        "slide_by": session.slide_by,
        "attack": None if measured.attack is None else measured.attack.to_dict(),
        "n": measured.n,
    }
    packed = zlib.compress(json.dumps(raw, separators=(",", ":")).encode(), 9)
    return PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(text: str) -> dict[str, Any]:
    """What `encode` packed, its plan still packed; raises ExplorerError for anything else."""
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
    """Bring a session to a decoded state; the state of another network is refused."""
    try:
        desk = ControlState(
            plan=_plan(session.network, raw["of"], raw["plan"]),
            locked=frozenset(raw["locked"]),
            skipped=frozenset(raw["skipped"]),
            families=tuple(raw["families"]),
            weighing=raw["weighing"],
            budget=None if raw["budget"] is None else BudgetSetting(*raw["budget"]),
        )
        attack = None if raw["attack"] is None else attack_from_dict(raw["attack"])
        n, selected, slide_by = int(raw["n"]), raw["selected"], raw["slide_by"]
    except (KeyError, TypeError) as error:
        raise ExplorerError(f"the state string lacks {error}; copy it again, whole.") from None
    alpha = desk.budget is not None and desk.budget.by == "alpha"
    # What is made from data is made again first; until then the plan stands without it.
    session.put_desk(replace(desk, budget=None) if alpha else desk)
    for letter, packed in raw.get("pins", {}).items():
        session.pin(letter, _plan(session.network, raw["of"], packed))
    session.set_slide_by(slide_by)
    session.select(selected)
    if session.measurements.data is not None:
        session.measure_with(attack, n)
    made = raw.get("data")
    if made is not None and made["kind"] == LOST and made["label"] in session.sources.trained:
        session.use(made["label"])
    elif made is not None and made["kind"] == LOST:
        session.say(
            "the plan of this state had trained weights, which a string does not hold: these are "
            "its ranks with the weights from before; train again, or load the exported network."
        )
    elif made is not None:
        under = made["attack"]
        session.use(made["kind"], None if under is None else attack_from_dict(under))
    elif alpha:
        session.set_budget_by("alpha")


def _source(session: Session) -> dict[str, Any] | None:
    """What the plan's images were read under; None for a plan of the weights."""
    if session.plan.calibration is None:
        return None
    if session.plan.trained:
        return {"kind": LOST, "label": session.plan.calibration}
    attack = session.sources.attack_of(session.plan)
    told = None if attack is None else attack.to_dict()
    return {"kind": session.source, "attack": told}


def _plan(network: Network, fingerprint: str, packed: str) -> Plan:
    if not network.fingerprint.startswith(fingerprint):
        raise PlanError(
            f"the state is of another network (fingerprint {fingerprint}…, this one has "
            f"{network.fingerprint[:NAMED]}…); open the network it belongs to."
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
