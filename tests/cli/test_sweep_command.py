"""`gdws-explorer sweep`: the grids of its options; end to end it is in test_studies.py."""

from __future__ import annotations

import argparse

import pytest

from gdws_explorer.cli import sweep_command


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sweep_command.add_parser(parser.add_subparsers())
    return parser.parse_args(["sweep", *words])


def test_a_grid_is_a_number_a_list_or_a_range():
    assert parsed("--macs", "30").macs == 30
    assert parsed("--macs", "0.5, 1/4").macs == (0.5, 0.25)
    assert parsed("--macs", "0.2:1:5").macs == pytest.approx((0.2, 0.4, 0.6, 0.8, 1))


def test_beta_is_spaced_by_logarithm():
    assert parsed("--beta", "0.5:50:3").beta == pytest.approx((0.5, 5, 50))


@pytest.mark.parametrize("grid", ["much", "1:2", "0.1:0.2:1", "1/0", "0:1:3"])
def test_other_texts_end_with_usage(capsys, grid):
    with pytest.raises(SystemExit):
        parsed("--beta", grid)
    assert "is not how many, values with commas" in capsys.readouterr().err
