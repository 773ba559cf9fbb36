"""Draws the pictures of methods.md from the bundled digits network.

    python docs/pictures.py [--only NAME ...] [--out FOLDER]

The figures are those of the explorer, on white paper. They are put on a page with plotly's own
script in it, and Debian's Chromium takes a picture of that page; nothing is fetched. Needs the
extra `dev` and a chromium.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
import torch
from playwright.sync_api import Browser, sync_playwright
from plotly.offline import get_plotlyjs

import gdws_explorer as gx
from gdws_explorer.figures import kernel_comparison, layer_costs, layer_figure, layer_parts
from gdws_explorer.network.calibration.calibrate import calibrate
from gdws_explorer.network.plans.choices import Choice, ranks_of

FOLDER = Path(__file__).parent
WIDTH = 780  # pixels
INK = "#333333"  # on white paper; the figures' own grey suits light and dark themes
LAYER = "conv4"  # 64 to 64 channels, 3×3: the layer of all families
SHARE = 0.4  # of a layer's MACs: what the pictures of one layer keep
WHOLE = 0.25  # of the network's MACs
SEEN = "conv2"  # 32 to 32 channels: the layer of the data-aware picture
IMAGES = 256  # of the training images, which it is calibrated on
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--no-first-run",
]

Sheet = dict[str, go.Figure]  # figures below each other, by their captions


class Case:
    """The bundled network and its images."""

    def __init__(self) -> None:
        self.bench = gx.load("digits")
        self.net = gx.Network(self.bench.model, self.bench.example)

    def best(self, family: str, name: str = LAYER) -> Choice:
        """The choice of least error of a family for a layer, at `SHARE` of its MACs."""
        table = self.net.table(name, [family])
        return table.choice(table.best(SHARE * self.net.layer(name).macs))

    def share(self, choice: Choice, name: str = LAYER) -> str:
        """A layer's MACs under a choice."""
        made = self.net.summary(self.net.plan({name: choice})).layers[name]
        return f"{made.macs / made.dense_macs:.0%} of its MACs"


def gdws(case: Case) -> Sheet:
    """The kept triplets, and the depthwise kernels of the largest ones."""
    choice, spectrum = case.best("gdws"), case.net.gdws(LAYER)
    (kernels,) = ranks_of(choice)
    caption = (
        f"{LAYER}: {kernels} of {spectrum.full} triplets kept (blue), {case.share(choice)}. "
        f"Right: its {layer_parts.TILES} strongest depthwise kernels"
    )
    data = layer_parts.spectrum_info(spectrum, spectrum.mego(kernels).numpy())
    return {caption: layer_parts.spectrum_figure(data)}


def tucker2(case: Case) -> Sheet:
    """The error of every pair of ranks."""
    choice = case.best("tucker2")
    r_out, r_in = ranks_of(choice)
    caption = (
        f"{LAYER}: the error of every pair of ranks, and lines of equal MACs. "
        f"Ring: r_out = {r_out}, r_in = {r_in}, {case.share(choice)}"
    )
    data = layer_parts.grid_info(case.net.layer(LAYER), case.net.tucker(LAYER), r_out, r_in)
    return {caption: layer_parts.grid_figure(data, height=340)}


def channel_svd(case: Case) -> Sheet:
    """Error and MACs by rank."""
    choice = case.best("svd")
    (rank,) = ranks_of(choice)
    caption = f"{LAYER}: error and MACs at every rank. Rings: r = {rank}, {case.share(choice)}"
    return {caption: layer_figure.figure(layer_figure.info(case.net, LAYER, choice))}


def spatial_svd(case: Case) -> Sheet:
    """The kernel as rebuilt by the two SVDs, at the same cost."""
    rebuilds, shares = {}, []
    for family, label in {"spatial": "spatial SVD", "svd": "channel SVD"}.items():
        choice = case.best(family)
        (rank,) = ranks_of(choice)
        rebuilds[f"{label}, r = {rank}"] = case.net.spectrum(LAYER, family).kernel(rank)
        shares.append(case.share(choice))
    caption = (
        f"{LAYER}: a corner of the kernel, {kernel_comparison.SHOWN} outputs by "
        f"{kernel_comparison.SHOWN} inputs, rebuilt at {' and '.join(dict.fromkeys(shares))}"
    )
    weight = case.bench.model.get_submodule(LAYER).weight
    assert isinstance(weight, torch.Tensor)
    return {caption: kernel_comparison.figure(kernel_comparison.info(weight, rebuilds), height=180)}


def budget(case: Case) -> Sheet:
    """The choice for every layer under a network-wide budget."""
    plan = case.net.budget(macs=WHOLE, weights="relative")
    spent = case.net.summary(plan).macs / case.net.macs
    caption = f"One budget for the whole network: {spent:.1%} of its MACs, relative errors"
    data = layer_costs.info(case.net, plan)
    named = [f"{n}<br>{c}" for n, c in zip(data.names, data.choices, strict=True)]
    return {caption: layer_costs.figure(data._replace(names=named))}


def data_aware(case: Case) -> Sheet:
    """The same layer at the same cost, by its weights and by its outputs."""
    conv = case.bench.model.get_submodule(SEEN)
    assert isinstance(conv, torch.nn.Conv2d)
    seen = calibrate(case.bench.model, case.bench.train_data[0][:IMAGES], names=[SEEN])
    choice = case.best("gdws", SEEN)
    (kernels,) = ranks_of(choice)
    spectra = {
        f"{SEEN}, {kernels} triplets kept ({case.share(choice, SEEN)}), by the error of the "
        "weights": case.net.gdws(SEEN),
        f"{SEEN}, {kernels} triplets kept, by the error of the outputs": gx.gdws.spectrum(
            conv, seen[SEEN].patches
        ),
    }
    return {
        caption: layer_parts.spectrum_figure(
            layer_parts.spectrum_info(spectrum, spectrum.mego(kernels).numpy()), height=240
        )
        for caption, spectrum in spectra.items()
    }


PICTURES: dict[str, Callable[[Case], Sheet]] = {
    "gdws": gdws,
    "tucker2": tucker2,
    "channel-svd": channel_svd,
    "spatial-svd": spatial_svd,
    "budget": budget,
    "data-aware": data_aware,
}


def page_of(sheet: Sheet) -> str:
    """One page with all pictures."""
    parts = []
    for i, (caption, figure) in enumerate(sheet.items()):
        paper = go.Figure(figure).update_layout(
            width=WIDTH,
            paper_bgcolor="white",
            plot_bgcolor="white",
            font={"family": "DejaVu Sans, sans-serif", "color": INK},
        )
        drawn = plotly.io.to_html(
            paper,
            config={"staticPlot": True},
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure{i}",
        )
        parts.append(f"<p>{caption}</p>{drawn}")
    style = (
        "body { margin: 0; background: white; }"
        f"#sheet {{ width: {WIDTH}px; padding-top: 1px; }}"
        f"p {{ margin: 8px 12px 0; font: 13px DejaVu Sans, sans-serif; color: {INK}; }}"
    )
    return (
        f"<!doctype html><meta charset='utf-8'><style>{style}</style>"
        f"<script>{get_plotlyjs()}</script><div id='sheet'>{''.join(parts)}</div>"
    )


def photograph(browser: Browser, sheet: Sheet, path: Path) -> None:
    """A picture of a sheet, as a PNG file."""
    context = browser.new_context(viewport={"width": WIDTH, "height": 600}, offline=True)
    page = context.new_page()
    page.set_content(page_of(sheet))
    page.wait_for_function(
        "n => [...document.querySelectorAll('.js-plotly-plot')]"
        ".filter(plot => plot.querySelector('.main-svg .xy')).length === n",
        arg=len(sheet),
    )
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.locator("#sheet").screenshot(path=path)
    context.close()


def main() -> None:
    """Draws all pictures, or only those that are named."""
    parser = argparse.ArgumentParser(description="The pictures of methods.md")
    parser.add_argument("--only", nargs="*", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    torch.set_num_threads(1)
    case = Case()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGS
        )
        for name in given.only:
            photograph(browser, PICTURES[name](case), given.out / f"method-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
