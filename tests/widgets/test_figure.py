"""The live figure: shapes without plotly's validation."""

import plotly.graph_objects as go
import pytest

from gdws_explorer.figures import pareto_front
from gdws_explorer.widgets.figure import Figure


@pytest.fixture
def figure():
    return Figure(go.Figure(layout={"shapes": [{"type": "line", "x0": 0, "x1": 1}]}))


def test_shapes_are_read_back_and_are_in_the_state_of_a_page(figure):
    shapes = pareto_front.plan_shapes(3.0, 10.0, {"robust": 0.5, "clean": 0.9})
    figure.set_shapes(shapes)
    assert [shape.type for shape in figure.layout.shapes] == ["line", "circle", "circle"]
    assert figure.get_state()["_widget_layout"]["shapes"] == shapes
    assert go.Figure(layout={"shapes": shapes}).layout.shapes == figure.layout.shapes, "valid"


def test_plotly_can_still_replace_them(figure):
    figure.set_shapes([{"type": "circle", "x0": 2, "x1": 3}])
    with figure.batch_update():
        figure.layout.shapes = [{"type": "line", "x0": 9}]
    assert figure.layout.shapes[0].x0 == 9
    figure.set_shapes([{"type": "line", "x0": 8}])
    assert figure.layout.shapes[0].x0 == 8


def test_equal_shapes_are_not_sent_again(figure, monkeypatch):
    sent = []
    monkeypatch.setattr(figure, "_send", sent.append)
    for _ in range(3):
        figure.set_shapes([{"type": "line", "x0": 5}])
    relayouts = [message["state"]["_py2js_relayout"] for message in sent]
    assert [r["relayout_data"] for r in relayouts] == [{"shapes": [{"type": "line", "x0": 5}]}]
