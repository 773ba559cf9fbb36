"""Build and measure the plans of the stored presets: data/<bench>.records.jsonl.

Every record is measured: the plan is built, and clean accuracy and the bench's PGD-20 are taken on
its test images. Run it again after the weights have changed (a minute on two cores for digits):

    python benchmarks/make_records.py
    python benchmarks/make_records.py cifar10 --n 500 --root ../shared/data/cifar10

The file is written after every plan; killed, it goes on when it is called again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gdws_explorer import bench
from gdws_explorer.errors import BudgetError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust import evaluate
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.study.record_files import write_jsonl
from gdws_explorer.study.records import EvaluationSetting, record_of

DATA = Path(__file__).resolve().parents[1] / "data"
BUNDLED = ("digits", "digits-plain")  # with their images
FRACTIONS = (0.75, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08)
BETAS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
SHARES = (0.8, 0.6, 0.4, 0.3, 0.2, 0.15)


def plans(net: Network) -> list[Plan]:
    """Plans from dense to about a tenth of the MACs, by every method that chooses plans."""
    found = [net.plan()]
    ways = [(families, "relative") for families in (None, *((one,) for one in FAMILIES))]
    for families, weights in [*ways, (None, None), (("gdws",), None)]:
        for fraction in FRACTIONS:
            try:
                found.append(net.budget(macs=fraction, families=families, weights=weights))
            except BudgetError:
                continue  # below what these families can reach
    found += [net.lego(beta) for beta in BETAS]
    found += [net.mego(share) for share in SHARES]
    return list({plan.hash: plan for plan in found}.values())


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("benches", nargs="*", choices=bench.names(), metavar="BENCH")
    words.add_argument("--n", type=int, help="measure on so many of the images, classes balanced")
    words.add_argument("--root", help="the folder of CIFAR-10's images")
    options = words.parse_args()
    for name in options.benches or BUNDLED:
        loaded = bench.load(name, root=None if name in BUNDLED else options.root)
        if loaded.data is None:
            words.error(f"the images of {name} are not at hand; name their folder with --root")
        measure(loaded, options.n)


def measure(loaded: bench.Bench, n: int | None) -> None:
    """Measures the plans that are missing in the bench's file, and writes them one by one."""
    net = Network(loaded.model, loaded.example)
    fingerprint = data_fingerprint(*loaded.data)
    count = len(loaded.data[1]) if n is None else n
    setting = EvaluationSetting(net.fingerprint, fingerprint, loaded.attack.to_dict(), count, 0)
    kept = {r.plan.hash: r for r in loaded.records if r.setting.key == setting.key}
    chosen = plans(net)
    # Bundled records that no way to choose makes any more are not carried on.
    records = {plan.hash: kept[plan.hash] for plan in chosen if plan.hash in kept}
    for plan in chosen:
        if plan.hash not in records:
            report = evaluate(net.build(plan), loaded.data, loaded.attack, n=n)
            record = record_of(plan, net.summary(plan), report, data=fingerprint)
            records[plan.hash] = record
            print(
                f"{loaded.name}  {record.macs / net.macs:6.1%} MACs  {report}  {plan}", flush=True
            )
            write_jsonl(DATA / f"{loaded.name}.records.jsonl", list(records.values()))
    print(f"{loaded.name}: {len(records)} records")


if __name__ == "__main__":
    main()
