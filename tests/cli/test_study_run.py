"""What `sweep` and `search` do alike: inputs, records, interruption."""

from __future__ import annotations

import argparse

import pytest

import gdws_explorer as gx
from gdws_explorer.cli import parser as shared
from gdws_explorer.cli.study_run import run_study
from gdws_explorer.study.runner import StudyProgress


@pytest.fixture
def options(monkeypatch, tmp_path) -> argparse.Namespace:
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    shared.add_study(parser)
    shared.add_execution(parser)
    return parser.parse_args(["digits", "--n", "20"])


def test_a_bundled_network_brings_images_attack_and_calibration(options, bench, capsys):
    given: dict = {}

    def measure(inputs):
        given.update(inputs)
        return bench.records[:3], {}

    assert run_study(options, "sweep", measure) == 0
    assert len(given["data"][1]) == 360
    assert len(given["calibration"][1]) == len(bench.train_data[1])
    assert given["attack"] == gx.PGD(0.15)
    assert (given["n"], given["seed"], given["sources"]) == (20, 0, ("weights",))
    assert "of 3 records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("measured", "says"), [(None, "nothing is measured"), (3, "3 of 8 plans are measured")]
)
def test_ctrl_c_says_what_is_kept(options, capsys, measured, says):
    def measure(inputs):
        if measured is not None:
            inputs["progress"](StudyProgress(measured=measured, total=8, seconds=1.0))
        raise KeyboardInterrupt

    assert run_study(options, "sweep", measure) == 130
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message == (
        f"gdws-explorer: stopped; {says} and kept in gdws-explorer.db. The same command continues "
        "from there."
    )
