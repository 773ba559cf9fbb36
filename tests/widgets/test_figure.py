"""The live figure: what a redrawing changes and sends."""

import plotly.graph_objects as go

from gdws_explorer.widgets.figure import Figure

LINE = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 2}


def drawn(y, *, shapes=(), title="y", text=()):
    return go.Figure(
        [go.Scatter(x=[1, 2], y=y), go.Bar(x=[1, 2], y=[1, 1])],
        {"yaxis": {"title": {"text": title}}, "shapes": shapes,
         "annotations": [{"text": each} for each in text]},
    )  # fmt: skip


def test_it_takes_over_traces_axes_shapes_and_annotations():
    live = Figure(drawn([1, 2], shapes=[LINE], text=["old"]))
    live.redraw(drawn([3, 4], title="new", text=["a", "b"]))
    assert list(live.data[0].y) == [3, 4]
    assert live.layout.yaxis.title.text == "new"
    assert live.layout.shapes == ()
    assert [each.text for each in live.layout.annotations] == ["a", "b"]


def test_only_what_differs_is_sent():
    live = Figure(drawn([1, 2], shapes=[LINE], text=["a"]))
    sent = []
    live.observe(lambda change: sent.append(change["new"]), "_py2js_update")
    live.redraw(drawn([1, 3], shapes=[LINE], text=["a"]))
    (message,) = [each for each in sent if each]
    assert message["style_data"] == {"y": [[1, 3]]}
    assert message["style_traces"] == [0]
    assert message["layout_data"] == {}


def test_a_page_that_opens_later_gets_the_present_figure():
    live = Figure(drawn([1, 2]))
    live.redraw(drawn([5, 6]))
    assert list(live.get_state()["_widget_data"][0]["y"]) == [5, 6]
