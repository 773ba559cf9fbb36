"""The scatter of error against loss, with Spearman's ρ."""

from dataclasses import replace

import pytest

import gdws_explorer as gx
from gdws_explorer.figures import correlation_scatter as scatters
from gdws_explorer.figures import layerwise_curves as lines
from gdws_explorer.study import layerwise
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.rank_correlation import spearman


def correlation(curves, kind="relative", metric="robust"):
    errors = [curve.analytic(kind) for curve in curves]
    return spearman(errors, [curve.loss(metric) for curve in curves])


@pytest.mark.parametrize("metric", ["robust", "clean"])
def test_the_scatter_shows_error_and_paired_loss(curves, metric):
    said = correlation(curves, metric=metric)
    figure = scatters.figure(scatters.info(lines.info(curves), said, "fc", metric))
    others, mine = figure.data
    fc = next(curve for curve in curves if curve.name == "fc")
    assert mine.x == pytest.approx(fc.analytic("relative"))
    assert mine.y == pytest.approx(100 * fc.loss(metric))
    down = 100 * (fc.loss(metric) - fc.loss_interval(metric)[:, 0])
    assert mine.error_y.arrayminus == pytest.approx(down)
    assert len(others.x) + len(mine.x) == said.n == 14
    low, high = said.interval
    note = figure.layout.annotations[0].text
    assert note == (
        f"Spearman’s ρ = {said.rho:.2f} (95 %: {low:.2f} to {high:.2f})<br>14 points, 7 layers"
    )
    assert "fc" not in others.customdata


def test_an_undefined_rho_is_said(curves):
    level = [[0.0, 0.0] for _ in curves]
    said = spearman([curve.analytic("relative") for curve in curves], level)
    figure = scatters.figure(scatters.info(lines.info(curves), said))
    assert figure.layout.annotations[0].text == "Spearman’s ρ is undefined"


def test_the_info_parts_the_chosen_layer_from_the_others(curves):
    data = scatters.info(lines.info(curves), correlation(curves), "fc")
    assert set(data.own.layers) == {"fc"}
    assert set(data.others.layers) == {curve.name for curve in curves} - {"fc"}
    assert len(data.own.x) == len(data.own.y) == len(data.own.text) == 2


def test_squared_errors_have_a_logarithmic_axis_without_zeros(curves):
    zero = [replace(curves[0], steps=tuple(s._replace(squared=0.0) for s in curves[0].steps))]
    data = lines.info([*zero, *curves[1:]], "squared", "output")
    figure = scatters.figure(scatters.info(data, correlation(curves, "squared"), "fc"))
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.title.text == "squared error of the output"
    assert min(figure.data[0].x) == lines.FLOOR


def test_without_measurements_it_says_so(network, bench):
    empty = Measurements(network, bench.data, gx.PGD(0.15, steps=3))
    found = layerwise.curves(empty, layerwise.steps(network, ["conv3", "fc"]))
    figure = scatters.figure(scatters.info(lines.info(found), correlation(found), "fc"))
    assert figure.layout.annotations[0].text == "nothing is measured yet"
    assert set(figure.data[1].y) == {None}
