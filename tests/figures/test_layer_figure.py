"""One layer's figure: the view that suits its family, and the chosen ranks as shapes."""

import numpy as np
import pytest

from gdws_explorer.errors import BudgetError
from gdws_explorer.figures import layer_figure
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2

CHOICES = [
    (GDWS(20), "cells"),
    (Tucker2(8, 9), "grid"),
    (SVD(5), "curve"),
    (SpatialSVD(5), "curve"),
]


@pytest.mark.parametrize(("choice", "view"), CHOICES, ids=str)
def test_only_the_view_of_the_family_is_visible(network, choice, view):
    data = layer_figure.info(network, "conv2", choice)
    figure = layer_figure.figure(data)
    assert data.view == view
    assert [i for i, trace in enumerate(figure.data) if trace.visible] == [
        *layer_figure.TRACES[view]
    ]
    x, _ = layer_figure.AXES[view]
    assert figure.layout.shapes[0].xref == x
    assert figure.layout[x.replace("x", "xaxis")].visible


@pytest.mark.parametrize(("choice", "view"), CHOICES, ids=str)
def test_traces_do_not_depend_on_the_chosen_ranks(network, choice, view):
    family = type(choice)
    other = family(3, 4) if family is Tucker2 else family(4)
    first, second = (
        [trace.to_plotly_json() for trace in layer_figure.traces(data)]
        for data in (layer_figure.info(network, "conv2", each) for each in (choice, other))
    )
    assert str(first) == str(second)


@pytest.mark.parametrize("before", [GDWS(20), Dense()], ids=str)
@pytest.mark.parametrize("after", [GDWS(3), GDWS(3, (1, 0, 2, *[0] * 29)), Dense()], ids=str)
def test_other_triplets_of_the_same_arrays_are_those_of_a_new_info(network, before, after):
    again = layer_figure.with_choice(layer_figure.info(network, "conv2", before), after)
    fresh = layer_figure.info(network, "conv2", after)
    assert layer_figure.shapes(again) == layer_figure.shapes(fresh)
    for one, other in zip(again.arrays, fresh.arrays, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("choice", "view"), CHOICES, ids=str)
def test_ranks_out_of_range_are_refused(network, choice, view):
    family = type(choice)
    for ranks in [(0, 1), (10**4, 1)]:
        with pytest.raises(BudgetError, match="conv2"):
            layer_figure.info(network, "conv2", family(*ranks[: 1 + (family is Tucker2)]))


def test_a_dense_layer_shows_its_first_family_with_all_ranks(network):
    data = layer_figure.info(network, "conv2", Dense())
    assert (data.family, data.view) == ("gdws", "cells")
    assert data.arrays.kept.all()
    linear = layer_figure.info(network, "fc", Dense())
    assert (linear.family, linear.view) == ("svd", "curve")
    assert linear.arrays.rank == len(linear.arrays.error)


def test_every_view_has_a_legend_only_where_it_has_lines():
    assert [layer_figure.axes(view)["showlegend"] for view in layer_figure.TRACES] == [
        False, False, True,
    ]  # fmt: skip
