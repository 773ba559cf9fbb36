"""Charts of many records."""

import numpy as np
import pytest

from gdws_explorer.figures import record_charts as charts
from gdws_explorer.study.filters import BINS, METRICS, Filters, Range, histogram


@pytest.fixture(scope="module")
def records(bench):
    return bench.records


def test_the_hypervolume_is_drawn_after_every_evaluation():
    data = charts.growth_info([0.1, 0.2, 0.2])
    assert data.evaluations.tolist() == [1, 2, 3]
    (line,) = charts.growth_figure(data).data
    assert (list(line.x), list(line.y)) == ([1, 2, 3], [0.1, 0.2, 0.2])
    assert len(charts.growth_figure(charts.growth_info([])).data[0].x) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_every_record_is_in_one_bar(records, metric):
    filters = Filters().bound("robust", 0.6)
    data = charts.histogram_info(histogram(records, metric, filters))
    having = [record for record in records if METRICS[metric].value(record) is not None]
    assert data.kept.sum() == sum(filters.broken(record) is None for record in having)
    assert data.kept.sum() + data.filtered_out.sum() == len(having)
    kept, grey = charts.histogram_figure(data).data
    assert np.array_equal(kept.y, data.kept)
    assert np.array_equal(grey.y, data.filtered_out)


def test_bins_are_labelled_in_the_metrics_unit(records):
    counts = histogram(records, "robust", Filters())
    data = charts.histogram_info(counts)
    assert len(data.ranges) == BINS
    low, high = data.ranges[0].split(" to ")
    assert float(low) == pytest.approx(100 * counts.edges[0], rel=0.01)
    assert float(high) == pytest.approx(100 * counts.edges[1], rel=0.01)
    assert (data.ticks[0], data.ticks[-1]) == (0, BINS)
    assert data.tick_text[0] == low
    assert data.title == "robust accuracy (%)"


def test_a_brush_is_a_rectangle_over_its_bins(records):
    counts = histogram(records, "macs", Filters())
    assert charts.histogram_figure(charts.histogram_info(counts)).layout.shapes == ()
    (shape,) = charts.histogram_figure(charts.histogram_info(counts, (2, 8))).layout.shapes
    assert (shape.x0, shape.x1) == (2, 8)


def test_parallel_coordinates_have_an_axis_for_every_metric_and_its_filter(records):
    filters = Filters().bound("robust", 0.5).brush(Range("macs", 0, 10**12))
    data = charts.parallel_info(records, filters)
    assert [axis.metric for axis in data] == list(charts.AXES)
    by_name = {axis.metric: axis for axis in data}
    low, high = by_name["robust"].range
    assert by_name["robust"].selected == (max(low, 50.0), high)
    assert by_name["macs"].selected == by_name["macs"].range, "never beyond the axis"
    assert by_name["clean"].selected is None
    assert by_name["clean"].values == pytest.approx([100 * record.clean for record in records])
    lines = charts.parallel_figure(data).data[0]
    assert [axis.name for axis in lines.dimensions] == list(charts.AXES)
    assert lines.dimensions[-1].constraintrange == by_name["robust"].selected


def test_without_records_there_are_no_axes():
    assert charts.parallel_info([], Filters()) == []
    assert len(charts.parallel_figure([]).data[0].dimensions) == 0


@pytest.mark.parametrize("metric", charts.AXES)
def test_from_axis_is_the_inverse_of_to_axis(metric):
    values = [0.001, 0.5, 1.0]
    assert charts.from_axis(metric, charts.to_axis(metric, values)) == pytest.approx(values)
