"""Ranks over epochs: shares, words and lines say what the projections found."""

from __future__ import annotations

import numpy as np
import pytest

from gdws_explorer.figures import admm_ranks
from gdws_explorer.training.cstar_style.admm import AdmmHistory


def rounds(layers: int = 2, axes: int = 2) -> AdmmHistory:
    generator = np.random.default_rng(0)
    full = np.tile([[8, 4]], (layers, 1))[:, :axes]
    found = generator.integers(1, 5, (3, layers, axes))
    found[1, 0] = 0
    residual = generator.random((3, layers))
    names = tuple(f"conv{i}" for i in range(layers))
    return AdmmHistory(names, full, found, residual, np.array([9, 8, 7]), np.array([0.0, 0.1, 0.2]))


def test_shares_are_of_the_full_rank_and_dense_is_all_of_it() -> None:
    given = rounds()
    data = admm_ranks.info(given)
    assert data.rows == ["conv0 r_out", "conv0 r_in", "conv1 r_out", "conv1 r_in"]
    assert data.epochs == [0, 1, 2]
    assert data.share[0].tolist() == [given.ranks[0, 0, 0] / 8, 1.0, given.ranks[2, 0, 0] / 8]
    assert data.share[3].tolist() == [r / 4 for r in given.ranks[:, 1, 1]]
    assert data.text[0] == [f"{given.ranks[0, 0, 0]} of 8", "dense", f"{given.ranks[2, 0, 0]} of 8"]
    assert data.residual[1] == pytest.approx(100 * given.residual[:, 1], abs=1e-3)


def test_the_figure_has_a_heatmap_and_a_line_per_layer() -> None:
    drawn = admm_ranks.figure(admm_ranks.info(rounds()))
    heat, *lines = drawn.data
    assert heat.type == "heatmap"
    assert np.shape(heat.z) == (4, 3)
    assert [line.name for line in lines] == ["conv0", "conv1"]
    assert len({(line.line.color, line.line.dash) for line in lines}) == 2


def test_of_gdws_there_is_one_row_per_layer() -> None:
    assert admm_ranks.info(rounds(axes=1)).rows == ["conv0 G", "conv1 G"]


def test_of_many_layers_the_mean_and_the_largest_are_drawn() -> None:
    data = admm_ranks.info(rounds(layers=20))
    _, mean, largest = admm_ranks.figure(data).data
    assert mean.y == pytest.approx(data.residual.mean(axis=0))
    assert largest.y == pytest.approx(data.residual.max(axis=0))
