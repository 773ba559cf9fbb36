"""Build and measure the plans of the stored presets: data/<bench>.records.jsonl.

Every record is measured: the plan is built, and clean accuracy and PGD-20 are taken on the 360
test images. Run it again after the weights have changed (a minute on two cores):

    python benchmarks/make_records.py
"""

from __future__ import annotations

from pathlib import Path

from gdws_explorer import bench
from gdws_explorer.errors import BudgetError
from gdws_explorer.explore.recordfiles import write_jsonl
from gdws_explorer.explore.records import record_of
from gdws_explorer.network.families import FAMILIES
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust import evaluate
from gdws_explorer.robust.images import data_fingerprint

DATA = Path(__file__).resolve().parents[1] / "data"
FRACTIONS = (0.75, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08)
BETAS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
SHARES = (0.8, 0.6, 0.4, 0.3, 0.2, 0.15)


def plans(net: Network) -> list[Plan]:
    """From dense to about a tenth of the MACs, by every way there is to choose a plan."""
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
    for name in bench.names():
        loaded = bench.load(name)
        net = Network(loaded.model, loaded.example)
        fingerprint = data_fingerprint(*loaded.data)
        records = []
        for plan in plans(net):
            report = evaluate(net.build(plan), loaded.data, loaded.attack)
            record = record_of(plan, net.summary(plan), report, data=fingerprint)
            print(f"{name}  {record.macs / net.macs:6.1%} MACs  {report}  {plan}", flush=True)
            records.append(record)
        write_jsonl(DATA / f"{name}.records.jsonl", records)
        print(f"{name}: {len(records)} records")


if __name__ == "__main__":
    main()
