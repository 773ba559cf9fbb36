"""Colours and layout of all figures."""

import itertools

import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.network.plans.families import FAMILIES


def luminance(colour):
    """Relative luminance of "#rrggbb" (WCAG 2.1)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour, other):
    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_is_readable_on_white_and_on_black():
    assert contrast(theme.GREY, "#ffffff") >= 4.5
    assert contrast(theme.GREY, "#000000") >= 4.5


def test_every_family_has_its_own_colour():
    assert set(theme.FAMILY_COLOURS) == {"dense", *FAMILIES}
    for one, other in itertools.combinations(theme.FAMILY_COLOURS.values(), 2):
        assert one != other


def test_layouts_are_transparent_and_can_be_changed():
    layout = theme.layout(200, showlegend=False, margin={"l": 1})
    assert (layout.height, layout.showlegend, layout.margin.l) == (200, False, 1)
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert theme.axis("x", showline=False)["showline"] is False


def test_no_figure_sends_anything_anywhere():
    assert theme.CONFIG["showSendToCloud"] is False
    assert theme.CONFIG["plotlyServerURL"] == ""


def test_writing_html_leaves_the_settings_alone():
    before = dict(theme.CONFIG)
    go.Figure().to_html(include_plotlyjs=False, config=dict(theme.CONFIG))
    assert before == theme.CONFIG
