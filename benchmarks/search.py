"""Searches compared with sweeps, measured equally: hypervolume over seeds.

    python benchmarks/search.py [--steps 20] [--screen-steps 5] [--n 360] [--evaluations 150]
        [--seeds 5] [--sampler nsga2] [--storage FILE]

On the digits network, robust accuracy (PGD-20, ε 0.15, all 360 images) over MACs. The sweep is the
paper's: 30 values of β, evenly spaced by logarithm over the range where the plan is cheaper than
the dense network. A second sweep has 30 MACs budgets, with which the search begins. A search
proposes 150 plans, measured with PGD-5; its front is then measured with PGD-20, as the sweeps are,
and its hypervolume is that of these PGD-20 records alone. Reference point: no image correct, at the
MACs of the dense network; 1 would be every image correct at no cost.

The search chooses by the images and the noise that it is measured on. Therefore the fronts of all
three are measured once more with other noise (and other images, where --n is less than all). With
--screen-steps 0 nothing is screened; with --storage an interrupted run continues.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from machine import machine

import gdws_explorer as gx
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record
from gdws_explorer.study.runner import LocalExecutor, StudyRun
from gdws_explorer.study.storage.store import Store


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--steps", type=int, default=20)
    words.add_argument("--screen-steps", type=int, default=5)
    words.add_argument("--n", type=int, default=360)
    words.add_argument("--evaluations", type=int, default=150)
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--sampler", default="nsga2")
    words.add_argument("--storage", help="keep the records here, and go on from there")
    options = words.parse_args()
    print(machine(), flush=True)

    bench = gx.load("digits")
    net = gx.Network(bench.model, bench.example).prepare()
    aim = Objectives(net, ("robust", "macs"))
    store = Store(options.storage)
    attack = gx.PGD(bench.attack.eps, steps=options.steps)
    screen = gx.PGD(attack.eps, steps=options.screen_steps) if options.screen_steps else ()
    common = {"data": bench.data, "attack": attack, "n": options.n, "storage": store}
    noisy = PlanEvaluator((net,), bench.data, attack, options.n, seed=1)

    def again(records: Sequence[Record]) -> float:
        """The hypervolume of the same front under other noise."""
        front = [one.plan for one in aim.front(records)]
        return aim.hypervolume(StudyRun(noisy, front, store).run(LocalExecutor(noisy)))

    swept = gx.sweep(net, beta=30, **common)
    budgets = gx.sweep(net, macs=30, **common)
    print(f"{attack.label}, n {swept[0].n}; hypervolume, and of its front with other noise:")
    for name, records in (("30 β", swept), ("30 MACs budgets", budgets)):
        print(f"{name:<28}{aim.hypervolume(records):.4f}   {again(records):.4f}", flush=True)

    found, others = [], []
    for seed in range(options.seeds):
        started = time.perf_counter()
        result = gx.search(
            net,
            evaluations=options.evaluations,
            screen=screen,
            sampler=options.sampler,
            sampler_seed=seed,
            **common,
        )
        took = time.perf_counter() - started
        found.append(aim.hypervolume(result.records))
        others.append(again(result.records))
        print(
            f"search, {options.sampler}, seed {seed:<10}{found[-1]:.4f}   {others[-1]:.4f}   "
            f"{len(result.stages[0])} plans, {len(result.records)} in the last stage; in the "
            f"first {result.hypervolume[29]:.4f} after 30 and {result.hypervolume[-1]:.4f} at the "
            f"end, {took:.0f} s",
            flush=True,
        )
    spread = max(found) - min(found)
    margin = min(found) - aim.hypervolume(swept)
    print(
        f"{options.seeds} seeds: median {np.median(found):.4f}, {min(found):.4f} to "
        f"{max(found):.4f}; the worst is {margin:+.4f} beyond the β sweep, the seeds' spread is "
        f"{spread:.4f}: {'met' if margin > spread else 'MISSED'}; beyond the MACs budgets "
        f"{min(found) - aim.hypervolume(budgets):+.4f} at the worst; with other noise "
        f"{min(others):.4f} to {max(others):.4f}"
    )


if __name__ == "__main__":
    main()
