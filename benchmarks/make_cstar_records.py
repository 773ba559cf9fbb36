"""Train CSTAR-style plans of the CIFAR-10 network and add their records to data/.

    python benchmarks/make_cstar_records.py --root ../shared/data/cifar10 --ratios 4 8 --n 500

Every ratio is trained from the network in data/ (see benchmarks/make_cifar10.py): towards low rank,
then its factors, both against FGSM with a random start. The records say that the weights were
trained; the weights themselves are not kept. Killed, it goes on from the last epoch.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from machine import machine

from gdws_explorer import bench, training
from gdws_explorer.bench import cifar10
from gdws_explorer.network.network import Network
from gdws_explorer.robust import evaluate
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.study.record_files import read_jsonl, write_jsonl
from gdws_explorer.study.records import record_of
from gdws_explorer.utils.threads import torch_threads

FILE = Path(__file__).resolve().parents[1] / "data" / "cifar10.records.jsonl"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--root", type=Path, help="the folder of CIFAR-10's images")
    words.add_argument("--ratios", type=float, nargs="+", default=[4.0, 8.0])
    words.add_argument("--epochs", type=int, nargs=2, default=[3, 2], metavar=("LOW", "FACTORS"))
    words.add_argument("--n", type=int, default=500)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--run", type=Path, default=Path("/tmp/cifar-cstar"))
    options = words.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    loaded = bench.load("cifar10", root=options.root)
    assert loaded.data is not None
    network = Network(loaded.model, loaded.example)
    images = cifar10.load_images(options.root, train=True)
    towards, factors = (
        training.Recipe(
            "fast", epochs=epochs, lr=lr, batch_size=128, eps=cifar10.EPS, average=average,
            augment=True, amp=True,
        )
        for epochs, lr, average in zip(options.epochs, (0.05, 0.05), (None, 0.99), strict=True)
    )  # fmt: skip
    with torch_threads(options.threads):
        for ratio in options.ratios:
            began = time.perf_counter()
            found = training.cstar(
                network, images, towards, ratio=ratio, tuning=factors,
                checkpoint=options.run / f"{ratio:g}.safetensors", progress=_progress(ratio),
            )  # fmt: skip
            trained = time.perf_counter() - began
            report = evaluate(found.model, loaded.data, loaded.attack, n=options.n)
            record = record_of(
                found.plan, found.network.summary(found.plan), report,
                data=data_fingerprint(*loaded.data), parent=found.parent,
                timings={"training s": trained},
            )  # fmt: skip
            kept = {r.plan.hash: r for r in read_jsonl(FILE)} if FILE.exists() else {}
            write_jsonl(FILE, list({**kept, record.plan.hash: record}.values()))
            print(f"{ratio:g} times fewer parameters, {trained:.0f} s: {report}", flush=True)


def _progress(ratio: float):
    last = [0.0]

    def tell(done: float, moment: training.CstarProgress) -> None:
        if time.monotonic() - last[0] > 30:
            last[0] = time.monotonic()
            print(f"  {ratio:g}×  {done:5.1%}  {moment.phase}  loss {moment.known.loss:.3f}",
                  flush=True)  # fmt: skip

    return tell


if __name__ == "__main__":
    main()
