"""The explorer of notebook 01 under a real hand: what it shows is what `net.summary` says."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_notebook_runs_and_the_explorer_is_there(explorer, cell_errors, screenshot):
    page = explorer.page
    assert cell_errors(page) == []
    assert page.locator(".gx-explorer").count() == 1
    assert page.locator(".gx-explorer .js-plotly-plot").count() == 2
    shown = explorer.look()
    assert shown["figures"]["points"][1] + shown["figures"]["points"][0] >= 30
    assert page.locator(".jp-toast-message, .Toastify__toast").count() == 0
    screenshot(page, "opened")


def test_at_most_two_figure_widgets_are_alive(explorer):
    count = "sum(isinstance(w, __import__('plotly').graph_objects.FigureWidget) for w in {})"
    live = "__import__('ipywidgets').widgets.widget._instances.values()"
    assert explorer.kernel.ask(count.format(live)) == 2


def test_a_layer_fader_is_dragged(explorer):
    before, _ = explorer.agrees()
    explorer.drag(explorer.fader("conv4"), 0.4)
    explorer.strip("conv4").locator(".gx-name").click()
    shown, truth = explorer.agrees()
    share, choice = truth["layers"]["conv4"]
    assert choice.startswith("GDWS")
    assert share == pytest.approx(0.4, abs=0.03)
    assert shown["strips"]["conv4"]["numbers"] == [f"{100 * share:.1f}"]
    assert shown["figures"]["cursorAt"] != before["figures"]["cursorAt"]
    assert shown["figures"]["drawn"] != before["figures"]["drawn"]
    assert shown["figures"]["ghost"] == [truth["macs"]] * 2
    assert truth["steps"] == [1, 0], "one drag is one step"


def test_the_picture_follows_while_the_hand_still_holds(explorer):
    explorer.drag(explorer.fader("conv2"), 0.7)
    first, _ = explorer.agrees()
    explorer.drag(explorer.fader("conv2"), 0.3)
    second, truth = explorer.agrees()
    assert first["figures"]["lit"] > second["figures"]["lit"]
    assert first["figures"]["drawn"][0] != second["figures"]["drawn"][0]
    assert truth["steps"] == [2, 0]


def test_the_network_fader_is_dragged_and_undone(explorer):
    before, first = explorer.agrees()
    explorer.drag(explorer.master, 0.45)
    shown, truth = explorer.agrees()
    assert truth["macs"] / first["macs"] == pytest.approx(0.45, abs=0.02)
    assert shown["network"]["number"] == f"{100 * shown['network']['position']:.1f}"
    assert shown["strips"]["conv1"] == before["strips"]["conv1"], "the first one is skipped"
    assert sum(s != before["strips"][n] for n, s in shown["strips"].items()) >= 3
    assert truth["steps"] == [1, 0]

    explorer.button("Undo").click()
    explorer.until(lambda: explorer.truth()["steps"] == [0, 1], "Undo")
    back, _ = explorer.agrees()
    assert back["strips"] == before["strips"]
    assert back["network"] == before["network"]
    explorer.button("Redo").click()
    explorer.until(lambda: explorer.truth()["steps"] == [1, 0], "Redo")
    again, after = explorer.agrees()
    assert after["hash"] == truth["hash"]
    assert again["strips"] == shown["strips"]
    assert again["network"] == shown["network"]


def test_keys_move_faders_and_undo_wherever_the_focus_is(explorer):
    keyboard = explorer.page.keyboard
    explorer.fader("conv6").focus()
    keyboard.press("PageDown")
    _, down = explorer.agrees()
    assert 0.85 < down["layers"]["conv6"][0] < 0.95
    for _ in range(2):
        keyboard.press("ArrowDown")
        explorer.agrees()
    _, lower = explorer.agrees()
    assert lower["layers"]["conv6"][0] < down["layers"]["conv6"][0]
    assert lower["steps"][0] == 3, "each key pressed is a step"
    keyboard.press("Control+z")
    explorer.until(lambda: explorer.truth()["steps"] == [2, 1], "Ctrl+Z on a fader")
    explorer.root.locator(".gx-head").click()
    keyboard.press("Control+z")
    keyboard.press("Control+z")
    explorer.until(lambda: explorer.truth()["steps"] == [0, 3], "Ctrl+Z elsewhere")
    keyboard.press("Control+y")
    explorer.until(lambda: explorer.truth()["steps"] == [1, 2], "Ctrl+Y")
    _, again = explorer.agrees()
    assert again["hash"] == down["hash"]


def test_keys_meant_for_the_explorer_do_not_reach_the_notebook(explorer):
    page = explorer.page
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    for place in (explorer.fader("conv3"), explorer.strip("conv3").get_by_text("lock")):
        place.focus()
        for key in ("d", "d", "x", "b", "Delete"):
            page.keyboard.press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    explorer.agrees()


def test_reset_is_one_step_that_can_be_taken_back(explorer):
    explorer.drag(explorer.master, 0.5)
    explorer.strip("conv3").get_by_text("lock").click()
    _, before = explorer.agrees()
    explorer.button("Reset").click()
    explorer.until(lambda: explorer.truth()["macs"] > before["macs"], "Reset")
    shown, truth = explorer.agrees()
    assert {choice for _, choice in truth["layers"].values()} == {"dense"}
    assert not any(strip["locked"] for strip in shown["strips"].values())
    explorer.button("Undo").click()
    explorer.until(lambda: explorer.truth()["hash"] == before["hash"], "Undo of Reset")
    assert explorer.agrees()[0]["strips"]["conv3"]["locked"]


def test_tucker_2_shows_its_grid_and_two_faders_for_its_ranks(explorer):
    explorer.strip("conv5").locator(".gx-name").click()
    explorer.strip("conv5").locator("select").select_option("tucker2")
    shown, first = explorer.agrees()
    assert first["layers"]["conv5"][1].startswith("Tucker-2")
    assert shown["figures"]["drawn"]
    assert len(shown["strips"]["conv5"]["faders"]) == 1

    explorer.choose("what the layer faders mean", "rank")
    explorer.until(lambda: len(explorer.look()["strips"]["conv5"]["faders"]) == 2, "two faders")
    explorer.drag(explorer.fader("conv5", 0), 0.25)
    explorer.drag(explorer.fader("conv5", 1), 0.75)
    moved, truth = explorer.agrees()
    r_out, r_in = truth["ranks"]
    assert r_out == pytest.approx(1 + 0.25 * 127, abs=3)
    assert r_in == pytest.approx(1 + 0.75 * 63, abs=3)
    assert moved["strips"]["conv5"]["numbers"] == [str(r_out), str(r_in)]
    assert moved["figures"]["drawn"] != shown["figures"]["drawn"]
    assert truth["steps"][0] == 3, "the method, and one step for each drag"


def test_sliding_by_error(explorer):
    explorer.choose("what the layer faders mean", "error")
    explorer.drag(explorer.fader("conv4"), 0.2)
    shown, truth = explorer.agrees()
    kernel = explorer.kernel
    error = kernel.ask("explorer.summary.layers['conv4'].error")
    energy = kernel.ask("explorer.network.energy('conv4')")
    assert error <= energy * 10 ** (-5 * shown["strips"]["conv4"]["faders"][0]) * (1 + 1e-9)
    assert float(shown["strips"]["conv4"]["numbers"][0]) == pytest.approx(error, rel=1e-3)
    assert truth["layers"]["conv4"][1] != "dense"


def test_a_number_is_typed_and_a_bad_one_is_answered_in_place(explorer, cell_errors):
    explorer.choose("what the layer faders mean", "rank")
    explorer.strip("conv4").locator("select").select_option("gdws")
    explorer.until(lambda: explorer.truth()["layers"]["conv4"][1] != "dense", "the method")
    explorer.agrees()
    explorer.number("conv4").fill("117")
    explorer.number("conv4").press("Enter")
    explorer.until(lambda: "G=117" in explorer.truth()["layers"]["conv4"][1], "G=117")
    explorer.agrees()
    for bad, sentence in (("100000", "conv4: G is 100000"), ("ten", "'ten' is not a number")):
        explorer.number("conv4").fill(bad)
        explorer.number("conv4").press("Enter")
        expect(explorer.root.get_by_role("alert")).to_be_visible()
        expect(explorer.root.locator(".gx-message")).to_contain_text(sentence)
        assert "G=117" in explorer.truth()["layers"]["conv4"][1]
    assert cell_errors(explorer.page) == []
    explorer.number("conv4").fill("90")
    explorer.number("conv4").press("Enter")
    explorer.until(lambda: "G=90" in explorer.truth()["layers"]["conv4"][1], "it goes on")
    explorer.until(lambda: explorer.look()["message"] == "", "the message goes away")

    budget = explorer.root.get_by_label("network budget, as a number")
    budget.fill("42")
    budget.press("Enter")
    explorer.until(lambda: explorer.look()["network"]["number"] == "42.0", "42 % of the MACs")
    budget.fill("0.5")
    budget.press("Enter")
    expect(explorer.root.get_by_role("alert")).to_be_visible()
    explorer.agrees()


def test_locked_and_skipped_layers_hold_under_the_network_fader(explorer):
    explorer.drag(explorer.fader("conv3"), 0.8)
    explorer.strip("conv3").get_by_text("lock").click()
    explorer.strip("conv5").get_by_text("skip").click()
    explorer.until(lambda: explorer.look()["strips"]["conv5"]["skipped"], "skip")
    _, before = explorer.agrees()
    explorer.drag(explorer.master, 0.3)
    shown, truth = explorer.agrees()
    assert truth["macs"] < 0.5 * before["macs"]
    assert truth["layers"]["conv3"] == before["layers"]["conv3"]
    assert truth["layers"]["conv5"] == [1.0, "dense"]
    assert shown["strips"]["conv3"]["locked"]
    assert shown["strips"]["conv1"]["skipped"]


def test_the_selection_lights_the_strip_and_the_picture(explorer):
    for layer, columns in (("conv4", 64), ("conv2", 32)):
        explorer.strip(layer).locator(".gx-name").click()
        explorer.until(lambda layer=layer: explorer.truth()["selected"] == layer, layer)
        explorer.agrees()
        width = "() => document.querySelector('.js-plotly-plot').data[0].z[0].length"
        assert explorer.page.evaluate(width) == columns
        expect(explorer.root.locator(".gx-column").first).to_contain_text(f"{layer} ·")


def test_sixty_moves_a_second_settle_on_the_last(explorer):
    explorer.page.evaluate(
        """async () => {
          const input = document.querySelector('[data-layer="conv2"] .gx-fader');
          for (let i = 0; i < 60; i += 1) {
            input.value = 0.9 - 0.01 * i;
            input.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise((done) => setTimeout(done, 16));
          }
        }"""
    )
    shown, truth = explorer.agrees(seconds=2.0)
    assert shown["strips"]["conv2"]["faders"] == [pytest.approx(0.31, abs=0.006)]
    assert truth["layers"]["conv2"][0] == pytest.approx(0.31, abs=0.03)


def test_a_reload_finds_the_same_plan_and_figures(explorer, wait_idle):
    explorer.strip("conv4").locator(".gx-name").click()
    explorer.strip("conv4").locator("select").select_option("tucker2")
    explorer.drag(explorer.fader("conv6"), 0.5)
    before, truth = explorer.agrees()
    page = explorer.page
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    wait_idle(page)
    explorer.root.scroll_into_view_if_needed()
    explorer.ready()
    after, same = explorer.agrees(seconds=20)
    assert same["hash"] == truth["hash"]
    for part in ("strips", "totals", "network"):
        assert after[part] == before[part]
    for part in ("picture", "ring", "cursor", "ghost", "points"):
        assert after["figures"][part] == before["figures"][part], part
    explorer.drag(explorer.fader("conv6"), 0.3)
    explorer.until(lambda: explorer.truth()["hash"] != truth["hash"], "it goes on after a reload")
    explorer.agrees()


def test_from_data_is_switched_on_and_off(explorer, screenshot):
    explorer.drag(explorer.master, 0.4)
    plain, _ = explorer.agrees()
    label = "what approximations are made from"
    explorer.choose(label, "data")
    explorer.until(
        lambda: "of the outputs" in explorer.look()["totals_line"], "errors in the outputs", 60
    )
    shown, truth = explorer.agrees()
    assert truth["steps"][0] == 2
    assert shown["network"]["position"] == plain["network"]["position"]
    explorer.drag(explorer.fader("conv4"), 0.3)
    moved, _ = explorer.agrees()
    assert moved["figures"]["cursorAt"] != shown["figures"]["cursorAt"]
    screenshot(explorer.page, "from-data")
    explorer.choose(label, "refit")
    explorer.until(lambda: "of ‖W‖²" in explorer.look()["totals_line"], "errors in the weights")
    explorer.agrees()
    explorer.choose(label, "weights")
    explorer.until(lambda: "of ‖W‖²" in explorer.look()["totals_line"], "errors in the weights")
    explorer.agrees()
    explorer.choose(label, "data")
    explorer.until(lambda: "of the outputs" in explorer.look()["totals_line"], "known images", 3)
    explorer.choose(label, "weights")
    explorer.agrees()


def test_keys_that_come_faster_than_the_answers_all_count(explorer):
    """An answer to an earlier tap must not move the fader back under the next one."""
    explorer.drag(explorer.master, 0.9)
    explorer.agrees()
    explorer.master.focus()
    start = explorer.master.evaluate("(fader) => fader.valueAsNumber")
    for _ in range(40):
        explorer.page.keyboard.press("ArrowLeft")
    explorer.agrees()
    assert explorer.master.evaluate("(fader) => fader.valueAsNumber") == pytest.approx(
        start - 40 * 0.005, abs=1e-6
    )


def test_time_is_measured_and_budgeted(explorer, screenshot):
    ms = explorer.strip("conv4").locator(".gx-time")
    assert ms.inner_text() == ""
    explorer.button("Measure time").click()
    explorer.root.locator('.gx-total[data-total="time"]').wait_for(timeout=180_000)
    explorer.drag(explorer.fader("conv4"), 0.4)
    explorer.until(
        lambda: f"{explorer.kernel.ask(LAYER_MS):.3g} ms" in ms.inner_text(), "the layer's time"
    )
    slower = explorer.kernel.ask("explorer.summary.layers['conv4'].slower")
    assert ("slower" in ms.inner_text()) == slower
    screenshot(explorer.page, "time")
    explorer.choose("what the network budget limits", "ms")
    explorer.drag(explorer.master, 0.8)
    share, least = explorer.kernel.ask(SHARES)
    assert share <= max(0.85, least)
    total = explorer.root.locator('.gx-total[data-total="time"]')
    expect(total).to_contain_text(f"({share:.0%}, predicted)")


LAYER_MS = "explorer.summary.layers['conv4'].ms"
SHARES = """[each / explorer.summary.dense_ms for each in (
    explorer.summary.ms, explorer.network.least("ms", skip=["conv1", "fc"]) + 1e-6
)]"""
