"""The panel "Train" under a real hand: started, the page reloaded meanwhile, and found again."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A training of a few images that pauses, after the page heard of its first epoch, until the test
# says so.
SLOW = """
import threading
from gdws_explorer.training.training_progress import TrainingProgress
_session = explorer.session
_all = _session.views.images
_session.views.images = (_all[0][:300], _all[1][:300])
_go, _update = threading.Event(), TrainingProgress.update

def _held(self, progress, now):
    if sum(self.length[:2]) >= 1:
        _go.wait(300)
    _update(self, progress, now)

TrainingProgress.update = _held
"""
BACK = """
_go.set()
_session.training_queue.jobs.wait(60)
_session.jobs.wait(60)
TrainingProgress.update = _update
_session.views.images = _all
explorer.panel_bar.open(None)
"""
CURVES = """() => {
  const figure = [...document.querySelectorAll(".gx-panel .js-plotly-plot")].at(-1);
  return figure && figure._fullLayout ? figure.data.map((trace) => trace.x.length) : null;
}"""


@pytest.fixture
def paused(explorer):
    explorer.kernel.run(SLOW)
    yield explorer
    explorer.kernel.run(BACK)


def test_a_training_goes_on_while_the_page_is_reloaded(paused, wait_idle, cell_errors, screenshot):
    explorer = paused
    explorer.drag(explorer.master, 0.3)
    _, before = explorer.agrees()
    count = sum(explorer.look()["figures"]["points"])
    explorer.button("Fine-tune this plan").click()
    epochs = explorer.root.locator(".gx-panel .widget-text", has_text="epochs").locator("input")
    epochs.fill("2")
    epochs.press("Enter")
    expect(explorer.root.locator(".gx-panel")).to_contain_text("training images", timeout=60_000)
    start = explorer.root.locator(".gx-panel button").filter(has_text="Start").first
    start.click()
    running = explorer.root.locator(".gx-panel").get_by_text("epoch 2 of 2")
    expect(running).to_be_visible(timeout=120_000)
    explorer.until(lambda: (explorer.page.evaluate(CURVES) or [0, 0])[1] == 1, "curves")
    explorer.drag(explorer.fader("conv6"), 0.6)  # the faders live on meanwhile
    explorer.agrees()

    page = explorer.page
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    wait_idle(page)
    explorer.root.scroll_into_view_if_needed()
    explorer.ready()
    expect(running).to_be_visible(timeout=60_000)
    explorer.until(lambda: (page.evaluate(CURVES) or [0, 0])[1] == 1, "the curves are back", 30)

    explorer.kernel.run("_go.set()")
    said = explorer.root.locator(".gx-panel").get_by_text("Done")
    expect(said).to_be_visible(timeout=120_000)
    explorer.until(lambda: page.evaluate(CURVES)[1] == 2, "the last epoch's point", 30)
    explorer.until(
        lambda: sum(explorer.look()["figures"]["points"]) == count + 2, "a point on the front", 120
    )
    shown, after = explorer.agrees(seconds=20)
    assert shown["figures"]["ghost"] == [], "it is measured"
    assert after["macs"] == before["macs"]
    record = explorer.kernel.ask("[explorer.measured.parent, explorer.plan.trained]")
    assert record == [before["hash"], True]
    explorer.root.locator(".gx-panel").scroll_into_view_if_needed()
    screenshot(page, "trained")
    assert cell_errors(page) == []
