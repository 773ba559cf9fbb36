"""What the page does to a figure: clicks and boxes, as plotly's JavaScript reports them."""

import pytest


@pytest.fixture
def click():
    """A function that clicks the points of a trace, given by their indices."""

    def report(figure, trace, points):
        figure._js2py_pointsCallback = {
            "event_type": "plotly_click",
            "points": {
                "trace_indexes": [trace] * len(points), "point_indexes": list(points),
                "xs": [0] * len(points), "ys": [0] * len(points),
            },
            "device_state": None, "selector": None,
        }  # fmt: skip

    return report


@pytest.fixture
def drag():
    """A function that drags a box over a range of x; None is a selection without a box."""

    def report(figure, xrange):
        selector = None
        if xrange is not None:
            selector = {
                "type": "box", "selector_state": {"xrange": list(xrange), "yrange": [0, 1]},
            }  # fmt: skip
        figure._js2py_pointsCallback = {
            "event_type": "plotly_selected",
            "points": {"trace_indexes": [], "point_indexes": [], "xs": [], "ys": []},
            "device_state": None,
            "selector": selector,
        }

    return report
