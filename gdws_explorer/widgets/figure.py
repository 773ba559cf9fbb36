"""A FigureWidget that opens fast, and survives a page reload and Voila."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import traitlets
from plotly.serializers import custom_serializers

from gdws_explorer.figures import theme


@cache
def _javascript() -> bytes:
    """Returns plotly's JavaScript, gzipped.

    Bytes are sent outside the JSON of the message: faster, and a third of the size.
    """
    return gzip.compress(str(go.FigureWidget._esm).encode(), 1)


class Figure(go.FigureWidget):  # type: ignore[misc]
    """A plotly figure for a page that holds several.

    figure : the first traces and layout.
    brings : whether it carries plotly's JavaScript, gzipped, for all figures of its page. One
        figure of the page has to. figure.js explains why not every figure carries it.

    plotly does not write changes after construction into the widget's state. When a page opens
    and requests the whole state, it is made from the figure as it is now.
    """

    _esm = (Path(__file__).parent / "figure.js").read_text(encoding="utf-8")  # as in desk.py
    _plotly = traitlets.Bytes().tag(sync=True)
    # These number answers of the page, and figure.js sends no answers.
    _last_layout_edit_id = 0
    _last_trace_edit_id = 0
    _brings = False
    _complete = False

    def __init__(self, figure: go.Figure, *, brings: bool = False) -> None:
        self._brings = brings
        super().__init__(figure)
        self._complete = True
        self._config = dict(theme.CONFIG)

    @traitlets.default("_plotly")
    def _code(self) -> bytes:
        return _javascript() if self._brings else b""

    def redraw(self, fresh: go.Figure) -> None:
        """Takes over the traces, axes, shapes and annotations of a figure of the same kind.

        fresh : as many traces, in the same order. Only what differs is sent to the page.
        """
        with self.batch_update():
            for old, new in zip(self.data, fresh.data, strict=True):
                old.update(new.to_plotly_json(), overwrite=False)
            for name in fresh.layout:
                if name.startswith(("xaxis", "yaxis")):
                    self.layout[name].update(fresh.layout[name].to_plotly_json())
            self.layout.shapes = fresh.layout.shapes
            self.layout.annotations = fresh.layout.annotations

    def set_traces(
        self, traces: Mapping[int, Mapping[str, Any]], layout: Mapping[str, Any] | None = None
    ) -> None:
        """Replaces properties of traces and of the layout, in one message to the page.

        traces : valid values by the trace's index and the property's name. layout : valid values
        by name, such as "showlegend" or "xaxis.visible". plotly's own assignment validates every
        value, which takes ten times as long; the arrays of `figures` are tested instead.
        """
        for index, given in traces.items():
            self._data[index].update(given)
        for name, value in (layout or {}).items():
            part, _, inner = name.partition(".")
            target, key = (
                (self._layout.setdefault(part, {}), inner) if inner else (self._layout, part)
            )
            target[key] = value
        paths: list[list[str | int]] = []
        buffers: list[memoryview] = []
        values: dict[str, list[Any]] = {}
        for name in sorted({name for given in traces.values() for name in given}):
            values[name] = []
            for place, index in enumerate(traces):
                value = custom_serializers["to_json"](self._data[index].get(name), self)
                if isinstance(value, dict) and "buffer" in value:  # an array, sent outside of JSON
                    paths.append(["_py2js_update", "style_data", name, place, "buffer"])
                    buffers.append(value.pop("buffer"))
                values[name].append(value)
        self._last_trace_edit_id += 1
        self._trace_edit_in_process = True
        update = {
            "style_data": values,
            "layout_data": dict(layout or {}),
            "style_traces": list(traces),
            "trace_edit_id": self._last_trace_edit_id,
        }
        self._send_change("_py2js_update", update, paths, buffers)

    def set_shapes(self, shapes: list[dict[str, Any]]) -> None:
        """Replaces the shapes of the layout; nothing is sent where they are equal.

        shapes : valid shapes as dictionaries. plotly's own assignment validates every property,
        which takes most of a slider move; the shapes of `figures` are tested instead.
        """
        if shapes == self._layout.get("shapes", []):
            return
        self._layout["shapes"] = shapes
        self._layout_obj._compound_array_props["shapes"] = None  # read back from `_layout`
        self._send_change("_py2js_relayout", {"relayout_data": {"shapes": shapes}})

    def _send_change(
        self,
        name: str,
        change: dict[str, Any],
        paths: Sequence[list[str | int]] = (),
        buffers: Sequence[memoryview] | None = None,
    ) -> None:
        """Sends the message that plotly sends by setting a trait and resetting it.

        ipywidgets then looks for arrays in every list, which takes milliseconds for a large one.
        """
        self._last_layout_edit_id += 1
        self._layout_edit_in_process = True
        change |= {"layout_edit_id": self._last_layout_edit_id, "source_view_id": None}
        message = {"method": "update", "state": {name: change}, "buffer_paths": [*paths]}
        if buffers:
            self._send(message, buffers=buffers)
        else:
            self._send(message)

    def send_state(self, key: Any = None) -> None:
        """Sends what changed, but not the reset of a message to the page to None."""
        reset = isinstance(key, str) and key.startswith("_py2js_") and getattr(self, key) is None
        if not reset:
            super().send_state(key)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Returns the widget's state, with data and layout as they are now."""
        if key is None and self._complete:
            # Set without the traits' notification, so that nothing is sent twice.
            self._trait_values["_widget_data"] = deepcopy(self._data)
            self._trait_values["_widget_layout"] = deepcopy(self._layout_obj._props)
        return super().get_state(key=key, drop_defaults=drop_defaults)
