"""One layer under Tucker-2: every rank pair of the table against the rebuilt kernel."""

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, ModelError
from gdws_explorer.factorize import tucker


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (2, 2), (5, 5), (1, 1)])
@pytest.mark.parametrize(("out", "channels"), [(4, 6), (6, 4), (20, 2), (2, 20)])
def test_every_pair_is_the_error_of_the_rebuilt_kernel(kernel, out, channels):
    weight = torch.randn(out, channels, *kernel, dtype=torch.float64)
    spectrum, norm = tucker.spectrum(weight), float(weight.square().sum())
    assert spectrum.errors.shape == (out, channels)
    for r_out in range(1, out + 1):
        for r_in in range(1, channels + 1):
            rebuilt = float((weight - spectrum.kernel(r_out, r_in)).square().sum())
            error = spectrum.error(r_out, r_in)
            assert error == pytest.approx(rebuilt, rel=1e-6, abs=1e-25 * norm)
            core = spectrum.core[:r_out, :r_in].square().sum()
            assert error == pytest.approx(norm - float(core), abs=1e-12 * norm)


def test_tiny_errors_keep_their_digits():
    u, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    core = torch.zeros(6, 6, 1, 1, dtype=torch.float64)
    core[range(6), range(6)] = torch.logspace(0, -7, 6, dtype=torch.float64)[:, None, None]
    weight = torch.einsum("mo,oihw,ci->mchw", u, core, v)
    spectrum = tucker.spectrum(weight)
    for rank in range(1, 6):
        rebuilt = float((weight - spectrum.kernel(rank, rank)).square().sum())
        assert spectrum.error(rank, rank) == pytest.approx(rebuilt, rel=1e-6, abs=0)


def test_errors_fall_with_both_ranks():
    errors = tucker.spectrum(torch.randn(7, 9, 3, 3)).errors
    slack = 1e-12 * errors.max()
    assert (np.diff(errors, axis=0) <= slack).all()
    assert (np.diff(errors, axis=1) <= slack).all()
    assert errors[-1, -1] == 0.0
    assert (errors >= 0).all()


def test_factors_are_orthogonal_and_the_core_gives_the_kernel_back():
    weight = torch.randn(5, 4, 3, 3, dtype=torch.float64)
    s = tucker.spectrum(weight)
    torch.testing.assert_close(s.u_out.T @ s.u_out, torch.eye(5).double())
    torch.testing.assert_close(s.u_in.T @ s.u_in, torch.eye(4).double())
    back = torch.einsum("mo,oihw,ci->mchw", s.u_out, s.core, s.u_in)
    torch.testing.assert_close(back, weight)
    rows = s.core.square().sum((1, 2, 3))
    assert (rows.diff() <= 1e-12).all()  # largest energy first


def test_truncated_is_near_the_best_of_its_ranks():
    """HOSVD is within √2 of the best, and no worse than a random projection of the same ranks."""
    weight = torch.randn(8, 8, 3, 3, dtype=torch.float64)
    error = tucker.spectrum(weight).error(3, 3)
    for _ in range(20):
        u = torch.linalg.qr(torch.randn(8, 3, dtype=torch.float64))[0]
        v = torch.linalg.qr(torch.randn(8, 3, dtype=torch.float64))[0]
        other = torch.einsum("mo,no,nchw,ci,di->mdhw", u, u, weight, v, v)
        assert error < float((weight - other).square().sum())


@pytest.mark.parametrize(
    ("shape", "full"), [((20, 2, 3, 3), (18, 2)), ((2, 20, 3, 3), (2, 18)), ((4, 4, 3, 3), (4, 4))]
)
def test_full_is_exact_and_its_ranks_are_the_least(shape, full):
    weight = torch.randn(shape, dtype=torch.float64)
    spectrum, norm = tucker.spectrum(weight), float(weight.square().sum())
    assert spectrum.full == full
    assert spectrum.error(*full) < 1e-25 * norm
    assert spectrum.error(full[0] - 1, full[1]) > 1e-6 * norm
    assert spectrum.error(full[0], full[1] - 1) > 1e-6 * norm


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type(dtype):
    weight = torch.randn(5, 4, 3, 3).to(dtype)
    spectrum = tucker.spectrum(weight)
    rebuilt = spectrum.kernel(3, 2, torch.float64)
    distance = float((weight.double() - rebuilt).square().sum())
    assert spectrum.error(3, 2) == pytest.approx(distance, rel=1e-6, abs=0)
    assert {p.dtype for p in spectrum.conv(3, 2).parameters()} == {dtype}


def test_the_module_is_three_convolutions():
    like = nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, padding_mode="reflect")
    conv = tucker.spectrum(like).conv(3, 2)
    assert conv.first.weight.shape == (2, 4, 1, 1)
    assert conv.core.weight.shape == (3, 2, 3, 3)
    assert conv.last.weight.shape == (6, 3, 1, 1)
    assert (conv.first.bias, conv.core.bias) == (None, None)
    torch.testing.assert_close(conv.last.bias, like.bias)
    assert (conv.core.stride, conv.core.dilation) == ((2, 2), (2, 2))
    assert (conv.core.padding, conv.core.padding_mode) == ((2, 2), "reflect")
    assert (conv.first.stride, conv.last.padding) == ((1, 1), (0, 0))


def test_no_torch_state_is_changed():
    like, before = nn.Conv2d(3, 5, 3), torch.get_rng_state()
    torch.set_num_threads(2)
    tucker.spectrum(like).conv(2, 2).dense()
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_a_zero_kernel():
    spectrum = tucker.spectrum(torch.zeros(3, 4, 3, 3))
    assert spectrum.error(1, 1) == 0.0
    assert not spectrum.kernel(1, 1).any()


@pytest.mark.parametrize("use", ["error", "kernel", "conv"])
@pytest.mark.parametrize("bad", [0, -1, 9, 1.5, True, float("nan"), float("inf"), None, "2"])
def test_ranks_that_cannot_be_used(use, bad):
    ask = getattr(tucker.spectrum(torch.randn(4, 5, 3, 3)), use)
    with pytest.raises(BudgetError, match=r"r_out is .*; expected a whole number from 1 to 4"):
        ask(bad, 2)
    with pytest.raises(BudgetError, match=r"r_in is .*; expected a whole number from 1 to 5"):
        ask(2, bad)


@pytest.mark.parametrize("rank", [2, 2.0, np.int64(2), torch.tensor(2)])
def test_ranks_in_any_whole_form(rank):
    spectrum = tucker.spectrum(torch.randn(4, 5, 3, 3))
    assert spectrum.error(rank, rank) == spectrum.error(2, 2)
    assert spectrum.conv(rank, rank).core.weight.shape[:2] == (2, 2)


def test_a_weight_that_cannot_be_used():
    with pytest.raises(ModelError, match="NaN"):
        tucker.spectrum(torch.full((2, 2, 3, 3), float("nan")))
    with pytest.raises(ModelError, match="groups=2"):
        tucker.spectrum(nn.Conv2d(4, 4, 3, groups=2))


def test_sweeps_only_lower_the_error_and_keep_the_ranks():
    weight = torch.randn(9, 8, 3, 3, dtype=torch.float64)
    spectrum = tucker.spectrum(weight)
    errors = [
        float((tucker.hooi_kernel(spectrum, 4, 3, n) - weight).square().sum()) for n in (0, 1, 5)
    ]
    assert errors[0] == pytest.approx(spectrum.error(4, 3), rel=1e-9)
    assert errors[2] <= errors[1] < errors[0]
    best = tucker.hooi_kernel(spectrum, 4, 3, 5)
    assert torch.linalg.matrix_rank(best.flatten(1)) == 4
    assert torch.linalg.matrix_rank(best.transpose(0, 1).flatten(1)) == 3
    torch.testing.assert_close(tucker.hooi_kernel(spectrum, 9, 8), weight)
    with pytest.raises(BudgetError, match="r_in is 9"):
        tucker.hooi_kernel(spectrum, 4, 9)
