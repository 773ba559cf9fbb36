"""The panel "Sensitivity": measured, drawn within its column, and a click on a line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from driving import Explored

pytestmark = pytest.mark.browser

# Where a point of the other layers' errors stands, and whose it is.
POINT = """() => {
  const graph = document.querySelector(".gx-panel .js-plotly-plot");
  const { x, y, customdata } = graph.data[3];
  const { xaxis2, yaxis2 } = graph._fullLayout;
  const at = customdata.indexOf("conv6") + 3;
  const box = graph.getBoundingClientRect();
  return {
    x: box.left + xaxis2._offset + xaxis2.l2p(x[at]),
    y: box.top + yaxis2._offset + yaxis2.l2p(y[at]),
    name: customdata[at],
  };
}"""
WIDTHS = """() => [...document.querySelectorAll(".gx-panel .js-plotly-plot")].map((graph) => [
  graph._fullLayout.width, graph.closest(".gx-column").clientWidth])"""
DRAWN = """() => document.querySelectorAll(".gx-panel .js-plotly-plot")[1]?.data
  ?.flatMap((trace) => [...trace.y]).filter((y) => y !== null).length ?? 0"""


@pytest.fixture
def panel(explorer: Explored) -> Iterator[Explored]:
    explorer.kernel.run("_session.measure_with(gx.FGSM(0.15), 12)")
    explorer.root.get_by_role("button", name="Sensitivity").click()
    explorer.page.wait_for_function(
        "() => document.querySelectorAll('.gx-panel .js-plotly-plot .main-svg').length >= 4"
    )
    yield explorer
    explorer.kernel.run(
        "explorer.panel_bar.open(None); _session.measure_with(gx.PGD(0.15, steps=20), 360)"
    )


def test_every_layer_is_measured_and_a_click_chooses_one(panel: Explored) -> None:
    page = panel.page
    panel.root.locator(".gx-panel button").filter(has_text="Measure").click()
    wanted = panel.kernel.ask("len(explorer.panel_bar.opened.steps)")
    panel.until(lambda: page.evaluate(DRAWN) == wanted, "not every point is drawn", 120)
    page.get_by_text(f"All {wanted} plans are measured").wait_for()
    assert page.get_by_text("Spearman’s ρ = ").count() == 1
    for drawn, room in page.evaluate(WIDTHS):
        assert 0.9 * room < drawn <= room
    panel.root.locator(".gx-panel .js-plotly-plot").first.scroll_into_view_if_needed()
    point = page.evaluate(POINT)
    assert point["name"] == "conv6"
    page.mouse.move(point["x"], point["y"])
    page.locator(".gx-panel .hoverlayer .hovertext").first.wait_for()
    page.mouse.click(point["x"], point["y"])
    panel.until(lambda: panel.truth()["selected"] == "conv6", "the click chose nothing")
    panel.until(lambda: panel.look()["strips"]["conv6"]["selected"], "the desk does not show it")


def test_a_narrow_page_stacks_the_pictures_within_it(panel: Explored) -> None:
    size = panel.page.viewport_size
    panel.page.set_viewport_size({"width": 760, "height": 1500})
    try:
        panel.until(
            lambda: all(0.9 * room < wide <= room for wide, room in panel.page.evaluate(WIDTHS)),
            "the pictures do not fit",
        )
    finally:
        panel.page.set_viewport_size(size)
