"""Refitting residual networks at sums and without: output lost on images that were not refitted on.

    python benchmarks/residual_refit.py [NAME ...] [--macs 0.5] [--images 256] [--pixels 64]

ResNet-38 and ResNet-20 have their trained weights (../shared/data). Those of torchvision and timm
are random: constant scales (of BatchNorms, of layers) are drawn from 0.5 to 1.5, biases from a
normal distribution of deviation 0.1, and the statistics of BatchNorms are those of the calibration
images. Images are CIFAR-10's, enlarged; the refit sees training images, test images are measured.

Lost is the squared distance to the dense network's scores, as a share of their variance. "kept"
says which way the default takes, which compares both on the images of the refit. A network without
enough layers for the budget gets the next budget that it can meet. Seconds are CPU time, of the
default.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import machine
from networks import cifar10, resnet20, resnet38
from torch import Tensor, nn

from gdws_explorer import load_model
from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.calibration.batchnorm import reestimate_batchnorm
from gdws_explorer.network.calibration.refit import RefitReport, refit
from gdws_explorer.network.network import Network

TRAINED: dict[str, Callable[[], nn.Module]] = {"ResNet-38": resnet38, "ResNet-20": resnet20}
TORCHVISION = """
resnet18 resnet34 resnet50 resnext50_32x4d wide_resnet50_2 mobilenet_v2 mobilenet_v3_small
mobilenet_v3_large mnasnet1_0 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf
convnext_tiny
"""
TIMM = """
test_resnet resnet26d ecaresnet26t seresnext26d_32x4d legacy_seresnet18 skresnet18 resnest14d
resnetv2_18 res2net50_48w_2s nf_resnet26 regnetx_002 mobilenetv2_035 mobilenetv3_small_050
efficientnet_lite0 mobilenetv4_conv_small ghostnet_050 repghostnet_050 hrnet_w18_small dla46_c
dpn48b fasternet_t0 repvit_m0_9 mobilevitv2_050 shvit_s1 efficientvit_b0 efficientvit_m0
starnet_s050 convnext_atto gcresnext26ts xception41 legacy_xception rexnet_100
"""
NAMES = [
    *TRAINED,
    *(f"torchvision:{name}" for name in TORCHVISION.split()),
    *(f"timm:{name}" for name in TIMM.split()),
]


def randomized(model: nn.Module, images: Tensor) -> nn.Module:
    """The network with scales, biases and statistics that let every branch count."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.unique().numel() == 1:  # made constant, often 0 or 1e-6
                values = torch.rand(parameter.shape, generator=draw) + 0.5
                if name.endswith("bias"):
                    values = 0.1 * torch.randn(parameter.shape, generator=draw)
                parameter.copy_(values)
    return reestimate_batchnorm(model, images)


def lost(model: nn.Module, built: nn.Module, x: Tensor) -> float:
    """The squared error of the scores, as a share of the dense network's variance."""
    with torch.no_grad():
        ours, theirs = (
            torch.cat([m(part) for part in x.split(32)]).double() for m in (built, model)
        )
    return float((ours - theirs).square().sum() / (theirs - theirs.mean(0)).square().sum())


def row(name: str, fraction: float, x: Tensor, unseen: Tensor) -> str:
    """One network's line of the table."""
    model = TRAINED[name]() if name in TRAINED else randomized(load_model(name), x)
    net = Network(model, x[:1])
    for reached in (fraction, *(f for f in (0.6, 0.7, 0.8, 0.9) if f > fraction)):
        try:
            plan = net.budget(macs=reached, weights="relative")
            break
        except BudgetError as error:
            reason = str(error)
    else:
        return f"| {name} | {reason} |"
    built = net.build(plan).requires_grad_(False)
    started = time.process_time()
    default = refit(net.model, built, x)
    seconds = time.process_time() - started
    report = default.refit_report
    assert isinstance(report, RefitReport)
    ways = {bool(report.feedback): default}
    if report.lost_otherwise is not None:
        other = not report.feedback
        ways[other] = refit(net.model, built, x, feedback=other)
    losses = {way: lost(net.model, made, unseen) for way, made in ways.items()}
    made = {way: f"{losses[way]:.4f}" if way in losses else "–" for way in (False, True)}
    seen = "–" if report.lost_otherwise is None else f"{report.lost_otherwise:.4f}"
    replaced = sum(str(choice) != "dense" for _, choice in plan)
    return (
        f"| {name} | {net.summary(plan).macs / net.macs:.2f} | {replaced} | "
        f"{lost(net.model, built, unseen):.4f} | {made[False]} | {made[True]} | "
        f"{'feedback' if report.feedback else 'without'} | {report.lost:.4f} / {seen} | "
        f"{len(report.feedback)} | {_reasons(report)} | {seconds:.0f} |"
    )


def _reasons(report: RefitReport) -> str:
    """The obstacles, each once, with their numbers of layers."""
    given = list(report.obstacles.values())
    return "; ".join(f"{given.count(why)} × {why}" for why in dict.fromkeys(given)) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description="Refitting residual networks")
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--pixels", type=int, default=64)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(), flush=True)
    print("| network | MACs | replaced | as built | without | feedback | kept | "
          "lost on the refit's images, kept / other | at sums | not at their sums | s |\n"
          "|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    images = cifar10("train_0", given.images)[0], cifar10("test", given.images)[0]
    for name in given.names:
        if name in TRAINED:
            x, unseen = images
        else:
            x, unseen = (F.interpolate(part, given.pixels, mode="bilinear") for part in images)
        try:
            print(row(name, given.macs, x, unseen), flush=True)
        except ExplorerError as error:
            print(f"| {name} | {error} |", flush=True)


if __name__ == "__main__":
    main()
