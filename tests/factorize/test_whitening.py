"""Data-aware spectra and joint GDWS: errors in the output are those of the rebuilt kernel."""

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, DataError
from gdws_explorer.factorize import gdws, gdws_joint, tucker
from gdws_explorer.factorize.whitening import whitening_roots

KERNELS = [(3, 3), (1, 3), (2, 2), (5, 5)]


def moment(*batch, size, rank=None):
    """Random second moments, full rank unless said otherwise."""
    x = torch.randn(*batch, size, rank or 2 * size, dtype=torch.float64)
    return x @ x.mT


def output_error(difference, moments):
    """`Σ_c tr(D_c Σ_c D_cᵀ)`, plainly."""
    total = 0.0
    for c in range(difference.shape[1]):
        block = difference[:, c].flatten(1).double()
        total += float((block @ moments[c] @ block.T).trace())
    return total


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("out", [2, 16])
def test_the_error_is_the_rebuilt_kernels_in_the_output(kernel, out):
    area = kernel[0] * kernel[1]
    weight, moments = torch.randn(out, 3, *kernel).double(), moment(3, size=area)
    spectrum = gdws.spectrum(weight, moments, ridge=0.0)
    assert spectrum.full == 3 * min(out, area)
    for G in range(1, spectrum.full + 1):
        counts = spectrum.mego(G)
        lost = output_error(weight - spectrum.kernel(counts), moments)
        assert spectrum.error(counts) == pytest.approx(lost, rel=1e-6, abs=1e-18)
        rebuilt = spectrum.conv(counts).dense().weight
        torch.testing.assert_close(rebuilt, spectrum.kernel(counts))


def test_no_kernel_of_the_same_ranks_is_better():
    weight, moments = torch.randn(8, 3, 3, 3).double(), moment(3, size=9)
    counts = torch.tensor([1, 2, 4])
    ours = gdws.spectrum(weight, moments).error(counts)
    plain = gdws.spectrum(weight).kernel(counts)
    assert ours < 0.9 * output_error(weight - plain, moments)


@pytest.mark.parametrize("dead", [False, True])
def test_singular_moments_stay_finite_and_full_rank_is_exact(dead):
    weight, moments = torch.randn(16, 3, 3, 3), moment(3, size=9, rank=2)
    if dead:
        moments[1] = 0
    spectrum = gdws.spectrum(weight, moments)
    full = torch.full((3,), 9)
    torch.testing.assert_close(spectrum.kernel(full), weight)
    torch.testing.assert_close(spectrum.conv(full).dense().weight, weight, atol=1e-4, rtol=1e-3)
    counts = spectrum.mego(6)  # two directions of every channel are all that was ever seen
    assert spectrum.error(counts) < 1e-4 * spectrum.uniform.error[0]
    if dead:
        assert int(counts[1]) == 0
    assert torch.isfinite(spectrum.conv(counts).dense().weight).all()


def test_isotropic_moments_change_nothing():
    weight = torch.randn(8, 3, 3, 3).double()
    plain = gdws.spectrum(weight)
    aware = gdws.spectrum(weight, torch.eye(9).double().expand(3, 9, 9), ridge=0.0)
    np.testing.assert_allclose(aware.energy, plain.energy, rtol=1e-9)
    counts = plain.mego(10)
    torch.testing.assert_close(aware.kernel(counts), plain.kernel(counts))


def test_lego_and_the_ranking_speak_of_the_output():
    spectrum = gdws.spectrum(torch.randn(8, 3, 3, 3), moment(3, size=9))
    beta = 0.1 * float(spectrum.uniform.error[0])
    counts = spectrum.lego(beta)
    assert spectrum.error(counts) <= beta < spectrum.error(spectrum.mego(int(counts.sum()) - 1))


def test_a_convolutions_geometry_comes_along():
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2)
    x = torch.randn(2, 4, 11, 11)
    spectrum = gdws.spectrum(conv, moment(4, size=9))
    torch.testing.assert_close(spectrum.conv(spectrum.mego(24))(x).shape, conv(x).shape)
    full = spectrum.conv(torch.full((4,), 6))
    torch.testing.assert_close(full(x), conv(x), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_tuckers_error_is_the_rebuilt_kernels_in_the_output(kernel):
    area = kernel[0] * kernel[1]
    weight = torch.randn(7, 5, *kernel).double()
    channels, space = moment(size=5), moment(size=area)
    spectrum = tucker.spectrum(weight, (channels, space / space.trace()), ridge=0.0)
    for r_out, r_in in [(1, 1), (3, 2), (7, 3), (4, 5), spectrum.full]:
        lost = (weight - spectrum.kernel(r_out, r_in)).flatten(2)
        plain = torch.einsum("mck,cd,kl,mdl->", lost, channels, space / space.trace(), lost)
        assert spectrum.error(r_out, r_in) == pytest.approx(float(plain), rel=1e-6, abs=1e-15)
        rebuilt = spectrum.conv(r_out, r_in).dense().weight
        torch.testing.assert_close(rebuilt, spectrum.kernel(r_out, r_in))


def test_tucker_at_full_ranks_is_exact_with_singular_moments():
    weight = torch.randn(7, 5, 3, 3)
    spectrum = tucker.spectrum(weight, (moment(size=5, rank=2), moment(size=9, rank=3)))
    torch.testing.assert_close(spectrum.conv(7, 5).dense().weight, weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3, 4, 4), torch.full((3, 9, 9), torch.nan), torch.zeros(9, 9)]
)
def test_moments_that_do_not_fit_are_refused(bad):
    with pytest.raises(DataError, match="moments"):
        gdws.spectrum(torch.randn(4, 3, 3, 3), bad)


def test_roots_are_roots():
    moments = moment(4, size=6)
    root, inverse = whitening_roots(moments, (4, 6, 6), ridge=0.0)
    np.testing.assert_allclose(root @ root.swapaxes(1, 2), moments.numpy(), rtol=1e-9)
    np.testing.assert_allclose(inverse @ root, np.eye(6)[None].repeat(4, 0), atol=1e-9)


# -- all channels at once -------------------------------------------------------------------


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


def test_every_rung_of_the_joint_ranking_is_its_least_squares_error():
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


def test_the_module_is_the_rankings_kernel():
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
