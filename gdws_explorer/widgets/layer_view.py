"""The selected layer as a live figure with a caption."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

from ipywidgets import HTML, VBox

from gdws_explorer.figures import layer_figure
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import (
    GDWS,
    SVD,
    Choice,
    Dense,
    SpatialSVD,
    Tucker2,
    family_of,
    ranks_of,
)
from gdws_explorer.network.plans.cost import break_even
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.utils.format import millions
from gdws_explorer.widgets.figure import Figure

ARRAYS = ("x", "y", "z", "customdata")
CACHED = 64  # layers and families whose arrays are kept: a slider goes to and fro between them
EXPLANATIONS = {
    GDWS: "Left: every singular triplet, kept ones blue. Right: the strongest depthwise kernels "
    "(blue positive, orange negative), dropped ones faded.",
    Tucker2: "Colour: the error of every pair of ranks. White lines: share of the dense MACs. "
    "Ring: the chosen pair.",
    SVD: "How the error falls and the MACs rise with the rank; rings: the chosen one.",
    SpatialSVD: "How the error falls and the MACs rise with the rank; rings: the chosen one.",
    Dense: "The layer as it is: everything kept.",
}


class Key(NamedTuple):
    """Everything that the figure's traces depend on."""

    name: str
    family: str
    network: Network


class LayerView:
    """The selected layer in the figure of its family: triplets, error table, or error by rank.

    caption : the layer and its choice in words. figure : the live figure.
    """

    def __init__(self, session: Session) -> None:
        self._plain = session.views.plain
        self._infos: dict[Key, layer_figure.LayerInfo] = {}
        self._arrays: dict[Key, list[dict[str, Any]]] = {}
        self.caption = HTML()
        now = session.snapshot
        self._drawn = self._key(now)  # of the traces
        self.figure = Figure(layer_figure.figure(self._info(now, self._drawn)))
        self.box = VBox([self.caption, self.figure])
        self.refresh(now)

    def refresh(self, now: Snapshot) -> None:
        """Shows the selected layer under a plan; only changes are sent to the page."""
        self.caption.value = caption_of(now)
        key = self._key(now)
        data = self._info(now, key)
        if key != self._drawn:
            self._draw(data, key)
            self._drawn = key
        self.figure.set_shapes(layer_figure.shapes(data))

    def _draw(self, data: layer_figure.LayerInfo, key: Key) -> None:
        """Puts the traces of another layer, family or source into the figure."""
        places = layer_figure.TRACES[data.view]
        if key not in self._arrays:
            self._arrays[key] = [
                {name: trace[name] for name in ARRAYS if name in trace and trace[name] is not None}
                for trace in layer_figure.traces(data)
            ]
        changes: dict[int, dict[str, Any]] = {
            place: dict(arrays) for place, arrays in zip(places, self._arrays[key], strict=True)
        }
        layout: dict[str, Any] = {}
        if layer_figure.view_of(self._drawn[1]) != data.view:
            for place in range(len(self.figure.data)):
                changes.setdefault(place, {})["visible"] = place in places
            # Only these differ between the views.
            for name, axis in layer_figure.axes(data.view).items():
                one = isinstance(axis, dict)
                layout[f"{name}.visible" if one else name] = axis["visible"] if one else axis
        self.figure.set_traces(changes, layout)

    def _info(self, now: Snapshot, key: Key) -> layer_figure.LayerInfo:
        """The arrays of the figure; those of all ranks are computed once per layer and family."""
        name, choice = _selected(now)
        if key not in self._infos:
            if len(self._infos) >= CACHED:
                self._infos.clear()
                self._arrays.clear()
            self._infos[key] = layer_figure.info(key.network, name, choice)
        return layer_figure.with_choice(self._infos[key], choice)

    def _key(self, now: Snapshot) -> Key:
        name, choice = _selected(now)
        # Plain for a layer that has no family in the present network.
        network = now.network if now.network.layer(name).families else self._plain
        return Key(name, layer_figure.shown_family(network, name, choice), network)


def _selected(now: Snapshot) -> tuple[str, Choice]:
    return now.selected, now.summary.layers[now.selected].choice


def caption_of(now: Snapshot) -> str:
    """The selected layer and its choice with costs and error, as HTML."""
    layer = now.summary.layers[now.selected]
    parts = [f"<b>{escape(now.network.layer(now.selected).label)}</b>", escape(_choice_text(now))]
    if not isinstance(layer.choice, Dense):
        parts += [
            f"MACs {millions(layer.dense_macs)} → {millions(layer.macs)} "
            f"({layer.macs / layer.dense_macs:.0%})",
            f"parameters {millions(layer.dense_params)} → {millions(layer.params)}",
            f"squared error {layer.error:.4g} ({layer.error / (layer.energy or 1):.2%} "
            f"of {now.error_unit.replace('outputs', 'output')})",
        ]
    if layer.larger:
        parts.append('<b style="color:var(--gx-warn)">more expensive than the dense layer</b>')
    explanation = EXPLANATIONS[type(layer.choice)]
    return " · ".join(parts) + f'<br><span class="gx-unit">{explanation}</span>'


def _choice_text(now: Snapshot) -> str:
    name, choice = _selected(now)
    if isinstance(choice, Dense):
        return "dense"
    family = FAMILIES[family_of(choice)]
    most = family.most(now.network.spectrum(name, family.name))
    text = f"{family.label}: " + ", ".join(
        f"{label} {rank} of {limit}"
        for label, rank, limit in zip(family.ranks, ranks_of(choice), most, strict=True)
    )
    if isinstance(choice, GDWS):
        text += f" (cheaper than dense up to {break_even(now.network.layer(name))})"
    return text
