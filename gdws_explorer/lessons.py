"""Checks of the answers to the lessons' questions.

Each check takes the state of the explorer. It never raises an error for a wrong answer; its text
confirms the answer or says what to try next.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense
from gdws_explorer.network.plans.cost import Summary, break_even, gdws_cost, tucker2_cost
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.sequence import any_attack_from_dict as attack_from_dict
from gdws_explorer.study.records import Record
from gdws_explorer.utils.sampling import EVALUATION_IMAGES

ENOUGH = 0.9  # this fraction of the largest possible saving is accepted
NEAR = 0.97  # from this fraction of the dense MACs on, a layer is just below break-even


@dataclass(frozen=True)
class Verdict:
    """The result of a check, true for a right answer.

    right : whether the answer is right. text : one or two sentences about it.
    """

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.text}"

    def _repr_markdown_(self) -> str:
        return f"{'✓ **Right:**' if self.right else '○ **Not yet:**'} {self.text}"

    __repr__ = __str__


def saves_most(network: Network, plan: Plan, within: float = 0.1) -> Verdict:
    """Checks that only one layer is changed, the one that saves the most MACs within an error.

    within : the largest squared error, as a fraction of the layer's ‖W‖².
    """
    changed = [name for name, choice in plan if choice != Dense()]
    if not changed:
        return _no(
            "all layers are still dense. Press the name of a layer, choose GDWS or Tucker-2 above "
            f"its fader, and pull it down until its error is just under {within:.0%}."
        )
    if len(changed) > 1:
        return _no(
            f"{len(changed)} layers are changed ({', '.join(changed)}). Press Reset, then change "
            "only the layer of your answer."
        )
    (name,) = changed
    layer = network.summary(plan).layers[name]
    error, saved = layer.error / layer.energy, layer.dense_macs - layer.macs
    if error > within:
        return _no(
            f"{name} has lost {error:.1%} of ‖W‖²; push its fader up until it is at most "
            f"{within:.0%}."
        )
    if saved <= 0:
        return _no(f"{name} now needs as many MACs as before, or more; pull its fader down.")
    best = {other: _most_saved(network, other, within) for other in network.names}
    top = max(best.values())
    if best[name] < ENOUGH * top:
        return _no(
            f"{name} saves {saved:,} MACs here, and never more than {best[name]:,} within "
            f"{within:.0%}. Another layer can save {top / best[name]:.1f} times that: Reset, and "
            "try it."
        )
    if saved < ENOUGH * top:
        return _no(
            f"{name} is the right layer, and its error is only {error:.1%}: it saves {saved:,} "
            f"MACs now and can save more within {within:.0%}. Pull it further down."
        )
    return Verdict(
        True,
        f"{name} saves {saved:,} MACs, {saved / layer.dense_macs:.0%} of its own, and loses only "
        f"{error:.1%} of ‖W‖². Its energy is in few directions: most of it is kept.",
    )


def small_and_robust(
    summary: Summary,
    measured: Record | None,
    attack: Attack,
    *,
    macs: float = 0.19,
    robust: float = 0.75,
    n: int = EVALUATION_IMAGES,
) -> Verdict:
    """Checks that the plan is within a fraction of the MACs, and robust enough when measured.

    measured : the record of the plan on the faders; None without one. macs : the largest fraction
    of the dense MACs. robust : the least robust accuracy. attack, n : the attack and the number of
    images that it has to be measured with.
    """
    share = summary.macs / summary.dense_macs
    if share > macs:
        return _no(
            f"the plan on the faders needs {share:.1%} of the MACs. Pull the network's fader down "
            f"to {macs:.0%} or less."
        )
    if measured is None:
        return _no(
            f"{share:.1%} of the MACs is small enough, but this plan has not been measured. Press "
            "Evaluate, wait for its point to appear, and run this cell again."
        )
    used = None if measured.attack is None else attack_from_dict(measured.attack)
    if used != attack or measured.n < n or measured.robust is None:
        label = "no attack" if used is None else used.label
        return _no(
            f"this plan was measured with {label} on {measured.n} images. Set {attack.label} and "
            f"n {n} next to Evaluate, and measure it again."
        )
    if measured.robust < robust:
        return _no(
            f"{share:.1%} of the MACs, but {measured.robust:.1%} robust, below {robust:.0%}. Let "
            "the network's fader use another family, or give MACs back to the layers that need "
            "them."
        )
    low, high = measured.robust_interval or (measured.robust, measured.robust)
    return Verdict(
        True,
        f"{share:.1%} of the MACs and {measured.robust:.1%} robust ({measured.clean:.1%} clean). "
        f"On {measured.n} images the 95 % interval is between {low:.0%} and {high:.0%}: a "
        "difference of one point may be chance.",
    )


def just_below_break_even(network: Network, plan: Plan) -> Verdict:
    """Checks that a GDWS layer has slightly fewer MACs than the dense layer."""
    kernels = {name: choice.G for name, choice in plan if isinstance(choice, GDWS)}
    if not kernels:
        return _no(
            "no layer is GDWS. Choose a layer, choose GDWS above its fader, set the faders "
            "by rank, and look for the red mark."
        )
    layers = network.summary(plan).layers
    shares = {name: layers[name].macs / layers[name].dense_macs for name in kernels}
    name = min(shares, key=lambda n: abs(1 - shares[n]))
    share, G = shares[name], kernels[name]
    if share >= 1:
        return _no(
            f"{name} with G = {G} needs {share:.1%} of its dense MACs: it is more "
            "expensive than before. Pull it down, below the mark."
        )
    if share < NEAR:
        return _no(
            f"{name} with G = {G} needs {share:.0%} of its dense MACs: cheaper, but not "
            "just below break-even. Push it up towards the mark."
        )
    out, channels, *kernel = network.layer(name).weight_shape
    area, limit = kernel[0] * kernel[1], break_even(network.layer(name))
    return Verdict(
        True,
        f"{name} with G = {G} makes {G} × ({area} + {out}) = "
        f"{G * (area + out):,} products per position, the dense layer {channels} × {out} × "
        f"{area} = {channels * out * area:,}. The largest G that is cheaper is {limit}, of "
        f"{network.gdws(name).full} kernels in all.",
    )


def _most_saved(network: Network, name: str, within: float) -> int:
    """The largest number of MACs that a choice of any family saves within an error."""
    layer = network.layer(name)
    bound = within * network.energy(name)
    cheapest = [layer.macs]
    if "gdws" in layer.families:
        cheapest.append(gdws_cost(layer, int(network.gdws(name).lego(bound).sum())).macs)
    if "tucker2" in layer.families:
        good = network.tucker(name).errors <= bound
        pairs = [(int(o) + 1, int(i) + 1) for o, i in zip(*good.nonzero(), strict=True)]
        cheapest += [tucker2_cost(layer, *pair).macs for pair in pairs]
    return layer.macs - min(cheapest)


def _no(text: str) -> Verdict:
    return Verdict(False, text)
