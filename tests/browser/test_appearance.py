"""How the explorer looks: pictures for a person, and what a machine can say about them.

The pictures lie in tests/browser/pictures (git ignores them).
"""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MEASURE = """() => {
  const root = document.querySelector(".gx-explorer");
  const outside = root.closest(".jp-OutputArea-output");
  const box = (node) => { const b = node.getBoundingClientRect();
    return { left: b.left, right: b.right, top: b.top, bottom: b.bottom, width: b.width }; };
  return {
    root: box(root),
    overflow: outside.scrollWidth - outside.clientWidth,
    columns: [...root.querySelectorAll(".gx-column")].map(box),
    figures: [...root.querySelectorAll(".js-plotly-plot")].map(box),
    drawings: [...root.querySelectorAll(".js-plotly-plot .main-svg")].map(box),
    buttons: [...root.querySelectorAll("button.jupyter-button")]
      .map((b) => [b.innerText, b.scrollWidth - b.clientWidth]),
    inputs: [...root.querySelectorAll("select, .gx-desk button, .gx-desk input")]
      .filter((node) => node.offsetParent).map(box),
    figureTexts: [...root.querySelectorAll(".js-plotly-plot .xtick text")]
      .map((text) => getComputedStyle(text).fill),
  };
}"""

# WCAG contrast of every small text with what lies behind it.
CONTRAST = """() => {
  const root = document.querySelector(".gx-explorer");
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (; node; node = node.parentElement) {
    const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0.5) return c; } return [255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.offsetParent) continue;
    if (node.closest(":disabled, .jp-mod-disabled, svg, option")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([walker.currentNode.data.trim().slice(0, 40), ratio.toFixed(2),
      style.color, behind(node).join(" ")]);
  }
  return found;
}"""


def busy_view(explorer):
    """Something of everything: a plan of both families, a ghost, a message."""
    explorer.drag(explorer.master, 0.45)
    explorer.strip("conv3").get_by_text("lock").click()
    explorer.agrees()


@pytest.fixture(params=["light", "dark"])
def theme(request, explorer):
    name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
    page = explorer.page

    def use(wanted):
        page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            name[wanted],
        )
        dark = str(wanted == "light").lower()
        page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{dark}'")

    use(request.param)
    yield request.param
    use("light")


@pytest.fixture(params=[700, 1100, 1600])
def width(request, explorer):
    page = explorer.page
    before = page.viewport_size
    narrow = request.param < 1000
    toggle = "window.jupyterapp.commands.execute('application:toggle-left-area')"
    page.set_viewport_size({"width": request.param, "height": 1900 if narrow else 1300})
    if narrow:
        page.evaluate(toggle)
    explorer.root.evaluate("node => node.scrollIntoView()")
    yield request.param
    if narrow:
        page.evaluate(toggle)
    page.set_viewport_size(before)


def settled(page):
    """The figures have the width of their columns."""
    page.wait_for_function(
        """() => [...document.querySelectorAll('.gx-explorer .js-plotly-plot')].every((figure) =>
          Math.abs(figure._fullLayout.width - figure.parentElement.clientWidth) < 2)""",
        timeout=5000,
    )


def test_nothing_is_cut_off_or_overlaps(explorer, theme, width, screenshot):
    busy_view(explorer)
    page = explorer.page
    settled(page)
    screenshot(page, f"{width}-{theme}-gdws")
    seen = page.evaluate(MEASURE)
    assert seen["overflow"] <= 0, "the explorer is wider than its cell"
    for column, figure in zip(seen["columns"], seen["figures"], strict=True):
        assert figure["left"] >= column["left"] - 1
        assert figure["right"] <= column["right"] + 1
    for drawing in seen["drawings"]:
        assert drawing["right"] <= seen["root"]["right"] + 1
    first, second = seen["columns"]
    side_by_side = first["right"] <= second["left"] + 1
    assert side_by_side or first["bottom"] <= second["top"] + 1, "the columns overlap"
    assert side_by_side == (width >= 1600)
    assert [b for b in seen["buttons"] if b[1] > 0] == [], "a button's text is cut off"
    strips = explorer.root.locator(".gx-strips").evaluate("s => s.getBoundingClientRect().right")
    for name, box in enumerate(seen["inputs"]):
        assert box["right"] <= max(seen["root"]["right"], strips) + 1 or name, box


def test_texts_stand_out_from_their_background(explorer, theme, screenshot):
    busy_view(explorer)
    assert explorer.page.evaluate(CONTRAST) == []
    ticks = set(explorer.page.evaluate(MEASURE)["figureTexts"])
    light = {"rgba(0, 0, 0, 0.87)", "rgb(33, 33, 33)"}
    assert len(ticks) == 1
    assert (ticks <= light) == (theme == "light"), ticks


def test_tucker_2_in_both_themes(explorer, theme, screenshot):
    explorer.strip("conv4").locator(".gx-name").click()
    explorer.strip("conv4").locator("select").select_option("tucker2")
    explorer.choose("what the layer faders mean", "rank")
    explorer.until(lambda: len(explorer.look()["strips"]["conv4"]["faders"]) == 2, "two faders")
    explorer.agrees()
    settled(explorer.page)
    screenshot(explorer.page, f"tucker2-{theme}")


def test_nothing_jumps_while_a_fader_moves(explorer):
    """The desk, the figures and the buttons below stay where they are."""
    where = """() => [".gx-strips", ".js-plotly-plot", "button.mod-primary"].map((s) => {
      const b = document.querySelector(`.gx-explorer ${s}`).getBoundingClientRect();
      return [b.left, b.top, b.width, b.height].map(Math.round); })"""
    explorer.strip("conv4").locator(".gx-name").click()
    explorer.drag(explorer.fader("conv4"), 0.9)
    explorer.agrees()
    places = [explorer.page.evaluate(where)]
    for to in (0.7, 0.35, 0.05, 0.995):
        explorer.drag(explorer.fader("conv4"), to)
        explorer.agrees()
        places.append(explorer.page.evaluate(where))
    assert all(place == places[0] for place in places[1:]), places
