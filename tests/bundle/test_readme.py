"""The README.md of an exported folder, from its facts."""

from __future__ import annotations

from pathlib import Path

import pytest

import gdws_explorer as gx
from gdws_explorer.bundle.readme import readme

FACTS = {
    "dtype": "float32",
    "created": "2026-01-01T00:00:00+00:00",
    "input_shape": [2, 11, 9],
    "costs": {"params": 1234, "bytes": 4936},
    "against_dense": None,
    "onnx": {"written": False, "why": "exported with onnx=False"},
    "files": {"plan.json": {"bytes": 10}, "model.safetensors": {"bytes": 2000}},
}


@pytest.fixture
def text(case):
    def write(plan=case.plan, report=None, summary=None, source=None, **facts) -> str:
        return readme({**FACTS, **facts}, plan, case.dense, Path("chosen"), report, summary, source)

    return write


def test_without_measurements_it_says_what_is_unknown(case, text):
    written = text()
    assert f"Plan `{case.plan.hash}`" in written
    assert "None was measured: clean and robust accuracy of this network are unknown" in written
    assert "1,234 parameters, 4,936 bytes in memory." in written
    assert "There is no ONNX file: exported with onnx=False." in written
    assert (
        "`model.safetensors`: the compressed network's weights; no pickle (2,000 bytes)" in written
    )


def test_the_plan_lists_layers_that_are_not_dense(case, text):
    lines = text().splitlines()
    for name, choice in case.plan:
        assert (f"- `{name}`: {choice}" in lines) == (choice != gx.Dense())
    assert "nothing was compressed" in text(plan=case.net.plan())


def test_a_summary_gives_a_row_per_layer_and_the_totals(case, text):
    summary = case.net.summary(case.plan)
    costs = {
        name: getattr(summary, name)
        for name in ("macs", "params", "bytes", "dense_macs", "dense_params", "dense_bytes")
    }
    written = text(summary=summary, costs=costs)
    for name, layer in summary.layers.items():
        assert f"| `{name}` | {layer.choice} | {layer.dense_macs:,} | {layer.macs:,} |" in written
    assert f"{summary.macs:,} MACs ({summary.macs / summary.dense_macs:.1%} of the dense" in written


def test_accuracies_carry_n_intervals_and_the_attack(text):
    written = text(report=gx.Report(90, 60, 100, gx.PGD(0.15, steps=2), 0, 0.1))
    assert "| clean | 90.0% (82.6% to 94.5%) | 100 |" in written
    assert "| under PGD-2 ℓ∞ ε 0.15 | 60.0%" in written
    assert "the true robust accuracy may be lower" in written
    assert "No attack was tried" in text(report=gx.Report(90, None, 100, None, 0, 0.1))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("digits", 'dense = gx.load("digits").model'),
        ("timm:resnet18", 'dense = gx.load_model("timm:resnet18")'),
        ("nets:Shop", "from nets import Shop"),
        (None, "from export_test_nets import Shop"),
    ],
)
def test_how_the_dense_network_is_made_again(text, source, line):
    assert line in text(source=source)
