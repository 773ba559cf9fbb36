"""Data-aware GDWS on a real robust network, without training: the table of accuracies.

    python benchmarks/dataaware.py [--first 1000] [--images 1000] [--only ROW ...]

ResNet-38, adversarially trained on CIFAR-10 (../shared/data/triple-wins), all 3×3 convolutions
except the first, at fractions of those layers' MACs. Calibration: the first 512 training images
(256 for moments and joint rankings; α from 150). Clean accuracy and PGD-10 (8/255, step 2/255) on
--images test images from --first on, with 95 % intervals. Every finished cell is stored in --store,
and a later run continues from there.

The settings of the refit rows (the weight of a layer's positions, the feedback of the shortcut's
error, mirrored images) were chosen at 0.35 on the first 1,000 test images. Therefore the table is
measured on the 1,000 after them, by which nothing was chosen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from machine import machine
from networks import cifar10, resnet38
from torch import Tensor, nn

from gdws_explorer.factorize import gdws, tucker
from gdws_explorer.factorize.gdws_joint import JointRanking
from gdws_explorer.network.budget.allocation import Allocator, ChoiceSet, FixedChoice, ParetoTable
from gdws_explorer.network.calibration.alpha import compute_alpha
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.calibration.joint_rankings import joint_rankings
from gdws_explorer.network.calibration.margins import attack_images
from gdws_explorer.network.calibration.refit import refit
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import with_layers
from gdws_explorer.robust import PGD, evaluate

ATTACK = PGD(8 / 255, steps=10, step_size=2 / 255)
BARS = {0.6: (82, 26), 0.45: (80, 23), 0.35: (76, 18), 0.25: (69, 13)}
AIMS = {0.6: (84, 27), 0.45: (83, 26), 0.35: (80, 23), 0.25: (75, 18)}


class Case:
    """The network, its images, and all values that are computed once."""

    def __init__(self, store: Path) -> None:
        self.model = resnet38()
        self.x, self.y = cifar10("train_0", 512)
        self.net = Network(self.model, self.x[:1])
        self.store = store
        self.names = [
            n for n in self.net.names
            if self.net.layer(n).weight_shape[2:] == (3, 3) and n != "conv1"
        ]  # fmt: skip
        self.macs = sum(self.net.layer(n).macs for n in self.names)

    def conv(self, name: str) -> nn.Conv2d:
        return self.model.get_submodule(name)  # type: ignore[return-value]

    @cached_property
    def alpha(self) -> dict[str, Tensor]:
        return compute_alpha(self.model, (self.x, self.y), ATTACK, names=self.names, n=150)

    @cached_property
    def clean(self) -> Calibration:
        """Moments of clean images, gradients of attacked ones."""
        file = self.store.with_suffix(".calibration.safetensors")
        if file.exists():
            return Calibration.load(file)
        made = self.net.calibrate(self.x[:256], self.y[:256], ATTACK, n=None)
        made.save(file)
        return made

    @cached_property
    def aware(self) -> Network:
        return self.net.calibrated(self.clean)

    def budget(self, fraction: float, **more: object) -> Plan:
        """The network's own budget, at a fraction of these layers' MACs."""
        macs = (self.net.macs - self.macs + fraction * self.macs) / self.net.macs
        skip = [name for name in self.net.names if name not in self.names]
        plan = self.aware.budget(macs=macs, families=["gdws"], skip=skip, **more)  # type: ignore[arg-type]
        print(f"    {self.spent(dict(plan)):.3f} of the MACs, {plan}")
        return plan

    @cached_property
    def plain(self) -> dict[str, gdws.GDWSSpectrum]:
        return {n: gdws.spectrum(self.conv(n)) for n in self.names}

    @cached_property
    def joint(self) -> dict[str, JointRanking]:
        return joint_rankings(self.model, self.x[:256], self.names)

    @cached_property
    def tucker(self) -> dict[str, tucker.Tucker2Spectrum]:
        return {n: tucker.spectrum(self.conv(n), self.clean[n].kronecker) for n in self.names}

    def spent(self, choices: dict[str, Choice]) -> float:
        """Fraction of the layers' dense MACs."""
        plan = self.net.summary(self.net.plan(choices))
        return sum(plan.layers[n].macs for n in self.names) / self.macs

    def build(self, make: Callable[[str], nn.Module | None]) -> nn.Module:
        return with_layers(
            self.model, lambda n, _: make(n) if n in self.names else None
        ).eval()  # fmt: skip


def paper(case: Case, fraction: float, weights: dict[str, Tensor] | None) -> nn.Module:
    """Algorithm 3: one β for all layers, found by bisection on its logarithm."""

    def counts(beta: float) -> dict[str, Tensor]:
        return {
            n: case.plain[n].lego(beta, None if weights is None else weights[n]) for n in case.names
        }

    def share(beta: float) -> float:
        units = {n: case.net.layer(n) for n in case.names}
        macs = sum(
            int(c.sum()) * (9 + units[n].weight_shape[0]) * units[n].out_positions
            for n, c in counts(beta).items()
        )
        return macs / case.macs

    low, high = -30.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share(10**middle) > fraction else (low, middle)
    chosen = counts(10**high)
    print(f"    β {10**high:.3g}, {share(10**high):.3f} of the MACs")
    return case.build(lambda n: case.plain[n].conv(chosen[n]))


def allocate(
    case: Case,
    fraction: float,
    errors: dict[str, np.ndarray],
    *,
    with_tucker: bool = False,
    lean: float = 0.0,
) -> dict[str, Choice]:
    """Network-wide: sensitivity × output energy per MAC; errors by name for G = 1, 2, …"""
    tables = {}
    for name in case.names:
        layer, weight = case.net.layer(name), case.clean.weights[name]
        weight *= layer.out_positions**lean
        unit = (9 + layer.weight_shape[0]) * layer.out_positions
        ranks = np.arange(1, 1 + min(len(errors[name]), (layer.macs - 1) // unit))
        options: list[ChoiceSet | FixedChoice] = [
            FixedChoice(Dense(), np.array([layer.macs]), np.array([0.0])),
            ChoiceSet(GDWS, ranks * unit, errors[name][: len(ranks)] * weight, ranks[:, None]),
        ]
        if with_tucker:
            spectrum = case.tucker[name]
            r_out, r_in = (axis.ravel() for axis in np.mgrid[1:65, 1:65])
            fits = (r_out <= spectrum.full[0]) & (r_in <= spectrum.full[1])
            r_out, r_in = r_out[fits], r_in[fits]
            out, channels = layer.weight_shape[:2]
            macs = channels * r_in * layer.in_positions
            macs = macs + (9 * r_in * r_out + r_out * out) * layer.out_positions
            error = spectrum.errors[r_out - 1, r_in - 1] * weight
            options.append(ChoiceSet(Tucker2, macs, error, np.stack([r_out, r_in], 1)))
        tables[name] = ParetoTable.of(options)
    chosen = Allocator(tables).under_cost(int(fraction * case.macs), exact=False).choices
    ranks = " ".join(str(c).split("=")[-1].removeprefix("Tucker-2 ") for c in chosen.values())
    print(f"    {case.spent(chosen):.3f} of the MACs, G or ranks: {ranks}")
    return chosen


def by_channels(case: Case, fraction: float) -> nn.Module:
    """Errors of the outputs, weighted by the margins alone."""
    return case.aware.build(case.budget(fraction, weights=case.clean.weights))


def refitted_by(
    case: Case, fraction: float, *, margins: bool = False, batchnorm: str | None = None
) -> nn.Module:
    """The same with public functions only; weighted by `margins`, or as `calibrated` does."""
    plan = case.budget(fraction, weights=case.clean.weights if margins else None)
    if batchnorm is None:
        return case.aware.build(plan, refit=case.x)
    images = case.x
    if batchnorm == "attacked":
        made = case.aware.build(plan, refit=case.x).requires_grad_(False)
        images = attack_images(made, case.x, case.y, ATTACK)
    return case.aware.build(plan, refit=case.x, batchnorm=images)


def weights_refitted(case: Case, fraction: float, families: tuple[str, ...] | None) -> nn.Module:
    """Choices by the relative errors of the weights, then the refit."""
    macs = (case.net.macs - case.macs + fraction * case.macs) / case.net.macs
    skip = [name for name in case.net.names if name not in case.names]
    net = case.net.refitted(case.x)
    plan = net.budget(macs=macs, families=families, skip=skip, weights="relative")
    print(f"    {case.spent(dict(plan)):.3f} of the MACs, {plan}")
    return net.build(plan)


def jointly(
    case: Case, fraction: float, *, with_tucker: bool = False, lean: float = 0.0
) -> nn.Module:
    errors = {n: ladder.error[1:] for n, ladder in case.joint.items()}
    chosen = allocate(case, fraction, errors, with_tucker=with_tucker, lean=lean)

    def make(name: str) -> nn.Module | None:
        choice = chosen[name]
        if isinstance(choice, Tucker2):
            return case.tucker[name].conv(choice.r_out, choice.r_in)
        return (
            case.joint[name].conv(choice.G, case.conv(name)) if isinstance(choice, GDWS) else None
        )

    return case.build(make)


@dataclass(frozen=True)
class Hardened:
    """Refitted, attacked, and refitted to respond to its own attack as the dense network does."""

    emphasis: float

    def __call__(self, case: Case, fraction: float) -> nn.Module:
        start = jointly(case, fraction)
        model = mirrored(case, start).requires_grad_(False)
        moved = both(attack_images(model, case.x, case.y, ATTACK))
        return refit(case.model, start, both(case.x), attacked=moved, emphasis=self.emphasis)


def both(x: Tensor) -> Tensor:
    """The images and their mirrored copies."""
    return torch.cat([x, x.flip(3)])


def mirrored(case: Case, start: nn.Module) -> nn.Module:
    return refit(case.model, start, both(case.x))


def refitted(case: Case, start: nn.Module, *, feedback: bool = True) -> nn.Module:
    return refit(case.model, start, case.x, feedback=feedback)


ROWS: dict[str, Callable[[Case, float], nn.Module]] = {
    "paper, one β, α of eq. 8": lambda c, f: paper(c, f, c.alpha),
    "paper, one β, α = 1": lambda c, f: paper(c, f, None),
    "data-aware": by_channels,
    "data-aware + refit, no feedback": lambda c, f: refitted(c, by_channels(c, f), feedback=False),
    "data-aware + refit": lambda c, f: refitted_by(c, f, margins=True),
    "data-aware, default weights, + refit": lambda c, f: refitted_by(c, f),
    "the same + BatchNorm, clean": lambda c, f: refitted_by(c, f, batchnorm="clean"),
    "the same + BatchNorm, attacked": lambda c, f: refitted_by(c, f, batchnorm="attacked"),
    "weights, GDWS, relative, + refit": lambda c, f: weights_refitted(c, f, ("gdws",)),
    "weights, all families, relative, + refit": lambda c, f: weights_refitted(c, f, None),
    "joint ladders": jointly,
    "joint ladders + refit, no feedback": lambda c, f: refitted(c, jointly(c, f), feedback=False),
    "joint ladders + refit": lambda c, f: refitted(c, jointly(c, f)),
    "joint ladders + refit, mirrored too": lambda c, f: mirrored(c, jointly(c, f)),
    "joint and Tucker-2 + refit": lambda c, f: refitted(c, jointly(c, f, with_tucker=True)),
    "joint + refit, mirrored, own attack": Hardened(5.0),
    "joint + refit, mirrored, P to the 1.5": lambda c, f: mirrored(c, jointly(c, f, lean=0.5)),
}


def rows(only: list[str]) -> Iterator[tuple[str, Callable[[Case, float], nn.Module]]]:
    for name, make in ROWS.items():
        if not only or name in only:
            yield name, make


def main() -> None:
    parser = argparse.ArgumentParser(description="Data-aware GDWS on a real robust network")
    parser.add_argument("--first", type=int, default=1000, help="the first test image")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--attacked", type=int, help="attack only the first so many")
    parser.add_argument("--only", nargs="*", default=[], help="rows by their names")
    parser.add_argument("--fractions", nargs="*", type=float, default=list(BARS))
    parser.add_argument(
        "--store", type=Path, default=Path(tempfile.gettempdir(), "dataaware.jsonl")
    )
    given = parser.parse_args()
    print(machine(), flush=True)
    case = Case(given.store)
    x, y = (part[given.first :] for part in cifar10("test", given.first + given.images))
    hit = given.attacked or given.images
    known = {}
    if given.store.exists():
        lines = given.store.read_text(encoding="utf-8").splitlines()
        known = {tuple(key): text for key, text in map(json.loads, lines)}

    def measured(name: str, fraction: float, make: Callable[[], nn.Module]) -> None:
        key = (name, fraction, given.first, given.images, hit)
        if key not in known:
            started = time.perf_counter()
            model = make()
            made = time.perf_counter() - started
            clean = evaluate(model, (x, y), batch_size=100)
            robust = evaluate(model, (x[:hit], y[:hit]), ATTACK, batch_size=100)
            low, high = clean.clean_interval
            assert robust.robust is not None and robust.robust_interval is not None  # noqa: PT018
            down, up = robust.robust_interval
            known[key] = (
                f"clean {clean.clean:6.1%} ({low:.1%} to {high:.1%})  PGD-10 {robust.robust:6.1%} "
                f"({down:.1%} to {up:.1%}; n = {hit})  made in {made:.0f} s"
            )
            with given.store.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, known[key]]) + "\n")
        bar = f"  bar {BARS[fraction]}, aim {AIMS[fraction]}" if fraction in BARS else ""
        print(f"{fraction:4.2f}  {name:44s} {known[key]}{bar}", flush=True)

    measured("dense", 1.0, lambda: case.model)
    for fraction in given.fractions:
        for name, make in rows(given.only):
            measured(name, fraction, lambda make=make, f=fraction: make(case, f))  # type: ignore[misc]


if __name__ == "__main__":
    main()
