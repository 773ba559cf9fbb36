"""Data-aware spectra: errors in the output are those of the rebuilt kernel."""

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.factorize import gdws, tucker
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
