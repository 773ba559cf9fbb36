"""Measuring, the front and taking away, under a real hand."""

import json
import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SPOTS = """() => {
  const front = document.querySelectorAll(".gx-explorer .js-plotly-plot")[1];
  const { x, y } = front.getBoundingClientRect();
  const { xaxis, yaxis } = front._fullLayout;
  const all = front.data.slice(0, 4).map((trace) => [...trace.x].map((value, i) => ({
    macs: value,
    x: x + xaxis._offset + xaxis.c2p(value),
    y: y + yaxis._offset + yaxis.c2p(trace.y[i]),
  })));
  const far = (spot) => Math.min(...all.flat().filter((other) => other !== spot)
    .map((other) => Math.hypot(other.x - spot.x, other.y - spot.y)));
  return all[1].map((spot) => ({ ...spot, alone: far(spot) }));
}"""


def points(explorer):
    return sum(explorer.look()["figures"]["points"])


def waiting(explorer):
    jobs = "explorer.session.jobs"
    return explorer.kernel.ask(f"[bool({jobs}.running), {jobs}.waiting]")


def test_evaluate_brings_the_point_to_the_front(explorer, cell_errors):
    explorer.drag(explorer.master, 0.37)
    before, truth = explorer.agrees()
    assert len(before["figures"]["ghost"]) == 2, "where the point should land"
    count = points(explorer)
    explorer.button("Evaluate").click()
    expect(explorer.root.locator(".widget-hbox", has_text="% ·").last).to_be_visible()
    explorer.drag(explorer.fader("conv6"), 0.6)  # the faders live on meanwhile
    explorer.agrees()
    explorer.until(lambda: points(explorer) == count + 2, "the point arrives", 60)
    record = explorer.kernel.ask(
        f"next([r.n, r.robust, r.clean, r.macs] for r in explorer.session.measurements.records()"
        f" if r.plan.hash == '{truth['hash']}')"
    )
    assert record[0] == 360
    assert 0.5 < record[1] <= record[2] <= 1
    spots = explorer.page.evaluate(
        "() => document.querySelectorAll('.js-plotly-plot')[1].data.slice(0, 2)"
        ".flatMap((trace) => [...trace.x].map((x, i) => [x, trace.y[i]]))"
    )
    assert any(x == record[3] and abs(y - 100 * record[1]) < 1e-6 for x, y in spots)
    explorer.button("Undo").click()
    explorer.until(lambda: explorer.truth()["hash"] == truth["hash"], "Undo")
    shown, _ = explorer.agrees()
    assert shown["figures"]["ghost"] == [], "a measured plan needs no ghost"
    assert cell_errors(explorer.page) == []


def test_evaluations_queue_and_are_cancelled(explorer):
    count = points(explorer)
    for share in (0.62, 0.58, 0.54):
        explorer.drag(explorer.master, share)
        explorer.agrees()
        explorer.button("Evaluate").click()
    explorer.until(lambda: waiting(explorer)[1] >= 1, "some wait")
    expect(explorer.root.get_by_text("waiting")).to_be_visible()
    explorer.button("Cancel").click()
    explorer.until(lambda: waiting(explorer) == [False, 0], "all end", 20)
    expect(explorer.root.locator("button", has_text="Cancel")).to_be_disabled()
    assert points(explorer) <= count + 4, "at most two had ended"
    explorer.agrees()


def test_a_bad_setting_is_answered_in_place(explorer, cell_errors):
    n = explorer.root.locator(".widget-text", has_text="n").locator("input").last
    n.fill("100000")
    n.press("Enter")
    expect(explorer.root.get_by_role("alert")).to_be_visible()
    expect(explorer.root.locator(".gx-message")).to_contain_text("expected 1 to 360")
    n.fill("360")
    n.press("Enter")
    assert cell_errors(explorer.page) == []
    explorer.drag(explorer.master, 0.8)
    explorer.agrees()


def test_a_click_on_a_point_brings_its_plan_back(explorer):
    spots = explorer.page.evaluate(SPOTS)
    spot = max(spots, key=lambda spot: spot["alone"])
    explorer.page.mouse.move(spot["x"] - 3, spot["y"] - 3)
    explorer.page.mouse.move(spot["x"], spot["y"])
    expect(explorer.page.locator(".hoverlayer .hovertext").first).to_be_visible()
    explorer.page.mouse.click(spot["x"], spot["y"])
    explorer.until(lambda: explorer.truth()["macs"] == spot["macs"], "its plan on the faders")
    shown, truth = explorer.agrees()
    assert truth["steps"] == [1, 0]
    assert shown["figures"]["ghost"] == []


def test_arrow_keys_walk_the_front(explorer):
    front = sorted({spot["macs"] for spot in explorer.page.evaluate(SPOTS)})
    explorer.root.locator(".gx-head").click()
    walked = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        last = explorer.truth()["macs"]
        explorer.page.keyboard.press(key)
        explorer.until(lambda last=last: explorer.truth()["macs"] != last, key)
        walked.append(explorer.agrees()[1]["macs"])
    assert walked[1] < walked[0] == walked[2]
    assert set(walked) <= set(front)
    for _ in front:
        explorer.page.keyboard.press("ArrowRight")
        explorer.until(lambda: not explorer.look()["busy"], "an answer")
    expect(explorer.root.locator(".gx-message")).to_contain_text("end of the front")


def test_a_folder_that_cannot_be_written_is_answered_in_place(explorer, cell_errors, first_look):
    folder = explorer.root.locator(".widget-text", has_text="folder").locator("input")
    folder.fill(f"{first_look}/chosen")
    explorer.button("Export network").click()
    expect(explorer.root.get_by_role("alert")).to_be_visible()
    assert cell_errors(explorer.page) == []
    expect(explorer.root.locator("button", has_text="Export network")).to_be_enabled()


def test_an_export_loads_in_a_fresh_process_with_equal_outputs(explorer, lab):
    explorer.drag(explorer.master, 0.4)
    explorer.agrees()
    folder = explorer.root.locator(".widget-text", has_text="folder").locator("input")
    folder.fill("exported")
    explorer.button("Export network").click()
    message = explorer.root.locator(".gx-message")
    expect(message).to_contain_text("exported to", timeout=60_000)
    written = {path.name for path in (lab.folder / "exported").iterdir()}
    assert {"plan.json", "model.safetensors", "model.onnx", "report.json", "README.md"} <= written
    report = json.loads((lab.folder / "exported" / "report.json").read_text())
    assert report["onnx"]["written"], report["onnx"]

    explorer.kernel.run("import torch; torch.manual_seed(3); _x = torch.rand(5, 1, 8, 8)")
    here = explorer.kernel.ask("explorer.network.build(explorer.plan)(_x).tolist()")
    readme = (lab.folder / "exported" / "README.md").read_text()
    lines = readme.split("```python\n")[1].split("```")[0]
    assert len(lines.strip().splitlines()) == 3
    code = (
        f"{lines}\nimport json, torch\ntorch.manual_seed(3)\n"
        "with torch.inference_mode():\n"
        "    print(json.dumps(model(torch.rand(5, 1, 8, 8)).tolist()))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(pytest.importorskip("gdws_explorer").__path__[0])}
    environment["PYTHONPATH"] = os.path.dirname(environment["PYTHONPATH"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=lab.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    for row, same in zip(here, there, strict=True):
        assert same == pytest.approx(row, abs=1e-5)


def test_the_records_leave_as_csv(explorer, lab):
    explorer.button("Records as CSV").click()
    expect(explorer.root.locator(".gx-message")).to_contain_text("records.csv")
    lines = (lab.folder / "records.csv").read_text().splitlines()
    assert len(lines) >= 31


def test_the_state_string_restores_the_plan(explorer):
    explorer.strip("conv4").locator("select").select_option("tucker2")
    explorer.until(lambda: "Tucker" in explorer.truth()["layers"]["conv4"][1], "the method")
    explorer.strip("conv3").get_by_text("lock").click()
    _, truth = explorer.agrees()
    explorer.button("State string").click()
    field = explorer.root.get_by_placeholder("gx.explore(state=…)")
    text = explorer.until(field.input_value, "a string")
    assert text.startswith("gx1.")
    assert len(text) < 400
    explorer.kernel.run(f"_other = gx.explore(state={text!r})")
    try:
        assert explorer.kernel.ask("_other.plan.hash") == truth["hash"]
        assert explorer.kernel.ask("sorted(_other.session.controls.state.locked)") == ["conv3"]
    finally:
        explorer.kernel.run("_other.close()")
