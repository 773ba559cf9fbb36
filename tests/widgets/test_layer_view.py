"""The figure of the selected layer and its caption."""

from html import escape

import numpy as np
import pytest

from gdws_explorer.figures import layer_figure
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.cost import break_even
from gdws_explorer.utils.format import millions
from gdws_explorer.widgets.layer_view import EXPLANATIONS, LayerView, caption_of

CHOICES = [
    (GDWS(40), "cells"), (Tucker2(6, 9), "grid"), (SVD(7), "curve"), (SpatialSVD(8), "curve"),
]  # fmt: skip


@pytest.fixture
def view(digits_session):
    digits_session.controls.select("conv4")
    return LayerView(digits_session)


def choose(session, name, choice):
    """Makes a plan of one choice the present one and selects its layer."""
    session.controls.put(session.network.plan({name: choice}))
    session.controls.select(name)
    return session.snapshot


def page_state(view):
    """The data and the layout that a page which opens now gets."""
    state = view.figure.get_state()
    return state["_widget_data"], state["_widget_layout"]


@pytest.mark.parametrize(("choice", "shown"), CHOICES)
def test_the_traces_of_one_view_are_visible(view, digits_session, choice, shown):
    view.refresh(choose(digits_session, "conv4", choice))
    data, layout = page_state(view)
    visible = [i for i, trace in enumerate(data) if trace.get("visible", True)]
    assert visible == list(layer_figure.TRACES[shown])
    for name, axis in layer_figure.axes(shown).items():
        if isinstance(axis, dict):
            assert layout[name]["visible"] == axis["visible"]


@pytest.mark.parametrize(("choice", "shown"), CHOICES)
def test_the_shapes_are_those_of_the_choice(view, digits_session, choice, shown):
    now = choose(digits_session, "conv4", choice)
    view.refresh(now)
    expected = layer_figure.shapes(layer_figure.info(now.network, "conv4", choice))
    assert page_state(view)[1]["shapes"] == expected


@pytest.mark.parametrize(("choice", "shown"), CHOICES)
def test_it_shows_the_same_as_a_new_view_whatever_it_showed_before(
    view, digits_session, choice, shown
):
    for name, other in [
        ("conv3", choice),
        ("conv5", GDWS(3)),
        ("conv4", Tucker2(2, 2)),
        ("fc", SVD(2)),
        ("conv3", choice),
    ]:
        view.refresh(choose(digits_session, name, other))
    (data, layout), (new_data, new_layout) = page_state(view), page_state(LayerView(digits_session))
    assert layout["shapes"] == new_layout["shapes"]
    for place in layer_figure.TRACES[shown]:
        for key in ("x", "y", "z", "customdata"):
            np.testing.assert_equal(data[place].get(key), new_data[place].get(key))


@pytest.mark.parametrize(("choice", "shown"), CHOICES)
def test_the_caption_has_choice_costs_and_error(digits_session, choice, shown):
    now = choose(digits_session, "conv4", choice)
    layer, caption = now.summary.layers["conv4"], caption_of(now)
    assert f"<b>{escape(str(now.network.layer('conv4')))}</b>" in caption
    assert f"MACs {millions(layer.dense_macs)} → {millions(layer.macs)}" in caption
    assert f"parameters {millions(layer.dense_params)} → {millions(layer.params)}" in caption
    assert f"squared error {layer.error:.4g}" in caption
    assert caption.endswith(f"{EXPLANATIONS[type(choice)]}</span>")


def test_a_dense_layer_has_no_costs_in_its_caption(digits_session):
    caption = caption_of(choose(digits_session, "conv4", Dense()))
    assert " · dense<br>" in caption
    assert "squared error" not in caption
    assert EXPLANATIONS[Dense] in caption


def test_more_macs_than_dense_is_marked(digits_session):
    limit = break_even(digits_session.network.layer("conv4"))
    for kernels, larger in [(limit, False), (limit + 1, True)]:
        caption = caption_of(choose(digits_session, "conv4", GDWS(kernels)))
        assert ("more expensive than the dense layer" in caption) == larger
        assert f"(cheaper than dense up to {limit})" in caption


def test_every_layer_can_be_selected(view, digits_session):
    for name in digits_session.network.names:
        digits_session.controls.select(name)
        view.refresh(digits_session.snapshot)
        assert view.caption.value == caption_of(digits_session.snapshot)
        assert f"<b>{name}" in view.caption.value
