"""Evaluations per second in one process, in two, and on a Dask cluster, and their overhead.

    python benchmarks/workers.py [--plans 40] [--rounds 3]

The digits network under PGD-20 on all 360 images, one thread everywhere. "2 processes" is
`workers=2`; "Dask" a scheduler and two workers started beforehand, as `client=`, so that starting
them is not counted; the starting time is printed as well. The overhead is the time of an evaluation
with almost no work (one image, no attack): in this process, and on one worker of a cluster, with
nothing else running.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Sequence

import numpy as np
import torch
from distributed import Client, LocalCluster
from machine import machine, spread

import gdws_explorer as gx
from gdws_explorer.study.executors import executor_for
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.runner import Executor, LocalExecutor, StudyRun
from gdws_explorer.study.storage.store import Store
from gdws_explorer.study.sweep import Grid


def seconds(evaluator: PlanEvaluator, plans: Sequence[gx.Plan], executor: Executor) -> float:
    started = time.perf_counter()
    records = StudyRun(evaluator, plans, Store()).run(executor)
    assert len(records) == len(plans)
    return time.perf_counter() - started


def cluster(count: int) -> LocalCluster:
    return LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    )  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--plans", type=int, default=40)
    words.add_argument("--rounds", type=int, default=3)
    options = words.parse_args()
    torch.set_num_threads(1)
    print(machine(), flush=True)

    bench = gx.load("digits")
    net = gx.Network(bench.model, bench.example).prepare()
    plans = Grid(macs=options.plans).plans(net)
    evaluator = PlanEvaluator((net,), bench.data, bench.attack, len(bench.data[1]))
    light = PlanEvaluator((net,), bench.data, None, 1)
    print(f"a worker gets {len(pickle.dumps(evaluator)) / 1e6:.2f} MB once, then")
    print(f"{len(pickle.dumps((plans[1], net.summary(plans[1])))) / 1e3:.1f} kB per evaluation")

    def compare(name: str, executor: Executor, rounds: int) -> None:
        took = [seconds(evaluator, plans, executor) for _ in range(rounds)]
        rate = [len(plans) / each for each in took]
        print(
            f"{name:<14}{np.median(rate):.2f} evaluations a second "
            f"({min(rate):.2f} to {max(rate):.2f}); {len(plans)} plans in {spread(took)}",
            flush=True,
        )

    def overhead(name: str, executor: Executor) -> None:
        seconds(light, plans[:3], executor)  # what is imported and decomposed once
        each = [seconds(light, plans, executor) / len(plans) for _ in range(options.rounds)]
        print(f"{name:<14}{spread(each)} for an evaluation of next to nothing", flush=True)

    seconds(evaluator, plans[:2], LocalExecutor(evaluator))
    compare("serial", LocalExecutor(evaluator), options.rounds)
    overhead("serial", LocalExecutor(light))
    started = time.perf_counter()
    with executor_for(evaluator, workers=2) as executor:
        print(f"two processes and their parcel are there after {time.perf_counter() - started:.1f}")
        seconds(evaluator, plans[:4], executor)
        compare("2 processes", executor, options.rounds)
    with cluster(2) as workers, Client(workers, set_as_default=False) as client:
        started = time.perf_counter()
        with executor_for(evaluator, client=client) as executor:
            print(f"two workers have their parcel after {time.perf_counter() - started:.2f} s")
            seconds(evaluator, plans[:4], executor)
            compare("Dask", executor, options.rounds)
    with (
        cluster(1) as workers,
        Client(workers, set_as_default=False) as client,
        executor_for(light, client=client) as executor,
    ):
        overhead("Dask", executor)


if __name__ == "__main__":
    main()
