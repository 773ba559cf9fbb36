"""`gdws-explorer latency` end to end, with times that were not really measured."""

import json
from pathlib import Path

import pytest

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.network.latency import measure
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable, LayerTimes, Spread


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """The settings of every measurement; the table is the same each time."""
    seen = []

    def measured(_model, example, layers, fingerprint, *, batch, threads, **_):
        seen.append((tuple(example.shape), batch, threads))
        curve = LatencyCurve(((1, 40),), (0.1, 4.0))
        pairs = LatencyCurve(((1, 8), (1, 8)), (0.1, 0.2, 0.3, 0.4))
        found = {
            layer.name: LayerTimes(
                1.0,
                {f: pairs if f == "tucker2" else curve for f in layer.families},
            )
            for layer in layers
        }
        return LatencyTable(
            batch, threads, "cpu", {"processor": "Test"}, fingerprint, 8.0,
            Spread(5.0, 12.0, 9), found, "onnxruntime", 0.5,
        )  # fmt: skip

    monkeypatch.setattr(measure, "measure_with_onnxruntime", measured)
    monkeypatch.setattr(measure.cache_folder, "default_folder", lambda: tmp_path / "cache")
    return seen


def test_the_table_says_where_every_family_is_faster(here, settings, capsys):
    assert cli.main(["latency", "cli_test_nets:made", "--input", "3,10,10", "--batch", "4"]) == 0
    out = capsys.readouterr().out
    assert "ONNX Runtime, batch 4, 1 thread(s), Test: dense 8 ms (quartiles 5 to 12)" in out
    assert "other programs disturbed the measurement" in out
    (row,) = [line for line in out.splitlines() if line.startswith("second")]
    assert "gdws below 10" in row
    assert "tucker2 at some ranks" in row
    assert settings == [((1, 3, 10, 10), 4, 1)]
    cli.main(["latency", "cli_test_nets:made", "--input", "3,10,10", "--batch", "4"])
    assert len(settings) == 1  # kept in the cache
    cli.main(["latency", "cli_test_nets:made", "--data", "images.npz", "--batch", "4", "--again"])
    assert len(settings) == 2


def test_a_plan_within_milliseconds_is_saved(here, capsys):
    words = ["latency", "cli_test_nets:made", "--input", "3,10,10"]
    assert cli.main([*words, "--ms", "7.5", "--families", "gdws", "--save", "plan.json"]) == 0
    assert "predicted" in capsys.readouterr().out
    plan = gx.Plan.load("plan.json")
    assert cli.main([*words, "--plan", "plan.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["latencies"]["runtime"] == "onnxruntime"
    (entry,) = found["plans"]
    assert entry["hash"] == plan.hash
    assert entry["ms"] <= 7.5 < entry["dense_ms"]


def test_what_cannot_be_used(here, one_sentence):
    words = ("latency", "cli_test_nets:made")
    assert "expected three whole numbers" in one_sentence(*words, "--input", "3,10")
    assert "--save writes the plan of --ms" in one_sentence(*words, "--save", "plan.json")
    assert "needs --data" in one_sentence(*words)
    message = one_sentence(*words, "--input", "3,10,10", "--ms", "0.001")
    assert "cannot be met" in message
    assert not Path("plan.json").exists()
