"""A sweep under a real hand: points arrive, it pauses and ends, and the knee is found."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BEFORE = "explorer.session.measure_with(gx.FGSM(0.15), 20)"
# Slow enough that a hand comes in between, on whatever machine.
SLOW = """
import time as _time
from gdws_explorer.study.plan_evaluator import PlanEvaluator as _Evaluator
_measure = _Evaluator.measure
def _slowly(*args, **given):
    _time.sleep(0.6)
    return _measure(*args, **given)
_Evaluator.measure = _slowly
"""
AFTER = """
_Evaluator.measure = _measure
explorer.session.job_queue("many").cancel()
explorer.session.job_queue("many").wait(30)
explorer.panel_bar.open(None)
from gdws_explorer.study.filters import Filters as _Filters
explorer.session.record_filter.apply(_Filters())
_there = explorer.session.measurements.settings()
explorer.session.show_setting(max(_there, key=lambda one: one.measured).setting)
"""
PATIENCE = 60_000  # ms: the machine may be busy
ALL = """() => document.querySelectorAll(".gx-explorer .js-plotly-plot")[1].data
  .map((trace) => trace.x.length)"""


def shown(locator):
    expect(locator).to_be_visible(timeout=PATIENCE)


@pytest.fixture
def swept(explorer):
    explorer.kernel.run(BEFORE + SLOW)
    explorer.page.get_by_role("button", name="Sweep & search").click()
    shown(explorer.root.get_by_text("Choose among what is measured"))
    yield explorer
    explorer.kernel.run(AFTER)


def _measured(explorer):
    return explorer.kernel.ask("len(explorer.session.measurements.records())")


def test_a_sweep_arrives_pauses_ends_and_has_a_knee(swept, screenshot, cell_errors):
    page, panel = swept.page, swept.root.locator(".gx-panel")
    button = lambda name: panel.locator("button", has_text=name).first  # noqa: E731
    shown(panel.get_by_text("30 to measure"))
    shown(panel.get_by_text("a guess"))
    button("Start").click()
    swept.until(lambda: sum(page.evaluate(ALL)) >= 6, "points arrive while it runs", 60)
    shown(panel.get_by_text("left"))
    button("Pause").click()
    shown(panel.get_by_text("paused at"))
    swept.drag(swept.fader("conv6"), 0.6)  # the faders live on meanwhile
    swept.agrees()
    page.wait_for_timeout(1500)  # the plan under way ends
    held = _measured(swept)
    page.wait_for_timeout(1500)
    assert _measured(swept) == held < 30
    swept.until(lambda: sum(page.evaluate(ALL)) == 2 * held, "all of them are drawn")
    button("Resume").click()
    swept.until(lambda: _measured(swept) > held, "it goes on", 60)
    button("Cancel").click()
    shown(panel.get_by_text("cancelled after"))
    kept = _measured(swept)
    assert 3 <= kept < 30
    shown(panel.get_by_text(f"{kept} of them measured already"))

    knee = swept.kernel.ask(
        "[(k := __import__('gdws_explorer.study.selection', fromlist=['knee'])"
        ".knee(explorer.session.measurements.records())).macs, k.plan.hash]"
    )
    swept.button("Knee").click()
    swept.until(lambda: swept.truth()["macs"] == knee[0], "the knee's plan on the faders")
    assert swept.truth()["hash"] == knee[1]

    robust = swept.root.locator(".widget-text", has_text="robust ≥").locator("input")
    best = swept.kernel.ask("max(r.robust for r in explorer.session.measurements.records())")
    robust.fill(f"{100 * best:.4g}")
    robust.press("Enter")
    held = swept.kernel.ask("len(explorer.session.record_filter.kept())")
    swept.until(lambda: page.evaluate(ALL)[4:] == [kept - held] * 2, "the others are greyed out")
    swept.button("Cheapest").click()
    least = swept.kernel.ask("min(r.macs for r in explorer.session.record_filter.kept())")
    swept.until(lambda: swept.truth()["macs"] == least, "the cheapest that holds")
    robust.fill("")
    robust.press("Enter")
    swept.until(lambda: page.evaluate(ALL)[4:] == [0, 0], "nothing is greyed out")

    metric = panel.locator(".widget-dropdown", has_text="histogram of").locator("select")
    metric.select_option("MACs per image")
    bars = panel.locator(".js-plotly-plot .nsewdrag").nth(1)  # the first is the hypervolume's
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 50, steps=6)
    page.mouse.up()
    shown(panel.get_by_text("macs in"))
    button("Keep").click()
    swept.until(lambda: page.evaluate(ALL)[4] > 0, "the brush greys out")
    panel.get_by_role("button", name="Parallel coordinates").click()
    shown(panel.locator(".parcoords .axis-title").first)
    screenshot(page, "many")
    first = panel.locator(".parcoords .axis-brush").first
    first.scroll_into_view_if_needed()
    axis = first.bounding_box()
    x = axis["x"] + axis["width"] / 2
    page.mouse.move(x, axis["y"] + 0.2 * axis["height"])
    page.mouse.down()
    page.mouse.move(x, axis["y"] + 0.7 * axis["height"], steps=6)
    page.mouse.up()
    swept.until(
        lambda: "macs" in swept.kernel.ask("str(explorer.session.record_filter.filters)"),
        "painting an axis asks for it",
    )
    assert cell_errors(page) == []
