"""One layer under GDWS: tables against rebuilt kernels, choices against exhaustive search."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gdws_explorer.errors import BudgetError, ModelError
from gdws_explorer.factorize import gdws


def svd_energy(weight):
    """Squared singular values of every block, one plain SVD per channel: `(C, R)`."""
    blocks = weight.double().flatten(2).transpose(0, 1)
    return np.stack([torch.linalg.svdvals(block).square().numpy() for block in blocks])


def every_counts(channels, rank):
    """All channel distributions with at least one kernel."""
    return [c for c in itertools.product(range(rank + 1), repeat=channels) if any(c)]


def exhaustive_errors(weight, alpha=None):
    """The weighted error of every distribution, from the plain SVDs: `{counts: error}`."""
    energy = svd_energy(weight)
    channels, rank = energy.shape
    scores = energy if alpha is None else energy * np.asarray(alpha)[:, None]
    tails = np.concatenate(
        [np.cumsum(scores[:, ::-1], axis=1)[:, ::-1], np.zeros((channels, 1))], axis=1
    )
    return {
        counts: float(sum(tails[c, g] for c, g in enumerate(counts)))
        for counts in every_counts(channels, rank)
    }


def squared_distance(weight, other):
    return float((weight.double() - other.double()).square().sum())


def full_counts(spectrum):
    channels, rank = spectrum.energy.shape
    return torch.full((channels,), rank)


# -- the table is the truth about the rebuilt kernel ---------------------------------------


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (3, 1), (2, 2), (5, 5), (7, 7)])
@pytest.mark.parametrize("out", [2, 16])  # 2: fewer outputs than kernel positions
def test_error_is_that_of_the_rebuilt_kernel_at_every_rank(kernel, out):
    weight = torch.randn(out, 3, *kernel, dtype=torch.float64)
    spectrum = gdws.spectrum(weight)
    assert spectrum.full == 3 * min(out, kernel[0] * kernel[1])
    for G in range(1, spectrum.full):
        counts = spectrum.mego(G)
        rebuilt = squared_distance(weight, spectrum.kernel(counts))
        assert spectrum.error(counts) == pytest.approx(rebuilt, rel=1e-6, abs=0)
    assert spectrum.error(full_counts(spectrum)) == 0.0


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (32, 4, 3, 3)])  # M < K², M > K²
def test_tiny_errors_keep_their_digits(shape):
    """Singular values over 7 decades, so squared errors over 14."""
    blocks = torch.randn(shape, dtype=torch.float64).flatten(2).transpose(0, 1)
    u, s, v = torch.linalg.svd(blocks, full_matrices=False)
    s = torch.logspace(0, -7, s.shape[1], dtype=torch.float64).expand_as(s)
    weight = ((u * s[:, None]) @ v).transpose(0, 1).reshape(shape)
    spectrum = gdws.spectrum(weight)
    rank = spectrum.energy.shape[1]
    for kept in range(1, rank):
        counts = torch.full((4,), kept)
        exact = 4 * float(s[0, kept:].square().sum())
        assert spectrum.error(counts) == pytest.approx(exact, rel=1e-6, abs=0)
        rebuilt = squared_distance(weight, spectrum.kernel(counts))
        assert spectrum.error(counts) == pytest.approx(rebuilt, rel=1e-6, abs=0)


def test_energy_is_that_of_a_plain_svd():
    weight = torch.randn(16, 6, 3, 3)
    np.testing.assert_allclose(gdws.spectrum(weight).energy, svd_energy(weight), rtol=1e-9)


def test_alpha_weighs_the_error_of_each_channel():
    weight = torch.randn(6, 3, 3, 3, dtype=torch.float64)
    alpha = torch.tensor([2.0, 0.0, 0.5])
    spectrum, counts = gdws.spectrum(weight), torch.tensor([1, 2, 3])
    lost = (weight - spectrum.kernel(counts)).square().sum((0, 2, 3))
    assert spectrum.error(counts, alpha) == pytest.approx(float(alpha.double() @ lost), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type(dtype):
    weight = torch.randn(5, 3, 3, 3).to(dtype)
    spectrum = gdws.spectrum(weight)
    counts = spectrum.mego(7)
    rebuilt = squared_distance(weight, spectrum.kernel(counts, torch.float64))
    assert spectrum.error(counts) == pytest.approx(rebuilt, rel=1e-6, abs=0)
    conv = spectrum.conv(counts)
    assert {p.dtype for p in conv.parameters()} == {dtype}
    assert spectrum.kernel(counts).dtype == dtype
    assert conv(torch.randn(1, 3, 5, 5).to(dtype)).dtype == dtype


def test_a_pointwise_kernel_has_one_triplet_per_channel():
    weight = torch.randn(4, 3, 1, 1)
    spectrum = gdws.spectrum(weight)
    assert spectrum.energy.shape == (3, 1)
    torch.testing.assert_close(spectrum.kernel(torch.ones(3, dtype=torch.int64)), weight)
    weakest = int(weight.square().sum((0, 2, 3)).argmin())
    assert int(spectrum.mego(2)[weakest]) == 0


def test_a_zero_kernel_keeps_one_depthwise_kernel():
    spectrum = gdws.spectrum(torch.zeros(4, 3, 3, 3))
    assert int(spectrum.lego(0.0).sum()) == 1
    assert not spectrum.kernel(spectrum.lego(0.0)).any()


def test_a_rank_deficient_block_is_exact_at_its_rank():
    factors = torch.randn(8, 2).double(), torch.randn(3, 2, 9).double()
    weight = torch.einsum("mr,crk->mck", *factors)
    weight = weight.reshape(8, 3, 3, 3)
    spectrum = gdws.spectrum(weight)
    counts = torch.full((3,), 2)
    assert spectrum.error(counts) < 1e-25 * float(weight.square().sum())
    torch.testing.assert_close(spectrum.kernel(counts), weight)


# -- LEGO and MEGO against exhaustive search -----------------------------------------------

ORTHOGONAL = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
LAYERS = {
    "random": torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1)),
    "M < K²": torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(2)),
    # All singular values of all blocks equal: nothing but ties.
    "all ties": ORTHOGONAL[:, None].expand(4, 3, 4).reshape(4, 3, 2, 2).float(),
    # 1, 1, 4, 4 in one channel, 4, 4, 9, 9 in the other: ties within and across.
    "integer ties": torch.stack(
        [torch.diag(torch.tensor([1, 1, 2, 2])), torch.diag(torch.tensor([2, 3, 3, 2]))], 1
    )
    .reshape(4, 2, 2, 2)
    .float(),
    "a zero channel": torch.randn(3, 3, 1, 3, generator=torch.Generator().manual_seed(3))
    * torch.tensor([1.0, 0.0, 2.0])[None, :, None, None],
}
ALPHAS = {"ones": None, "weighted": [0.3, 2.0, 1.0, 0.7], "some zero": [0.0, 1.0, 0.0, 2.0]}


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("layer", LAYERS)
def test_mego_equals_exhaustive_search(layer, alpha):
    weight = LAYERS[layer]
    alpha = ALPHAS[alpha] and ALPHAS[alpha][: weight.shape[1]]
    errors = exhaustive_errors(weight, alpha)
    spectrum, total = gdws.spectrum(weight), max(errors.values())
    weights = None if alpha is None else torch.tensor(alpha)
    for G in range(1, spectrum.full + 1):
        counts = spectrum.mego(G, weights)
        assert counts.dtype == torch.int64
        assert int(counts.sum()) == G
        best = min(error for c, error in errors.items() if sum(c) == G)
        assert errors[tuple(counts.tolist())] == pytest.approx(best, abs=1e-6 * total)
        assert spectrum.error(counts, weights) == pytest.approx(best, abs=1e-6 * total)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("layer", LAYERS)
def test_lego_equals_exhaustive_search(layer, alpha):
    weight = LAYERS[layer]
    alpha = ALPHAS[alpha] and ALPHAS[alpha][: weight.shape[1]]
    errors = exhaustive_errors(weight, alpha)
    spectrum, total = gdws.spectrum(weight), max(errors.values())
    weights = None if alpha is None else torch.tensor(alpha)
    # Halfway between the errors that can be had, and beyond both ends. (Exactly at one of them
    # rounding decides; the integer test below has no rounding.)
    reachable = sorted({round(e, 9) for e in errors.values()})
    betas = [(a + b) / 2 for a, b in itertools.pairwise(reachable)]
    betas = [*betas[:: max(1, len(betas) // 60)], 1.5 * total + 1, float("inf")]
    for beta in betas:
        counts = spectrum.lego(beta, weights)
        least = min((sum(c) for c, e in errors.items() if e <= beta), default=1)
        assert int(counts.sum()) == least
        assert errors[tuple(counts.tolist())] <= beta


@pytest.mark.parametrize(
    ("beta", "least"), [(0, 8), (0.5, 8), (1, 7), (2, 6), (5, 6), (6, 5), (18, 2), (27, 1)]
)
def test_a_beta_that_is_exactly_an_error_is_met(beta, least):
    """Squared singular values 1, 1, 4, 4 and 4, 4, 9, 9; in integers nothing rounds."""
    counts = gdws.spectrum(LAYERS["integer ties"]).lego(beta)
    assert int(counts.sum()) == least


def test_a_beta_that_would_drop_everything_keeps_the_strongest_kernel():
    weight = torch.randn(4, 3, 3, 3)
    weight[:, 1] *= 10
    assert gdws.spectrum(weight).lego(1e9).tolist() == [0, 1, 0]
    assert gdws.spectrum(weight).lego(float("inf")).tolist() == [0, 1, 0]


def test_alpha_zero_costs_nothing_to_drop():
    spectrum = gdws.spectrum(torch.randn(4, 3, 3, 3))
    assert spectrum.lego(0.0, torch.tensor([0.0, 1.0, 0.0])).tolist() == [0, 4, 0]
    assert int(spectrum.lego(0.0, torch.zeros(3)).sum()) == 1


kernels = st.builds(
    lambda seed, out, channels, side, scale: (
        scale * torch.randn(out, channels, *side, generator=torch.Generator().manual_seed(seed))
    ),
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 6),
    st.sampled_from([(1, 3), (2, 2), (3, 3)]),
    st.sampled_from([1e-3, 1.0, 1e3]),
)
fractions = st.floats(0, 1.2)


@settings(deadline=None, max_examples=60)
@given(kernels, fractions, st.booleans())
def test_lego_meets_beta_and_one_triplet_fewer_would_not(weight, fraction, weighted):
    spectrum = gdws.spectrum(weight)
    alpha = torch.linspace(0.0, 2.0, weight.shape[1]) if weighted else None
    beta = fraction * spectrum.ranking(alpha).error[0]
    counts = spectrum.lego(beta, alpha)
    G = int(counts.sum())
    if spectrum.error(counts, alpha) > beta:
        assert G == 1
    if G > 1:
        for channel in counts.nonzero().flatten():
            fewer = counts.clone()
            fewer[channel] -= 1
            assert spectrum.error(fewer, alpha) > beta
        assert spectrum.error(spectrum.mego(G - 1, alpha), alpha) > beta


@settings(deadline=None, max_examples=60)
@given(kernels, st.data())
def test_mego_has_the_least_error_of_all_with_as_many_kernels(weight, data):
    spectrum = gdws.spectrum(weight)
    G = data.draw(st.integers(1, spectrum.full))
    best = spectrum.mego(G)
    other = best.clone()
    for _ in range(4):  # move single kernels between channels: still G of them
        donors = (other > 0).nonzero().flatten().tolist()
        takers = (other < spectrum.energy.shape[1]).nonzero().flatten().tolist()
        if not takers:
            break
        other[data.draw(st.sampled_from(donors))] -= 1
        other[data.draw(st.sampled_from(takers))] += 1
        if (other > spectrum.energy.shape[1]).any() or not other.any():
            break
        assert spectrum.error(best) <= spectrum.error(other) * (1 + 1e-12)


@settings(deadline=None, max_examples=40)
@given(kernels)
def test_errors_fall_with_kernels_and_agree_to_the_bit_with_the_ladder(weight):
    spectrum = gdws.spectrum(weight)
    errors = [spectrum.error(spectrum.mego(G)) for G in range(1, spectrum.full + 1)]
    assert all(a >= b for a, b in itertools.pairwise(errors))
    assert errors == spectrum.uniform.error[1:].tolist()
    assert spectrum.uniform.error[0] == pytest.approx(float(weight.double().square().sum()))


# -- the module ------------------------------------------------------------------------------


def test_the_module_is_gather_depthwise_pointwise():
    like = nn.Conv2d(3, 5, 3, stride=2, padding=1, dilation=2)
    conv = gdws.spectrum(like).conv(torch.tensor([2, 0, 3]))
    assert conv.index.tolist() == [0, 0, 2, 2, 2]
    assert conv.counts.tolist() == [2, 0, 3]
    assert conv.depthwise.weight.shape == (5, 1, 3, 3)
    assert conv.depthwise.groups == 5
    assert conv.depthwise.bias is None
    assert (conv.depthwise.stride, conv.depthwise.dilation) == ((2, 2), (2, 2))
    assert conv.pointwise.weight.shape == (5, 5, 1, 1)
    torch.testing.assert_close(conv.pointwise.bias, like.bias)
    assert "index" in conv.state_dict()


def test_like_gives_a_bare_weight_its_geometry():
    like = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    spectrum = gdws.spectrum(like.weight)
    images = torch.randn(2, 3, 9, 9)
    conv = spectrum.conv(full_counts(spectrum), like=like)
    torch.testing.assert_close(conv(images), like(images), atol=1e-5, rtol=0)
    bare = spectrum.conv(full_counts(spectrum))
    assert (bare.depthwise.stride, bare.depthwise.padding) == ((1, 1), (0, 0))
    assert bare.pointwise.bias is None


def test_no_torch_randomness_is_consumed():
    like, before = nn.Conv2d(3, 5, 3), torch.get_rng_state()
    gdws.spectrum(like).conv(torch.tensor([1, 1, 1])).dense()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_source_is_left_alone():
    like = nn.Conv2d(3, 5, 3)
    before = like.weight.detach().clone()
    conv = gdws.spectrum(like).conv(torch.tensor([4, 4, 4]))
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.zero_()
    assert torch.equal(like.weight, before)
    assert like.bias.any()
    assert like.weight.requires_grad
    assert like.weight.grad is None


def test_parameters_can_be_trained():
    conv = gdws.spectrum(nn.Conv2d(3, 5, 3)).conv(torch.tensor([1, 2, 0]))
    conv(torch.randn(1, 3, 5, 5)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in conv.parameters())


# -- what is refused ---------------------------------------------------------------------------

GOOD = torch.arange(36.0).reshape(2, 2, 3, 3)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (torch.full((2, 2, 3, 3), float("nan")), "NaN"),
        (torch.full((2, 2, 3, 3), float("-inf")), "infinite"),
        (torch.zeros(2, 2, 3, 3, dtype=torch.int64), "int64"),
        (torch.zeros(2, 2, 3, 3, dtype=torch.complex64), "complex64"),
        (torch.zeros(2, 2, 3), r"\(2, 2, 3\)"),
        (torch.zeros(0, 2, 3, 3), "none of them 0"),
        (torch.zeros(2, 2, 3, 3).numpy(), "ndarray"),
        (nn.Conv2d(4, 4, 3, groups=2), "groups=2"),
        (nn.ConvTranspose2d(4, 4, 3), "ConvTranspose2d"),
        (nn.Linear(4, 4), "Linear"),
        (None, "NoneType"),
    ],
)
def test_a_weight_that_cannot_be_used(weight, words):
    with pytest.raises(ModelError, match=words):
        gdws.spectrum(weight)


def test_one_bad_value_among_many_is_found():
    for bad in (float("nan"), float("inf")):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            weight = torch.zeros(4, 4, 3, 3, dtype=dtype)
            weight[3, 2, 1, 0] = bad
            with pytest.raises(ModelError, match="NaN or infinite"):
                gdws.spectrum(weight)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (torch.tensor([3, 0]), "from 0 to 3; expected 0 to 2"),
        (torch.tensor([-1, 2]), "from -1"),
        (torch.tensor([1.0, 1.0]), "float32"),
        (torch.tensor([True, True]), "bool"),
        (torch.tensor([0, 0]), "all 0"),
        (torch.tensor([1]), r"\(1,\)"),
        (torch.tensor([[1, 1]]), r"\(1, 2\)"),
        (torch.tensor(2), r"\(\)"),
        (None, r"\(\)"),
    ],
)
@pytest.mark.parametrize("use", ["error", "kernel", "conv"])
def test_counts_that_cannot_be_used(counts, words, use):
    with pytest.raises(BudgetError, match=words):
        getattr(gdws.spectrum(GOOD), use)(counts)


@pytest.mark.parametrize(
    "alpha",
    [
        torch.ones(3),
        torch.ones(2, 1),
        torch.tensor(1.0),
        torch.tensor([1.0, -1.0]),
        torch.tensor([1.0, float("nan")]),
        torch.tensor([1.0, float("inf")]),
    ],
)
def test_alpha_that_cannot_be_used(alpha):
    spectrum = gdws.spectrum(GOOD)
    for ask in (
        lambda: spectrum.lego(1.0, alpha),
        lambda: spectrum.mego(2, alpha),
        lambda: spectrum.error(torch.tensor([1, 1]), alpha),
    ):
        with pytest.raises(BudgetError, match="expected 2 finite numbers ≥ 0"):
            ask()


@pytest.mark.parametrize("beta", [-1e-9, float("nan"), -float("inf"), None, "0.1"])
def test_beta_that_cannot_be_used(beta):
    with pytest.raises(BudgetError, match="expected a number ≥ 0"):
        gdws.spectrum(GOOD).lego(beta)


@pytest.mark.parametrize("G", [0, -1, 5, 1.5, True, float("nan"), float("inf"), None, "2"])
def test_kernel_numbers_that_cannot_be_used(G):
    with pytest.raises(BudgetError, match="whole number from 1 to 4"):
        gdws.spectrum(GOOD).mego(G)


@pytest.mark.parametrize("G", [2, 2.0, np.int64(2), torch.tensor(2)])
def test_kernel_numbers_in_any_whole_form(G):
    assert int(gdws.spectrum(GOOD).mego(G).sum()) == 2
