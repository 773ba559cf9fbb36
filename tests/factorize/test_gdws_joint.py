"""GDWS of all input channels at once: its errors are those of the rebuilt kernel."""

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize import gdws, gdws_joint


def joint_case(channels=4, out=6, area=4):
    x = np.random.default_rng(0).normal(size=(channels * area, 60))
    mixed = np.random.default_rng(1).normal(size=(channels * area,) * 2) @ x
    blocks = np.random.default_rng(2).normal(size=(channels, out, area))
    return blocks, mixed @ mixed.T / 60


def joint_error(blocks, kernel, moment, ridge=gdws_joint.RIDGE):
    lost = (blocks - kernel).transpose(1, 0, 2).reshape(blocks.shape[1], -1)
    return float(np.trace(lost @ gdws_joint.with_ridge(moment, ridge) @ lost.T))


def rebuilt(counts, depthwise, pointwise, shape):
    kernel = np.zeros(shape)
    owners = np.repeat(np.arange(len(counts)), counts)
    np.add.at(kernel, owners, np.einsum("mg,gk->gmk", pointwise, depthwise))
    return kernel


def least_squares(blocks, moment, counts, depthwise):
    """The best pointwise weights, plainly: `W Σ Dᵀ (D Σ Dᵀ)⁻¹`."""
    channels, out, area = blocks.shape
    wide = np.zeros((len(depthwise), channels, area))
    wide[np.arange(len(depthwise)), np.repeat(np.arange(channels), counts)] = depthwise
    rows = wide.reshape(len(depthwise), -1)
    sigma = gdws_joint.with_ridge(moment, gdws_joint.RIDGE)
    target = blocks.transpose(1, 0, 2).reshape(out, -1)
    return target @ sigma @ rows.T @ np.linalg.inv(rows @ sigma @ rows.T)


def in_channel_order(ranking, G):
    return ranking.counts(G), ranking.factors(G)[0]


def test_every_error_of_the_ranking_is_that_of_least_squares():
    blocks, moment = joint_case()
    ranking = gdws_joint.joint_ranking(blocks, moment, 16)
    assert (np.diff(ranking.error) <= 0).all()
    for G in range(1, len(ranking.channel) + 1):
        counts, depthwise = in_channel_order(ranking, G)
        pointwise = least_squares(blocks, moment, counts, depthwise)
        np.testing.assert_allclose(ranking.factors(G)[1], pointwise, rtol=1e-6, atol=1e-8)
        kernel = rebuilt(counts, depthwise, pointwise, blocks.shape)
        exact = joint_error(blocks, kernel, moment)
        assert ranking.error[G] == pytest.approx(exact, rel=1e-6, abs=1e-9 * ranking.error[0])


def test_channels_together_beat_channels_alone():
    blocks, moment = joint_case()
    ranking = gdws_joint.joint_ranking(blocks, moment, 16)
    weight = torch.from_numpy(blocks.transpose(1, 0, 2).reshape(6, 4, 2, 2).copy())
    own = np.stack([moment[4 * c : 4 * c + 4, 4 * c : 4 * c + 4] for c in range(4)])
    alone = gdws.spectrum(weight, torch.from_numpy(own))
    for G in (3, 7, 11):
        kernel = alone.kernel(alone.mego(G)).flatten(2).transpose(0, 1).numpy()
        assert ranking.error[G] < 0.8 * joint_error(blocks, kernel, moment)


def test_the_module_has_the_kernel_of_the_ranking():
    blocks, moment = joint_case()
    ranking = gdws_joint.joint_ranking(blocks, moment, 16)
    like = nn.Conv2d(4, 6, 2, stride=2, padding=1).double()
    conv = ranking.conv(9, like)
    kernel = rebuilt(ranking.counts(9), *ranking.factors(9), blocks.shape)
    weight = torch.from_numpy(kernel.transpose(1, 0, 2).reshape(6, 4, 2, 2).copy())
    torch.testing.assert_close(conv.dense().weight, weight)
    assert conv.counts.tolist() == ranking.counts(9).tolist()
    x = torch.randn(2, 4, 6, 6).double()
    assert conv(x).shape == like(x).shape
    with pytest.raises(BudgetError, match="G is 17"):
        ranking.conv(17, like)


def test_a_kernel_of_few_depthwise_kernels_is_found_exactly():
    """One depthwise kernel in each of two channels: two steps leave next to nothing."""
    blocks, moment = joint_case()
    rng = np.random.default_rng(5)
    blocks[:] = 0
    blocks[0] = 10 * np.outer(rng.normal(size=6), rng.normal(size=4))
    ranking = gdws_joint.joint_ranking(blocks, moment, 16, ridge=0.0)
    assert len(ranking.channel) == 1
    assert ranking.error[1] < 1e-9 * ranking.error[0]
