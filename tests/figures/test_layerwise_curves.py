"""The lines of layer-wise sensitivity."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import gdws_explorer as gx
from gdws_explorer.figures import layerwise_curves as lines
from gdws_explorer.study import layerwise
from gdws_explorer.study.measurements import Measurements


@pytest.mark.slow
def test_the_chosen_layer_is_in_colour_with_intervals_and_the_others_grey(curves):
    data = lines.info(curves)
    grey, clean, robust, grey_error, error = lines.figure(data, "fc").data
    fc = next(curve for curve in curves if curve.name == "fc")
    for trace, metric in ((clean, "clean"), (robust, "robust")):
        dense = curves[0].dense.accuracy(metric)
        assert trace.x == (100.0, *(100 * fc.share))
        assert trace.y == pytest.approx([100 * dense, *(100 * fc.accuracy(metric))])
        high = 100 * fc.interval(metric)[:, 1] - 100 * fc.accuracy(metric)
        assert trace.error_y.array == pytest.approx((0.0, *high))
        assert set(trace.customdata) == {"fc"}
    assert error.y == pytest.approx((0.0, *fc.analytic("relative")))
    others = [curve.name for curve in curves if curve.name != "fc"]
    assert list(dict.fromkeys(name for name in grey.customdata if name)) == others
    assert grey.x == grey_error.x
    assert grey.x.count(None) == len(others) - 1


def test_both_rows_share_their_budgets(curves):
    layout = lines.figure(lines.info(curves)).layout
    assert layout.xaxis.matches == "x2"
    assert layout.xaxis.range == layout.xaxis2.range
    assert layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_hovers_say_all_there_is_to_know(curves):
    data = lines.info(curves)
    text = next(line for line in data.lines if line.name == "fc").text[-1]
    for part in (
        "fc</b> alone: SVD", "of its MACs", "relative error", "robust", "95 %", "paired), p ",
        "PGD-2 ℓ∞ ε 0.15 · n 30 · seed 0",
    ):  # fmt: skip
        assert part in text
    assert "n 30" in data.dense_text


def test_the_worst_layers_carry_their_names_one_below_the_other(curves):
    data = lines.info(curves)
    worst = [line.name for line in data.sensitive("robust")]
    assert worst[0] == max(curves, key=lambda curve: curve.loss("robust").max()).name == "fc"
    notes = lines.figure(data, "conv2").layout.annotations
    assert set(worst) == {x.name for x in data.lines if max(x.loss_low["robust"]) > 0}
    assert [note.text for note in notes][-1] == "fc"
    assert {note.text for note in notes} == set(worst[: lines.LABELLED])
    places = [note.y for note in notes]
    assert all(above - below >= 3 for above, below in itertools.pairwise(places))


def test_forty_layers_are_five_traces_and_long_names_are_cut(curves):
    many = [
        replace(curves[i % 7], name=f"group{i}.layer{i}.with.a.long.name.conv{i}")
        for i in range(40)
    ]
    data = lines.info(many)
    figure = lines.figure(data, many[3].name)
    assert len(figure.data) == 5
    assert 1 <= len(figure.layout.annotations) <= lines.LABELLED
    assert all(len(note.text) <= lines.LONGEST for note in figure.layout.annotations)
    assert many[3].name not in figure.data[0].customdata
    assert len([name for name in set(figure.data[0].customdata) if name]) == 39


def test_a_line_goes_on_over_what_is_not_measured(curves):
    fc = next(curve for curve in curves if curve.name == "fc")
    half = replace(fc, records=(None, fc.records[1]))
    robust = lines.figure(lines.info([half]), "fc").data[2]
    assert robust.x == (100.0, 100 * fc.share[1])
    assert robust.y[1] == 100 * fc.accuracy("robust")[1]
    assert len(robust.error_y.array) == 2


def test_before_anything_is_measured_the_errors_are_there(network):
    bench = gx.load("digits")
    empty = Measurements(network, bench.data, gx.PGD(0.15, steps=3))
    found = layerwise.curves(empty, layerwise.steps(network, ["conv3", "fc"]))
    data = lines.info(found)
    figure = lines.figure(data, "fc")
    assert figure.data[2].y == ()
    assert min(figure.data[4].y[1:]) > 0
    assert figure.layout.annotations[0].text == "nothing is measured yet"
    assert "not measured yet" in data.lines[0].text[0]


def test_squared_errors_have_a_logarithmic_axis_without_zeros(curves):
    zero = [replace(curves[0], steps=tuple(s._replace(squared=0.0) for s in curves[0].steps))]
    data = lines.info([*zero, *curves[1:]], "squared", "output")
    figure = lines.figure(data, curves[0].name)
    assert figure.layout.yaxis2.type == "log"
    assert figure.layout.yaxis2.title.text == "squared error"
    assert set(figure.data[4].y) == {lines.FLOOR}
    assert data.axis == "squared error of the output"


def test_without_an_attack_there_is_clean_accuracy_only(network):
    bench = gx.load("digits")
    plain = Measurements(network, bench.data, None)
    plain.change(None, 20)
    found = layerwise.measure(plain, network, layerwise.steps(network, ["fc"], shares=[0.3]))
    data = lines.info(found)
    assert np.isnan(data.dense["robust"])
    figure = lines.figure(data, "fc", "clean")
    assert figure.data[1].y[1] == 100 * found[0].accuracy("clean")[0]
    assert figure.data[2].y == ()
    assert "not attacked · n 20" in data.lines[0].text[0]
