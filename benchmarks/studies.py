"""A study of 10,000 records: opening, front, new records; and the front of a million points.

    python benchmarks/studies.py [records] [points] [repeats]

The records are synthetic: random plans of a network of 21 layers, as ResNet-18 has, with random
accuracies and the verdicts on 360 images. Opening is what the explorer does before it can show
anything: open the SQLite file, read the records of one setting, work out both fronts with their
intervals and hover texts, and make the figure. Targets: 2 s for each of the two.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy
from machine import machine, spread

from gdws_explorer.figures import pareto_front as figures
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.study.pareto import front
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import Store
from gdws_explorer.utils.provenance import library_versions
from gdws_explorer.utils.provenance import machine as record_machine

LAYERS, N = 21, 360
ATTACK = PGD(8 / 255)
VERSIONS = library_versions()


def plan(rng: np.random.Generator) -> Plan:
    """Every layer of any family, with any rank."""
    ranks = rng.integers(1, 512, (LAYERS, 2)).tolist()
    choices = [
        (Dense(), GDWS(a), Tucker2(a, b), SVD(a), SpatialSVD(a))[kind]
        for kind, (a, b) in zip(rng.integers(0, 5, LAYERS), ranks, strict=True)
    ]
    names = [f"layer{i // 5}.{i % 5 // 2}.conv{i % 2 + 1}" for i in range(LAYERS)]
    return Plan("f" * 64, (3, 32, 32), tuple(zip(names, choices, strict=True)))


def record(rng: np.random.Generator) -> Record:
    """A plan with random costs and accuracies, higher ones for more MACs."""
    share = rng.random()
    clean = rng.random(N) < 0.5 + 0.45 * share
    robust = clean & (rng.random(N) < 0.6)
    return Record(
        plan=plan(rng),
        macs=int(5e8 * share) + int(rng.integers(10**6)),
        params=int(1e7 * share),
        bytes=int(4e7 * share),
        error=float(1e3 * (1 - share)),
        relative_error=float(1 - share),
        clean=float(clean.mean()),
        robust=float(robust.mean()),
        n=N,
        clean_correct=int(clean.sum()),
        robust_correct=int(robust.sum()),
        attack=ATTACK.to_dict(),
        seed=0,
        data="d" * 16,
        seconds=float(rng.random()),
        versions=VERSIONS,
        machine=record_machine(),
        created="2026-11-25T12:00:00+00:00",
        clean_mask=np.packbits(clean).tobytes().hex(),
        robust_mask=np.packbits(robust).tobytes().hex(),
        timings={"build s": float(rng.random())},
    )


def clock(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def opening(path: Path) -> tuple[float, float, float, float]:
    """Seconds until records, fronts and figure are complete.

    Last, this thread's processor time for all of it: on a busy machine the program's own.
    """
    start, busy = time.perf_counter(), time.thread_time()
    store = Store(path)
    records = store.records(store.settings()[0])
    read = time.perf_counter() - start
    texts = figures.hover_texts(records)
    infos = [figures.info(records, metric, texts=texts) for metric in figures.ACCURACIES]
    fronts = time.perf_counter() - start
    figures.figure(infos)
    drawn, own = time.perf_counter() - start, time.thread_time() - busy
    store.close()
    return read, fronts, drawn, own


STEPS = (
    "opened and read",
    "and both fronts",
    "and the figure (target 2 s)",
    "processor time of all that",
)


def studies(rng: np.random.Generator, path: Path, count: int, repeats: int) -> None:
    """Writes a study, opens it several times, and follows records that another program adds."""
    store = Store(path)
    records = [record(rng) for _ in range(count)]
    each = 1e3 * clock(lambda: store.extend(records)) / count
    print(f"{count} records written one by one: {each:.2g} ms each", flush=True)
    import plotly.graph_objects  # noqa: F401 - its import is not the study's

    runs = [opening(path) for _ in range(repeats)]
    for step, seconds in zip(STEPS, zip(*runs, strict=True), strict=True):
        print(f"{count} records {step}: {spread(seconds)}")
    other = Store(path)
    other.records()
    looks = [clock(other.stamp) for _ in range(1000)]
    print(f"asking for news, at every slider move: {spread(looks)}")
    news = []
    for _ in range(repeats):
        store.add(record(rng))
        news.append(clock(other.records))
    assert len(other.records()) == count + repeats
    print(f"reading one that another program added: {spread(news)}")


def fronts(rng: np.random.Generator, points: int, repeats: int) -> None:
    """The front function alone."""
    for d in (2, 3):
        for kind, table in tables(rng, points, d).items():
            find = partial(front, table, [False, True, True][:d])
            seconds = [clock(find) for _ in range(repeats)]
            print(f"front of {points} points, {d} objectives, {kind}: {spread(seconds)}")


def tables(rng: np.random.Generator, n: int, d: int) -> dict[str, np.ndarray]:
    """Points at random, few values with many ties as accuracies have, and a front of all."""
    line = np.sort(rng.random(n))
    return {
        "at random": rng.random((n, d)),
        "1000 accuracies": np.column_stack(
            [rng.random(n), *rng.integers(0, 1000, (d - 1, n)) / 1e3]
        ),
        "all on the front": np.column_stack([line, *[line] * (d - 1)]),
    }


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    count, points, repeats = (*given, *(10_000, 1_000_000, 7)[len(given) :])
    print(machine())
    print(f"Optuna {optuna.__version__}, SQLAlchemy {sqlalchemy.__version__}", flush=True)
    rng = np.random.default_rng(0)
    fronts(rng, points, repeats)
    with tempfile.TemporaryDirectory() as folder:
        studies(rng, Path(folder) / "study.db", count, repeats)


if __name__ == "__main__":
    main()
