"""Filters over many records: a histogram with a brush, and parallel coordinates."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import ipywidgets as w

from gdws_explorer.figures import record_charts as charts
from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import BINS, METRICS, Filters, Histogram, histogram
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, labelled, on, row

PAUSE = 3.0  # seconds between two drawings of the parallel coordinates while records arrive


class RecordFilterView:
    """One metric's histogram with a brush, buttons that filter, and parallel coordinates.

    metric : input with the metric of the histogram. figure : the histogram. brush : a range of
    its bins. selection_text, filters_text : texts with what the brush covers and what is filtered.
    keep_button, exclude_button, undo_button, redo_button, clear_button : change the filters.
    parallel_button : shows the parallel coordinates in `parallel`, a box that is empty otherwise.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._record_filter = session.record_filter
        self._outdated = False  # the parallel coordinates lack some records
        self._drawn_filters: Filters | None = None  # those that the parallel coordinates show
        self._drawn = 0.0  # when they were drawn
        self._make_histogram()
        self._make_buttons()
        self.parallel_button = w.ToggleButton(
            description="Parallel coordinates",
            tooltip="All metrics of all plans; drag along an axis to filter",
            layout=w.Layout(width="150px"),
        )  # fmt: skip
        self.parallel_button.observe(lambda _change: self._toggle_parallel(), "value")
        self.parallel = w.VBox([])
        left = w.VBox(
            [
                row(self.metric, self.selection_text), self.figure, self.brush,
                row(
                    self.keep_button, self.exclude_button, self.undo_button, self.redo_button,
                    self.clear_button, self.parallel_button,
                ),
                self.filters_text,
            ]
        )  # fmt: skip
        left.add_class("gx-column")
        self.parallel.add_class("gx-column")
        columns = w.Box([left, self.parallel])
        columns.add_class("gx-columns")
        title = w.HTML('<span class="gx-title">Choose among what is measured</span>')
        self.box = w.VBox([title, columns])
        self.refresh("filters")

    def refresh(self, event: Event) -> None:
        """Shows the records and the filters."""
        self._data = self._count()
        self.figure.redraw(self._histogram())
        self._show_texts()
        history = self._record_filter.history
        self.undo_button.disabled = not history.past
        self.redo_button.disabled = not history.future
        self.clear_button.disabled = self._record_filter.filters == Filters()
        if self.parallel_button.value:
            paused = time.monotonic() - self._drawn >= PAUSE
            if self._drawn_filters != self._record_filter.filters or (
                event == "records" and paused
            ):
                self._draw_parallel()
            elif event == "records":
                self._outdated = True

    def catch_up(self) -> None:
        """Draws records that are not drawn yet; called when no more arrive."""
        if self._outdated and self.parallel_button.value:
            self._draw_parallel()

    # -- the histogram and its brush -------------------------------------------------------

    def _make_histogram(self) -> None:
        self.metric = labelled(
            w.Dropdown, "histogram of", 88, 260,
            options=[(metric.label, name) for name, metric in METRICS.items()],
        )  # fmt: skip
        self.brush = w.IntRangeSlider(
            value=(0, BINS), min=0, max=BINS, readout=False,
            layout=w.Layout(width="auto", margin="0 18px 0 40px"),
        )  # fmt: skip
        self._data = self._count()
        self.figure = Figure(self._histogram())
        for bars in self.figure.data:
            bars.on_selection(lambda _bars, _points, box: self._select(box))
        self.brush.observe(lambda _change: self._move_brush(), "value")
        self.metric.observe(lambda _change: self._change_metric(), "value")
        self.selection_text, self.filters_text = w.HTML(), w.HTML()

    def _make_buttons(self) -> None:
        session = self._session
        self.keep_button = button(
            "Keep", "check", "Grey out the plans outside of the selected bars", 76
        )
        self.exclude_button = button(
            "Exclude", "ban", "Grey out the plans in the selected bars", 88
        )
        self.undo_button = button("", "undo", "Undo the last filter", 36)
        self.redo_button = button("", "repeat", "Redo the filter", 36)
        self.clear_button = button("Clear", "times", "Remove all filters", 72)
        on(session, self.keep_button, lambda: self._apply_brush(keep=True))
        on(session, self.exclude_button, lambda: self._apply_brush(keep=False))
        on(session, self.undo_button, self._record_filter.undo)
        on(session, self.redo_button, self._record_filter.redo)
        on(session, self.clear_button, lambda: self._record_filter.apply(Filters()))

    def _count(self) -> Histogram:
        found = self._record_filter
        return histogram(found.records, self.metric.value, found.filters)

    def _histogram(self) -> Any:
        return charts.histogram_figure(charts.histogram_info(self._data, self._brushed))

    @property
    def _brushed(self) -> tuple[int, int] | None:
        """The bins between the ends of the brush; None where it covers all of them."""
        first, last = self.brush.value
        return None if (first, last) == (0, BINS) else (first, last)

    def _change_metric(self) -> None:
        self.brush.value = (0, BINS)
        self.refresh("records")

    def _select(self, box: Any) -> None:
        """Moves the brush to a box that the user dragged over the bars."""
        ends = getattr(box, "xrange", None)
        if ends:
            low, high = sorted(ends)
            self.brush.value = charts.selected_bins(low, high, BINS)

    def _move_brush(self) -> None:
        self.figure.layout.shapes = charts.brush_shapes(self._brushed)
        self._show_texts()

    def _show_texts(self) -> None:
        """Shows what the brush covers, and what is filtered."""
        if self._brushed is None or self._brushed[0] == self._brushed[1]:
            selection = "drag over the bars, or move the ends below"
        else:
            covered, count = self._data.range(*self._brushed), self._data.held(*self._brushed)
            selection = f"{covered}: {count} plan{'' if count == 1 else 's'}"
        self.selection_text.value = f'<span class="gx-unit">{escape(selection)}</span>'
        filters = str(self._record_filter.filters)
        text = f"Not greyed out: {filters}" if filters else "Nothing is greyed out."
        self.filters_text.value = f'<span class="gx-unit">{escape(text)}</span>'

    def _apply_brush(self, *, keep: bool) -> None:
        first, last = self.brush.value
        if first < last:
            covered = self._data.range(first, last, keep)
            self._record_filter.apply(self._record_filter.filters.brush(covered))
        self.brush.value = (0, BINS)

    # -- parallel coordinates --------------------------------------------------------------

    def _toggle_parallel(self) -> None:
        """Draws the parallel coordinates when they are shown, and closes them after."""
        if self.parallel_button.value:
            self._draw_parallel()
        else:
            self._close_parallel()

    def _close_parallel(self) -> None:
        closed, self.parallel.children = self.parallel.children, ()
        for figure in closed:
            figure.close()

    def _draw_parallel(self) -> None:
        """Draws a new figure, which takes half a second in the browser."""
        self._drawn, self._outdated = time.monotonic(), False
        self._drawn_filters = self._record_filter.filters
        axes = charts.parallel_info(self._record_filter.records, self._drawn_filters)
        figure = Figure(charts.parallel_figure(axes))
        for axis in figure.data[0].dimensions:
            axis.on_change(lambda each, ends: self._filter_axis(each.name, ends), "constraintrange")
        self._close_parallel()
        self.parallel.children = [figure]

    def _filter_axis(self, metric: str, ends: Any) -> None:
        """Filters by the range that the user dragged along an axis."""
        filters = self._record_filter.filters.bound(metric)
        if ends:
            flat = ends[0] if isinstance(ends[0], tuple | list) else ends
            low, high = charts.from_axis(metric, sorted(flat))
            filters = filters.bound(metric, low, high)
        self._drawn_filters = filters  # the axis shows them already: no new figure
        with self._session.show_errors():
            self._record_filter.apply(filters)
