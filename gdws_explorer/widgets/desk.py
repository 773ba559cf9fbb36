"""The mixing desk as a widget: what the session says, in words, to `desk.js` and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.plans.choices import family_of
from gdws_explorer.network.plans.cost import LayerSummary, Summary
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.session import Session
from gdws_explorer.study.budget_scale import RULES
from gdws_explorer.utils.format import millions

HERE = Path(__file__).parent
LABELS = {"dense": "dense", **{name: one.label for name, one in FAMILIES.items()}}
FAMILY_SETS = {"any": tuple(FAMILIES), **{name: (name,) for name in FAMILIES}}
FAMILY_LABELS = [["any", "any"], *([name, LABELS[name]] for name in FAMILIES)]
WEIGHING_LABELS = [["relative", "relative to each layer"], ["squared", "squared, as they are"]]
SOURCE_LABELS = [
    ["weights", "from the weights"],
    ["refit", "from the weights, refitted"],
    ["data", "from images, refitted"],
]
MEANING_LABELS = [["macs", "by MACs"], ["error", "by error (log β)"], ["rank", "by rank"]]
NETWORK_LABELS = [
    ["macs", "MACs"],
    ["params", "parameters"],
    ["error", "error, shared out"],
    ["beta", "one β per layer (paper, α = 1)"],
    ["alpha", "one β per layer (paper, α of eq. 8)"],
]


class DeskWidget(anywidget.AnyWidget):
    """The desk's model: static strips, the present state, and messages from the hand."""

    # As texts: of files anywidget keeps every widget that ever showed them.
    _esm = (HERE / "desk.js").read_text(encoding="utf-8")
    _css = (HERE / "desk.css").read_text(encoding="utf-8")
    strips: Any = traitlets.List().tag(sync=True)
    left_alone = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seq = 0
        self._label = session.network.label
        super().__init__(
            strips=strips_of(session), left_alone=left_alone(session), state=state_of(session, 0)
        )
        self.on_msg(self._received)

    def refresh(self) -> None:
        """Show what the session says now."""
        if self._session.network.label != self._label:  # other families, other reasons
            self._label = self._session.network.label
            self.strips = strips_of(self._session)
            self.left_alone = left_alone(self._session)
        self.state = state_of(self._session, self._seq)

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        session = self._session
        self._seq = int(message.get("seq", self._seq))
        with session.show_errors():
            HANDLERS[message["type"]](session, message)
        # The answer also releases the next move, so it is sent even where nothing changed.
        self.refresh()


def strips_of(session: Session) -> list[dict[str, Any]]:
    """What never changes of the strips."""
    layers = [session.network.layer(name) for name in session.network.names]
    tallest = max((layer.macs for layer in layers), default=1)
    return [
        {
            "name": layer.name,
            "size": str(layer).removeprefix(f"{layer.name} · "),
            "height": layer.macs / tallest,
            "methods": [[one, label, layer.reasons.get(one)] for one, label in LABELS.items()],
        }
        for layer in layers
    ]


def left_alone(session: Session) -> str:
    """Which layers no family can approximate, and why."""
    others = [layer for layer in session.network.layers if not layer.families]
    if not others:
        return ""
    first = "; ".join(f"{o.name}: {next(iter(o.reasons.values()))}" for o in others[:4])
    more = f"; and {len(others) - 4} more" if len(others) > 4 else ""
    return f"Left as they are: {first}{more}."


def state_of(session: Session, seq: int) -> dict[str, Any]:
    """What the desk shows now."""
    summary, desk = session.summary, session.controls.state
    budget, number = session.controls.budget, session.controls.budget_number
    chosen = next((k for k, v in FAMILY_SETS.items() if v == desk.families), "any")
    text, unit = _budget_text(budget.by, number, session.snapshot.error_unit)
    return {
        "seq": seq,
        "by": session.controls.slider_meaning,
        "meanings": MEANING_LABELS,
        "selected": session.network.names.index(session.controls.selected)
        if session.controls.selected
        else -1,
        "network": {
            "by": budget.by,
            "meanings": NETWORK_LABELS,
            "position": budget.position,
            "number": text,
            "unit": unit,
            "family": chosen,
            "families": FAMILY_LABELS,
            "weighing": desk.weighing,
            "weighings": WEIGHING_LABELS,
            "source": session.controls.source,
            "sources": [*SOURCE_LABELS, *_trained_labels(session)],
            "reading": session.reading_images,
        },
        "totals": totals(summary, session.snapshot.error_unit),
        "rows": [_row(session, name, layer) for name, layer in summary.layers.items()],
    }


def totals(summary: Summary, norm: str) -> list[list[str]]:
    """The totals' line: label, before, after, share."""

    def line(label: str, before: int, after: int, unit: str = "") -> list[str]:
        return [label, millions(before) + unit, millions(after) + unit, f"({after / before:.0%})"]

    return [
        line("MACs", summary.dense_macs, summary.macs),
        line("parameters", summary.dense_params, summary.params),
        line("size", summary.dense_bytes, summary.bytes, "B"),
        ["squared error", "", f"{summary.error:.4g}", f"({summary.relative_error:.2%} of {norm})"],
    ]


def _row(session: Session, name: str, layer: LayerSummary) -> dict[str, Any]:
    one = family_of(layer.choice)
    dial = session.controls.scale(name)
    by = session.controls.slider_meaning
    numbers = dial.numbers(layer.choice, by)
    formats = {"error": "{:.4g}", "macs": "{:.1f}", "rank": "{:.0f}"}
    units = {"error": "β", "macs": "%", "rank": {"gdws": "G", "tucker2": ""}.get(one, "r")}
    return {
        "family": one,
        "positions": session.controls.positions(name),
        "numbers": [formats[by].format(number) for number in numbers],
        "unit": units[by] if numbers else "",
        "share": f"{layer.macs / layer.dense_macs:.0%} of MACs",
        "kept": layer.macs / layer.dense_macs,
        "dearer": layer.larger,
        "break_even": dial.break_even(one, by),
        "locked": name in session.controls.state.locked,
        "skipped": name in session.controls.state.skipped,
    }


def _budget_text(by: str, number: float, norm: str) -> tuple[str, str]:
    if by in ("macs", "params"):
        return f"{100 * number:.1f}", "% of dense"
    if by == "error":
        return f"{100 * number:.3g}", f"% of {norm}"
    return f"{number:.4g}", ("α-weighted " if by == "alpha" else "") + "squared error per layer"


def _trained_labels(session: Session) -> list[list[str]]:
    """A line of the menu for every network that was trained here."""
    trained = session.views.trained
    return [[label, f"trained: {words}"] for label, words in trained.items()]


def _number(text: str) -> float:
    try:
        return float(str(text).strip().rstrip("%").replace(",", "."))
    except ValueError:
        raise BudgetError(f"{text!r} is not a number.") from None


def _layer(session: Session, message: dict[str, Any]) -> str:
    return session.network.names[int(message["layer"])]


def _network_number(session: Session, message: dict[str, Any]) -> None:
    number = _number(message["text"])
    by = message["by"]
    session.controls.set_budget(by, number if by in RULES else number / 100)


def _families(session: Session, message: dict[str, Any]) -> None:
    try:
        session.controls.set_families(FAMILY_SETS[message["value"]])
    except KeyError:
        raise ExplorerError(f"there are no families {message['value']!r}.") from None


Handler = Callable[[Session, dict[str, Any]], None]
HANDLERS: dict[str, Handler] = {
    "move": lambda s, m: s.controls.move_slider(_layer(s, m), m["values"], m["gesture"]),
    "number": lambda s, m: s.controls.set_numbers(_layer(s, m), [_number(t) for t in m["texts"]]),
    "method": lambda s, m: s.controls.set_family(_layer(s, m), m["family"]),
    "lock": lambda s, m: s.controls.lock_layer(_layer(s, m), m["on"]),
    "skip": lambda s, m: s.controls.skip_layer(_layer(s, m), m["on"]),
    "select": lambda s, m: s.controls.select(_layer(s, m)),
    "slide by": lambda s, m: s.controls.set_slider_meaning(m["by"]),
    "network": lambda s, m: s.controls.move_budget(m["by"], m["value"], m["gesture"]),
    "network by": lambda s, m: s.set_budget_meaning(m["by"]),
    "network number": _network_number,
    "families": _families,
    "weighing": lambda s, m: s.controls.set_weighing(m["value"]),
    "source": lambda s, m: s.choose_source(m["value"]),
    "undo": lambda s, _: s.controls.undo(),
    "redo": lambda s, _: s.controls.redo(),
    "walk": lambda s, m: s.step_along_front(m["step"]),
}
