"""The explorer on a page, and the kernel behind it: hands, eyes, and the truth to compare with."""

from __future__ import annotations

import ast
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_client import BlockingKernelClient
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = 60_000  # ms for anything that JupyterLab itself must load
TWO_CELLS = ["import gdws_explorer as gx", "explorer = gx.explore('digits')\nexplorer"]


def write_notebook(path: Path, cells: list[str]) -> str:
    """Write a notebook of these code cells; its name."""
    described = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell{i}",
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        for i, source in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = {"cells": described, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content))
    return path.name


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGS
        )
        yield instance
        instance.close()


@contextmanager
def watched(
    browser: Browser, width: int = 1400, height: int = 1000, known: str | None = None
) -> Iterator[Page]:
    """A fresh page.

    known : an address that the page around the explorer asks for, and does not get.

    `page.errors` lists the console's errors and uncaught exceptions so far, for the test to judge;
    a request to anything but this machine fails the test.
    """
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(READY)
    page.errors = []
    page.requests = []
    page.on(
        "console",
        lambda line: (
            line.type == "error"
            and not (known and line.location["url"].startswith(known))
            and page.errors.append(line.text)
        ),
    )
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    context.on("request", lambda request: page.requests.append(request.url))
    yield page
    requests = list(page.requests)
    context.close()
    outside = [url for url in requests if not _local(url) and not (known and url.startswith(known))]
    assert not outside, f"requests left the machine: {outside}"


def _local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")


class Kernel:
    """Asks a running kernel, past the page, what is true. file : its connection file."""

    def __init__(self, file: Path) -> None:
        self._client = BlockingKernelClient(connection_file=str(file))
        self._client.load_connection_file()
        self._client.start_channels()

    def ask(self, expression: str, timeout: float = 60) -> Any:
        """The value of an expression of what JSON has."""
        wanted = {"value": f"__import__('json').dumps({expression})"}
        sent = self._client.execute("", silent=True, user_expressions=wanted)
        while True:
            reply = self._client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == sent:
                break
        value = reply["content"]["user_expressions"]["value"]
        assert value["status"] == "ok", f"{expression}: {value.get('evalue')}"
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def run(self, code: str) -> None:
        """Run statements, quietly."""
        self.ask(f"exec({code!r}, globals())")

    def close(self) -> None:
        self._client.stop_channels()


# What the page shows, as it stands in the document: texts, and what plotly was told to draw.
LOOK = r"""() => {
  const root = document.querySelector(".gx-explorer");
  const text = (node) => (node ? node.innerText.trim() : "");
  const visible = (node) => !node.hidden;
  const strips = {};
  for (const strip of root.querySelectorAll(".gx-strip")) {
    const [lock, skip] = [...strip.querySelectorAll(".gx-toggle")];
    strips[strip.dataset.layer] = {
      share: text(strip.querySelector(".gx-share")),
      family: strip.dataset.family,
      method: strip.querySelector("select").value,
      bar: parseFloat(strip.querySelector(".gx-kept").style.height),
      faders: [...strip.querySelectorAll(".gx-axis")].filter(visible)
        .map((axis) => axis.querySelector("input").valueAsNumber),
      numbers: [...strip.querySelectorAll(".gx-number")].filter(visible).map((n) => n.value),
      locked: lock.getAttribute("aria-pressed") === "true",
      skipped: skip.getAttribute("aria-pressed") === "true",
      selected: strip.classList.contains("gx-selected"),
    };
  }
  const totals = {};
  for (const total of root.querySelectorAll(".gx-total"))
    totals[total.dataset.total] = text(total.querySelector("strong"));
  const [layer, front] = root.querySelectorAll(".js-plotly-plot");
  // Cells that no veil covers: the area of its path, taken from all of them.
  const lit = ({ z }, { type, path }) => {
    if (type !== "path") return null;
    const points = path.match(/-?[\d.]+,-?[\d.]+/g).map((point) => point.split(",").map(Number));
    const next = [...points.slice(1), points[0]];
    const veiled = points.map(([x, y], i) => (x * next[i][1] - y * next[i][0]) / 2);
    return z.length * z[0].length - Math.abs(veiled.reduce((sum, part) => sum + part));
  };
  const figures = layer && front && layer._fullData && front._fullData ? {
    picture: layer._fullData.map((trace) => trace.visible === true),
    lit: lit(layer.data[0], layer._fullLayout.shapes[0]),
    ring: [layer._fullLayout.shapes[0].yanchor, layer._fullLayout.shapes[0].xanchor],
    drawn: [...layer.querySelectorAll(".shapelayer path")].map((path) => path.getAttribute("d")),
    cursor: front._fullLayout.shapes.map((shape) => shape.x0)[0],
    cursorAt: front.querySelector(".shapelayer path")?.getAttribute("d") ?? null,
    ghost: front._fullLayout.shapes.slice(1).map((shape) => shape.xanchor),
    points: front.data.slice(0, 4).map((trace) => trace.x.length),
  } : null;
  return {
    strips, totals, figures,
    busy: root.querySelector('[aria-busy="true"]') !== null,
    network: {
      position: root.querySelector(".gx-master").valueAsNumber,
      number: root.querySelector(".gx-network .gx-number").value,
    },
    message: text(root.querySelector(".gx-message")),
    totals_line: text(root.querySelector(".gx-totals")),
  };
}"""

FAMILIES = {
    "dense": "dense", "GDWS": "gdws", "Tucker-2": "tucker2", "SVD": "svd", "spatial": "spatial",
}  # fmt: skip

# What the kernel says, from `net.summary`, not from what the widgets were told.
TRUTH = """
def _truth():
    session = explorer.session
    summary = session.network.summary(session.plan)
    layers = {
        name: [layer.macs / layer.dense_macs, str(layer.choice)]
        for name, layer in summary.layers.items()
    }
    choice = summary.layers[session.controls.selected].choice
    kind = type(choice).__name__
    return {
        "layers": layers,
        "macs": summary.macs,
        "parameters": summary.params,
        "size": summary.bytes,
        "squared error": summary.error,
        "selected": session.controls.selected,
        "picture": {"Tucker2": "grid", "SVD": "curve", "SpatialSVD": "curve"}.get(kind, "cells"),
        "kept": choice.G if kind == "GDWS" else None,
        "ranks": [choice.r_out, choice.r_in] if kind == "Tucker2" else None,
        "steps": [len(session.controls.history.past), len(session.controls.history.future)],
        "hash": session.plan.hash,
    }
"""

RESET = """
_session = explorer.session
_session.jobs.cancel()
_session.jobs.wait(20)
_session.views.use_latencies(None)
_session.controls.reset()
_session.controls.set_slider_meaning("macs")
_session.set_budget_meaning("macs")
_session.controls.select("conv2")
_session.controls.history.past.clear()
_session.controls.history.future.clear()
_session.show_message("")
_session.notify("selection")
"""


@dataclass
class Explored:
    """One explorer on a page, and its kernel, where it is called `explorer`."""

    page: Page
    kernel: Kernel
    root: Locator = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.page.locator(".gx-explorer").first
        self.kernel.run(TRUTH)

    def ready(self) -> None:
        """Wait for the desk and both figures."""
        self.root.locator(".gx-strip").first.wait_for()
        self.page.wait_for_function(
            "() => document.querySelectorAll('.gx-explorer .js-plotly-plot .main-svg').length >= 4"
        )

    def strip(self, layer: str) -> Locator:
        return self.root.locator(f'.gx-strip[data-layer="{layer}"]')

    def fader(self, layer: str, which: int = 0) -> Locator:
        return self.strip(layer).locator(".gx-fader").nth(which)

    def number(self, layer: str, which: int = 0) -> Locator:
        return self.strip(layer).locator(".gx-number").nth(which)

    @property
    def master(self) -> Locator:
        return self.root.locator(".gx-master")

    def choose(self, label: str, value: str) -> None:
        self.root.get_by_label(label, exact=True).select_option(value)

    def button(self, name: str) -> Locator:
        return self.root.locator("button.jupyter-button").filter(has_text=name)

    def look(self) -> dict[str, Any]:
        return self.page.evaluate(LOOK)

    def truth(self) -> dict[str, Any]:
        return self.kernel.ask("_truth()")

    def drag(self, fader: Locator, to: float, steps: int = 12) -> None:
        """Take the thumb with the mouse and bring it to a position in [0, 1]."""
        fader.scroll_into_view_if_needed()
        box = fader.bounding_box()
        at = fader.evaluate("input => input.valueAsNumber")
        x, y, wide, tall = (box[key] for key in ("x", "y", "width", "height"))

        def place(value: float) -> tuple[float, float]:  # the thumb is 16 pixels across
            if tall > wide:
                return x + wide / 2, y + 8 + (1 - value) * (tall - 16)
            return x + 8 + value * (wide - 16), y + tall / 2

        mouse = self.page.mouse
        mouse.move(*place(at))
        mouse.down()
        mouse.move(*place(to), steps=steps)
        mouse.up()

    def until(self, good: Callable[[], Any], why: str, seconds: float = 10.0) -> Any:
        """Look again until `good()`; the value that it had."""
        deadline = time.monotonic() + seconds
        while True:
            value = good()
            if value:
                return value
            assert time.monotonic() < deadline, f"{why} (after {seconds:.0f} s): {self.look()}"
            self.page.wait_for_timeout(25)

    def agrees(self, seconds: float = 5.0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Wait until the page says what `net.summary` says, in numbers and pictures; both."""
        deadline = time.monotonic() + seconds
        while True:
            still = not self.look()["busy"]  # what the hand did has been answered
            truth, shown = self.truth(), self.look()
            wrong = list(disagreements(shown, truth)) if still else ["the desk is busy"]
            if not wrong:
                return shown, truth
            assert time.monotonic() < deadline, "the page disagrees: " + "; ".join(wrong)
            self.page.wait_for_timeout(25)


def disagreements(shown: dict[str, Any], truth: dict[str, Any]) -> Iterator[str]:
    """What the page shows otherwise than the kernel knows."""
    for name, (share, choice) in truth["layers"].items():
        strip = shown["strips"][name]
        if strip["share"] != f"{share:.0%} of MACs":
            yield f"{name} shows {strip['share']}, is {share:.1%}"
        if abs(strip["bar"] - 100 * min(1.35, share)) > 0.01:
            yield f"{name}'s bar is {strip['bar']} % high, should be {100 * share} %"
        family = FAMILIES[choice.split()[0]]
        if {strip["family"], strip["method"]} != {family}:
            yield f"{name} shows {strip['family']} and {strip['method']}, is {choice}"
        if strip["selected"] != (name == truth["selected"]):
            yield f"{name} is selected: {strip['selected']}"
    for label in ("MACs", "parameters", "size", "squared error"):
        text, value = shown["totals"][label], truth[label.lower() if label == "MACs" else label]
        if not abs(_quantity(text) - value) <= 0.006 * value:
            yield f"{label} shows {text}, is {value}"
    figures = shown["figures"]
    if figures is None:
        yield "there are no figures"
        return
    if figures["cursor"] != truth["macs"]:
        yield f"the front's cursor is at {figures['cursor']}, the plan at {truth['macs']}"
    grid = truth["picture"] == "grid"
    places = {"cells": (0, 1), "grid": (2, 3), "curve": (4, 5)}[truth["picture"]]
    if figures["picture"] != [i in places for i in range(6)]:
        yield f"the layer's picture shows traces {figures['picture']}"
    if grid and figures["ring"] != truth["ranks"]:
        yield f"the ring is at {figures['ring']}, the ranks are {truth['ranks']}"
    if truth["kept"] is not None and figures["lit"] != truth["kept"]:
        yield f"{figures['lit']} cells are lit, {truth['kept']} kernels kept"


def _quantity(text: str) -> float:
    """`2.08 M` as a number; NaN for anything else."""
    found = re.fullmatch(r"([-+.\de]+) ?([kMG]?)B?", text)
    number, unit = found.groups() if found else ("nan", "")
    return float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
