"""Choosing among many records: a brush over a histogram, and all metrics in parallel."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import ipywidgets as w

from gdws_explorer.figures import record_charts as figures
from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import BINS, METRICS, Filters, Histogram, histogram
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, labelled, on, row

RESTED = 3.0  # seconds between two drawings of the parallel view while records arrive


class RecordFilterView:
    """One metric's histogram with a brush, what is filtered and its undo, the parallel view."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._picking = session.record_filter
        self._late = False
        self._shown: Filters | None = None  # by the parallel view
        self._drawn = 0.0
        self._metric = labelled(
            w.Dropdown, "histogram of", 88, 260,
            options=[(metric.label, name) for name, metric in METRICS.items()],
        )  # fmt: skip
        self._data = self._counted()
        self._figure = Figure(figures.histogram_figure(figures.histogram_info(self._data)))
        for bars in self._figure.data:
            bars.on_selection(lambda _bars, _points, box: self._painted(box))
        self._brush = w.IntRangeSlider(
            value=(0, BINS), min=0, max=BINS, readout=False,
            layout=w.Layout(width="auto", margin="0 18px 0 40px"),
        )  # fmt: skip
        self._brush.observe(self._moved, "value")
        self._taken, self._filters = w.HTML(), w.HTML()
        keep = button("Keep", "check", "Grey out everything that the brush does not cover", 76)
        drop = button("Exclude", "ban", "Grey out what the brush covers", 88)
        self._undo = button("", "undo", "Take the last filter back", 36)
        self._redo = button("", "repeat", "Filter so again", 36)
        self._clear = button("Clear", "times", "Nothing is greyed out", 72)
        on(session, keep, lambda: self._take(True))
        on(session, drop, lambda: self._take(False))
        on(session, self._undo, self._picking.undo)
        on(session, self._redo, self._picking.redo)
        on(session, self._clear, lambda: self._picking.apply(Filters()))
        self._metric.observe(lambda _change: self._another(), "value")
        self._parallel = w.ToggleButton(
            description="Parallel coordinates", tooltip="All metrics of all plans; paint an axis",
            layout=w.Layout(width="150px"),
        )  # fmt: skip
        self._parallel.observe(lambda _change: self._unfold(), "value")
        self._place = w.VBox([])
        left = w.VBox(
            [
                row(self._metric, self._taken), self._figure, self._brush,
                row(keep, drop, self._undo, self._redo, self._clear, self._parallel),
                self._filters,
            ]
        )  # fmt: skip
        left.add_class("gx-column")
        self._place.add_class("gx-column")
        columns = w.Box([left, self._place])
        columns.add_class("gx-columns")
        title = w.HTML('<span class="gx-title">Choose among what is measured</span>')
        self.box = w.VBox([title, columns])
        self.refresh("filters")

    def refresh(self, what: str) -> None:
        """Follow the records and the filters."""
        self._data = self._counted()
        self._figure.redraw(
            figures.histogram_figure(figures.histogram_info(self._data, self._brushed))
        )
        self._say()
        history = self._picking.history
        self._undo.disabled, self._redo.disabled = not history.past, not history.future
        self._clear.disabled = self._picking.filters == Filters()
        if self._parallel.value:
            rested = time.monotonic() - self._drawn >= RESTED
            if self._shown != self._picking.filters or (what == "records" and rested):
                self._redraw()
            elif what == "records":
                self._late = True

    def catch_up(self) -> None:
        """Nothing more arrives: draw what was left for later."""
        if self._late and self._parallel.value:
            self._redraw()

    # -- the brush -------------------------------------------------------------------------

    def _counted(self) -> Histogram:
        picking = self._picking
        return histogram(picking.records, self._metric.value, picking.filters)

    def _another(self) -> None:
        """Another metric: the brush covers all of it."""
        self._brush.value = (0, BINS)
        self.refresh("records")

    def _painted(self, box: Any) -> None:
        """The hand drew a box over the bars."""
        ends = getattr(box, "xrange", None)
        if ends:
            low, high = (min(BINS, max(0, round(end))) for end in sorted(ends))
            self._brush.value = (low, max(high, low + 1)) if low < BINS else (BINS - 1, BINS)

    @property
    def _brushed(self) -> tuple[int, int] | None:
        """The bins between the ends of the brush; None where it covers all of them."""
        first, last = self._brush.value
        return None if (first, last) == (0, BINS) else (first, last)

    def _moved(self, _change: Any) -> None:
        self._figure.layout.shapes = figures.brush_shapes(self._brushed)
        self._say()

    def _say(self) -> None:
        """What the brush covers, and what is filtered."""
        first, last = self._brush.value
        if (first, last) == (0, BINS) or first == last:
            told = "drag over the bars, or move the ends below"
        else:
            covered = self._data.range(first, last)
            count = self._data.held(first, last)
            told = f"{covered}: {count} plan{'' if count == 1 else 's'}"
        self._taken.value = f'<span class="gx-unit">{escape(told)}</span>'
        filters = self._picking.filters
        text = f"Standing out: {filters}" if str(filters) else "Nothing is greyed out."
        self._filters.value = f'<span class="gx-unit">{escape(text)}</span>'

    def _take(self, keep: bool) -> None:
        first, last = self._brush.value
        if first < last:
            self._picking.apply(self._picking.filters.brush(self._data.range(first, last, keep)))
        self._brush.value = (0, BINS)

    # -- in parallel -----------------------------------------------------------------------

    def _unfold(self) -> None:
        """Make the view when it is asked for, and let go of it after."""
        if self._parallel.value:
            self._redraw()
        else:
            self._let_go()

    def _let_go(self) -> None:
        gone, self._place.children = self._place.children, ()
        for figure in gone:
            figure.close()

    def _redraw(self) -> None:
        """Draw it anew: half a second in the browser, so never while a fader moves."""
        self._drawn, self._late = time.monotonic(), False
        self._shown = self._picking.filters
        drawn = Figure(
            figures.parallel_figure(figures.parallel_info(self._picking.records, self._shown))
        )
        for axis in drawn.data[0].dimensions:
            axis.on_change(lambda one, ends: self._ruled(one.name, ends), "constraintrange")
        self._let_go()
        self._place.children = [drawn]

    def _ruled(self, name: str, ends: Any) -> None:
        """An axis was painted: that is what is asked of its metric."""
        filters = self._picking.filters.bound(name)
        if ends:
            flat = ends[0] if isinstance(ends[0], tuple | list) else ends
            low, high = figures.from_axis(name, sorted(flat))
            filters = filters.bound(name, low, high)
        self._shown = filters  # the painted axis shows them already: no redrawing
        with self._session.show_errors():
            self._picking.apply(filters)
