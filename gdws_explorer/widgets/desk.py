"""The mixing desk: sliders of all layers as a widget, and its messages to and from `desk.js`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import anywidget
import traitlets

from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import family_of
from gdws_explorer.network.plans.cost import LayerSummary, Summary
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.session import Session
from gdws_explorer.session.slider import LayerScale
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.study.budget_scale import FRACTIONS, RULES
from gdws_explorer.utils.format import millions

HERE = Path(__file__).parent
LABELS = {"dense": "dense", **{name: family.label for name, family in FAMILIES.items()}}
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
    ["ms", "time"],
    ["error", "error, shared out"],
    ["beta", "one β per layer (paper, α = 1)"],
    ["alpha", "one β per layer (paper, α of eq. 8)"],
]


class Message(TypedDict):
    """A message from the page; `type` is one of HANDLERS, the other keys depend on it.

    seq : its number, counted by the page. layer : index of a layer. values : positions of its
    slider. value : position of the budget slider, or the value of a menu. gesture : equal in all
    messages of one drag. text, texts : typed numbers. by : a slider's meaning. step : +1 or -1.
    """

    type: str
    seq: NotRequired[int]
    layer: NotRequired[int]
    values: NotRequired[list[float]]
    value: NotRequired[Any]
    gesture: NotRequired[str]
    text: NotRequired[str]
    texts: NotRequired[list[str]]
    family: NotRequired[str]
    by: NotRequired[str]
    on: NotRequired[bool]
    step: NotRequired[int]


class Acknowledgement(TypedDict):
    """The answer to a message that changed nothing: it allows the page to send the next one."""

    type: Literal["acknowledged"]
    seq: int


class Strip(TypedDict):
    """The part of a layer's strip that never changes.

    height : the dense MACs as a fraction of the largest layer's. methods : family, label, and why
    the layer has no such form, or None.
    """

    name: str
    size: str
    height: float
    methods: list[list[str | None]]


class Row(TypedDict):
    """The part of a layer's strip that changes with the plan.

    positions : of its slider, in [0, 1]. kept : MACs as a fraction of the dense ones. larger :
    whether it costs more than the dense layer. break_even : a position, or None. time : ms of a
    batch, in words; empty where no time is measured. slower : whether it takes as long as the dense
    layer, or longer. slower_from : the position from which it does, or None.
    """

    family: str
    positions: tuple[float, ...]
    numbers: list[str]
    unit: str
    share: str
    kept: float
    larger: bool
    break_even: float | None
    time: str
    slower: bool
    slower_from: float | None
    locked: bool
    skipped: bool


class DeskWidget(anywidget.AnyWidget):
    """The sliders of all layers and of the network's budget, drawn by `desk.js`.

    strips : a Strip per layer. left_alone : which layers no family can approximate, in words.
    state : the present state, see `state_of`.
    """

    # As texts: of files anywidget keeps every widget that ever showed them.
    _esm = (HERE / "desk.js").read_text(encoding="utf-8")
    _css = (HERE / "desk.css").read_text(encoding="utf-8")
    strips: Any = traitlets.List().tag(sync=True)
    left_alone = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seq = 0
        self._rows = RowCache()
        self._network = session.network
        super().__init__(strips=strips_of(self._network), left_alone=left_alone(self._network))
        self.refresh(session.snapshot)
        self.on_msg(lambda _widget, message, _buffers: self.receive(message))

    def refresh(self, now: Snapshot) -> None:
        """Shows a state of the session."""
        if now.network is not self._network:  # other families, other reasons
            self._network = now.network
            self.strips = strips_of(now.network)
            self.left_alone = left_alone(now.network)
        self.state = state_of(now, self._seq, self._session.views.trained, self._rows)

    def send_state(self, key: Any = None) -> None:
        """Sends traits that changed.

        The state holds no binary data; looking for some takes a fifth of a slider move.
        """
        if key == "state" and not self._property_lock:
            message = {"method": "update", "state": {"state": self.state}, "buffer_paths": []}
            self._send(message)
        else:
            super().send_state(key)

    def receive(self, message: Message) -> None:
        """Does what a message of the page requests.

        The change event sends the new state with the message's number; where nothing changed, the
        number is acknowledged alone.
        """
        self._seq = seq = int(message.get("seq", self._seq))
        with self._session.show_errors():
            HANDLERS[message["type"]](self._session, message)
        if self.state["seq"] != seq:
            answer: Acknowledgement = {"type": "acknowledged", "seq": seq}
            self.send(answer)


def strips_of(network: Network) -> list[Strip]:
    """The parts of the strips that never change."""
    layers = [network.layer(name) for name in network.names]
    largest = max((layer.macs for layer in layers), default=1)
    return [
        {
            "name": layer.name,
            "size": str(layer).removeprefix(f"{layer.name} · "),
            "height": layer.macs / largest,
            "methods": [
                [family, label, layer.reasons.get(family)] for family, label in LABELS.items()
            ],
        }
        for layer in layers
    ]


def left_alone(network: Network) -> str:
    """A sentence about the layers that no family can approximate, with reasons."""
    others = [layer for layer in network.layers if not layer.families]
    if not others:
        return ""
    first = "; ".join(f"{o.name}: {next(iter(o.reasons.values()))}" for o in others[:4])
    more = f"; and {len(others) - 4} more" if len(others) > 4 else ""
    return f"Left as they are: {first}{more}."


def state_of(
    now: Snapshot, seq: int, trained: Mapping[str, str], rows: RowCache | None = None
) -> dict[str, Any]:
    """The state that the page shows.

    seq : number of the latest message that it takes into account. trained : words for the trained
    networks, by label. rows : the rows of the state before.
    """
    state, budget = now.state, now.budget
    families = next((k for k, v in FAMILY_SETS.items() if v == state.families), "any")
    number, unit = _budget_text(budget.by, now.budget_number, now.error_unit)
    return {
        "seq": seq,
        "by": now.slider_meaning,
        "meanings": MEANING_LABELS,
        "selected": now.network.names.index(now.selected),
        "network": {
            "by": budget.by,
            "meanings": _network_meanings(now.summary),
            "position": budget.position,
            "number": number,
            "unit": unit,
            "family": families,
            "families": FAMILY_LABELS,
            "weighing": state.weighing,
            "weighings": WEIGHING_LABELS,
            "source": now.source,
            "sources": [
                *SOURCE_LABELS,
                *([label, f"trained: {words}"] for label, words in trained.items()),
            ],
            "reading": now.reading_images,
        },
        "totals": totals(now.summary, now.error_unit),
        "rows": (RowCache() if rows is None else rows).of(now),
    }


def totals(summary: Summary, error_unit: str) -> list[list[str]]:
    """The line of totals: label, before, after and share of each."""

    def line(label: str, before: int, after: int, unit: str = "") -> list[str]:
        return [label, millions(before) + unit, millions(after) + unit, f"({after / before:.0%})"]

    relative = f"({summary.relative_error:.2%} of {error_unit})"
    return [
        line("MACs", summary.dense_macs, summary.macs),
        line("parameters", summary.dense_params, summary.params),
        line("size", summary.dense_bytes, summary.bytes, "B"),
        *_time(summary),
        ["squared error", "", f"{summary.error:.4g}", relative],
    ]


def _time(summary: Summary) -> list[list[str]]:
    """The total of milliseconds, where times were measured."""
    if summary.ms is None or summary.dense_ms is None:
        return []
    share = f"({summary.ms / summary.dense_ms:.0%}, predicted)"
    return [["time", f"{summary.dense_ms:.3g} ms", f"{summary.ms:.3g} ms", share]]


def _network_meanings(summary: Summary) -> list[list[str]]:
    """The meanings of the budget slider; time only where it was measured."""
    return [each for each in NETWORK_LABELS if each[0] != "ms" or summary.dense_ms is not None]


class RowCache:
    """The rows of the latest state: those of layers that did not change are not made again."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[object, Row]] = {}

    def of(self, now: Snapshot) -> list[Row]:
        """The rows of a state, in the order of the layers."""
        locked, skipped = now.state.locked, now.state.skipped
        rows = []
        for name, layer in now.summary.layers.items():
            key = (
                now.network, layer.choice, now.slider_meaning, now.positions[name],
                name in locked, name in skipped, layer.ms, layer.dense_ms,
            )  # fmt: skip
            known = self._rows.get(name)
            if known is None or known[0] != key:
                known = self._rows[name] = key, _row(now, name, layer)
            rows.append(known[1])
        return rows


def _row(now: Snapshot, name: str, layer: LayerSummary) -> Row:
    family, by = family_of(layer.choice), now.slider_meaning
    scale = LayerScale(now.network, name)
    numbers = scale.numbers(layer.choice, by)
    formats = {"error": "{:.4g}", "macs": "{:.1f}", "rank": "{:.0f}"}
    units = {"error": "β", "macs": "%", "rank": {"gdws": "G", "tucker2": ""}.get(family, "r")}
    return {
        "family": family,
        "positions": now.positions[name],
        "numbers": [formats[by].format(number) for number in numbers],
        "unit": units[by] if numbers else "",
        "share": f"{layer.macs / layer.dense_macs:.0%} of MACs",
        "kept": layer.macs / layer.dense_macs,
        "larger": layer.larger,
        "break_even": scale.break_even(family, by),
        "time": "" if layer.ms is None else f"{layer.ms:.3g} ms",
        "slower": layer.slower,
        "slower_from": scale.slower_from(family, by),
        "locked": name in now.state.locked,
        "skipped": name in now.state.skipped,
    }


def _budget_text(by: str, number: float, error_unit: str) -> tuple[str, str]:
    if by in FRACTIONS:
        return f"{100 * number:.1f}", "% of the dense time" if by == "ms" else "% of dense"
    if by == "error":
        return f"{100 * number:.3g}", f"% of {error_unit}"
    return f"{number:.4g}", ("α-weighted " if by == "alpha" else "") + "squared error per layer"


def _number(text: str) -> float:
    try:
        return float(str(text).strip().rstrip("%").replace(",", "."))
    except ValueError:
        raise BudgetError(f"{text!r} is not a number; expected one such as 12 or 0.5.") from None


def _layer(session: Session, message: Message) -> str:
    return session.network.names[int(message["layer"])]


def _network_number(session: Session, message: Message) -> None:
    number = _number(message["text"])
    by = message["by"]
    session.controls.set_budget(by, number if by in RULES else number / 100)


def _families(session: Session, message: Message) -> None:
    try:
        session.controls.set_families(FAMILY_SETS[message["value"]])
    except KeyError:
        raise ExplorerError(
            f"unknown families {message['value']!r}; expected one of {', '.join(FAMILY_SETS)}."
        ) from None


Handler = Callable[[Session, Message], None]
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
