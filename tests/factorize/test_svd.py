"""Channel SVD, spatial SVD and the SVD of a linear layer: every rank against the rebuilt weight."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, ModelError
from gdws_explorer.factorize import svd
from gdws_explorer.network.plans.choices import SVD, SpatialSVD
from gdws_explorer.network.plans.families import FAMILIES

KERNELS = [(3, 3), (1, 3), (3, 1), (2, 2), (4, 2), (5, 5), (7, 7), (1, 1)]
WIDTHS = [(4, 6), (6, 4), (20, 2), (2, 20), (1, 5), (5, 1)]
GROUPED = [(8, 4, 2), (4, 8, 2), (6, 6, 3), (4, 4, 4), (12, 4, 4)]  # M, C, groups


def convolution(out, channels, kernel, groups=1):
    return nn.Conv2d(channels, out, kernel, groups=groups).double()


def layers():
    """(spectrum maker, layer) of every kind whose every rank is looked at."""
    for kernel in KERNELS:
        for out, channels in WIDTHS:
            conv = convolution(out, channels, kernel)
            yield svd.spectrum, conv
            if kernel != (1, 1):
                yield svd.spatial_spectrum, conv
    for kernel in ((3, 3), (1, 1), (5, 2)):
        for out, channels, groups in GROUPED:
            yield svd.spectrum, convolution(out, channels, kernel, groups)
    for out, channels in WIDTHS:
        yield svd.spectrum, nn.Linear(channels, out).double()


def matrices(make, layer):
    """The weight as the matrices whose ranks are cut, `(g, p, q)`, written for this test alone."""
    weight, groups = layer.weight.detach().double(), getattr(layer, "groups", 1)
    if make is svd.spatial_spectrum:
        places = itertools.product(*map(range, weight.shape[1:3]))
        rows = [weight[:, c, i].flatten() for c, i in places]
        return torch.stack(rows)[None]  # one row per (c, i): all (m, j)
    return torch.stack([part.flatten(1) for part in weight.chunk(groups)])


def tails(parts):
    """`Σ_{i>r} σ_i²` over all matrices for r = 1 … R, by torch's own SVD (Eckart and Young)."""
    energy = torch.linalg.svdvals(parts).square().sum(0).numpy()
    return np.array([energy[rank:].sum() for rank in range(1, len(energy) + 1)])


def distance(layer, weight):
    return float((layer.weight.detach().double() - weight.double()).square().sum())


# -- the table ------------------------------------------------------------------------------


def test_every_rank_errs_as_its_rebuilt_weight_and_no_rank_could_err_less():
    seen = 0
    for make, layer in layers():
        spectrum = make(layer)
        norm = float(layer.weight.detach().square().sum())
        best = tails(matrices(make, layer))
        assert spectrum.full == len(best) == min(matrices(make, layer).shape[1:])
        assert len(spectrum.errors) == spectrum.full
        for rank in range(1, spectrum.full + 1):
            error = spectrum.error(rank)
            rebuilt = distance(layer, spectrum.kernel(rank))
            assert error == pytest.approx(rebuilt, rel=1e-6, abs=1e-25 * norm)
            assert error == pytest.approx(best[rank - 1], rel=1e-6, abs=1e-25 * norm)
        assert (np.diff(spectrum.errors) <= 0).all()
        assert spectrum.error(spectrum.full) == 0.0
        seen += 1
    assert seen == 48 + 42 + 15 + 6


@pytest.mark.parametrize("make", [svd.spectrum, svd.spatial_spectrum])
def test_tiny_errors_keep_their_digits(make):
    """σ² from 1 to 1e-14: an eigenvalue of the Gram matrix would have lost the last ones."""
    u = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    matrix = u @ torch.diag(torch.logspace(0, -7, 8, dtype=torch.float64)) @ v
    if make is svd.spectrum:
        weight = matrix.reshape(8, 2, 2, 2)
    else:  # (C·Kh, M·Kw)
        weight = matrix.reshape(4, 2, 4, 2).permute(2, 0, 1, 3).contiguous()
    spectrum = make(weight)
    for rank in range(1, 8):
        rebuilt = float((weight - spectrum.kernel(rank)).square().sum())
        assert spectrum.error(rank) == pytest.approx(rebuilt, rel=1e-6, abs=0)
        exact = sum(10.0 ** (-2 * i) for i in range(rank, 8))
        assert spectrum.error(rank) == pytest.approx(exact, rel=1e-6, abs=0)


@pytest.mark.parametrize("seed", range(10))
def test_past_the_digits_of_an_eigenvalue_the_order_still_holds(seed):
    """σ down to 1e-14, σ² far below what a Gram matrix can tell: table and kernel agree."""
    torch.manual_seed(seed)
    u = torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64))[0]
    weight = u @ torch.diag(torch.logspace(0, -14, 24, dtype=torch.float64)) @ v
    spectrum = svd.spectrum(weight.reshape(24, 6, 2, 2))
    assert (np.diff(spectrum.energy, axis=1) <= 0).all()
    for rank in range(1, 24):
        rebuilt = float((spectrum.weight - spectrum.kernel(rank)).square().sum())
        assert spectrum.error(rank) == pytest.approx(rebuilt, rel=1e-6, abs=1e-29)


@pytest.mark.parametrize("make", [svd.spectrum, svd.spatial_spectrum])
@pytest.mark.parametrize("rank", [1, 3])
def test_a_weight_of_low_rank_is_found_out(make, rank):
    """Past its rank only rounding is left, in the table and in the rebuilt kernel alike."""
    matrix = torch.randn(12, rank, dtype=torch.float64) @ torch.randn(rank, 12).double()
    if make is svd.spectrum:
        weight = matrix.reshape(12, 3, 2, 2)
    else:
        weight = matrix.reshape(6, 2, 6, 2).permute(2, 0, 1, 3).contiguous()
    spectrum, norm = make(weight), float(weight.square().sum())
    assert (np.diff(spectrum.errors) <= 0).all()
    for kept in range(rank, 13):
        assert spectrum.error(kept) < 1e-25 * norm
        assert float((weight - spectrum.kernel(kept)).square().sum()) < 1e-25 * norm


def large_layers():
    yield svd.spectrum, nn.Linear(svd.LARGE, svd.LARGE + 40)
    yield svd.spectrum, nn.Conv2d(70, svd.LARGE, 3)
    yield svd.spatial_spectrum, nn.Conv2d(svd.LARGE // 3, svd.LARGE // 3, 3)
    yield svd.spectrum, nn.Conv2d(2 * svd.LARGE, 2 * svd.LARGE, 1, groups=2)


def test_large_layers_are_exact_to_1e_12_of_their_norm():
    """From LARGE on the energies are eigenvalues of the Gram matrix, right to 1e-15 of the sum."""
    for make, layer in large_layers():
        spectrum = make(layer)
        norm, full = float(layer.weight.detach().double().square().sum()), spectrum.full
        assert full >= svd.LARGE
        assert np.allclose(spectrum.errors, tails(matrices(make, layer)), atol=1e-12 * norm, rtol=0)
        assert (np.diff(spectrum.errors) <= 0).all()
        for rank in (1, full // 3, full - 1, full):
            rebuilt = distance(layer, spectrum.kernel(rank, torch.float64))
            assert spectrum.error(rank) == pytest.approx(rebuilt, abs=1e-12 * norm, rel=0)
        assert spectrum.error(full) == 0.0
        assert spectrum.error(full - 1) >= 0.0


def test_just_below_large_nothing_is_lost():
    layer = nn.Linear(svd.LARGE - 1, svd.LARGE - 1)
    spectrum = svd.spectrum(layer)
    for rank in (1, 400, svd.LARGE - 2):
        rebuilt = distance(layer, spectrum.kernel(rank, torch.float64))
        assert spectrum.error(rank) == pytest.approx(rebuilt, rel=1e-6, abs=0)


@pytest.mark.parametrize("make", [svd.spectrum, svd.spatial_spectrum])
def test_a_zero_weight(make):
    spectrum = make(torch.zeros(3, 4, 3, 3))
    assert not spectrum.errors.any()
    assert not spectrum.kernel(1).any()


def test_groups_are_cut_each_for_itself():
    conv = convolution(8, 6, 3, groups=2)
    spectrum = svd.spectrum(conv)
    kernel = spectrum.kernel(2)
    for half, ours in zip(conv.weight.detach().chunk(2), kernel.chunk(2), strict=True):
        alone = svd.spectrum(half.contiguous())
        torch.testing.assert_close(ours, alone.kernel(2))
    whole = sum(svd.spectrum(h.contiguous()).error(2) for h in conv.weight.detach().chunk(2))
    assert spectrum.error(2) == pytest.approx(whole)


def test_a_column_s_spatial_svd_is_its_channel_svd_but_a_row_s_is_not():
    column = torch.randn(6, 5, 3, 1, dtype=torch.float64)
    assert svd.spatial_spectrum(column).errors == pytest.approx(svd.spectrum(column).errors)
    row = torch.randn(6, 5, 1, 3, dtype=torch.float64)
    assert svd.spatial_spectrum(row).full == 5
    assert svd.spectrum(row).full == 6


def test_memory_formats_and_views_change_nothing():
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64)
    for make in (svd.spectrum, svd.spatial_spectrum):
        expected = make(weight)
        for same in (
            weight.to(memory_format=torch.channels_last),
            torch.stack([weight, -weight], -1)[..., 0],
        ):
            assert make(same).errors == pytest.approx(expected.errors, rel=1e-9)
            torch.testing.assert_close(make(same).kernel(3), expected.kernel(3))


# -- the modules ----------------------------------------------------------------------------


def test_channel_svd_is_two_convolutions():
    like = nn.Conv2d(4, 6, 3, stride=(2, 1), padding=2, dilation=2, padding_mode="reflect")
    conv = svd.spectrum(like).conv(5)
    assert conv.first.weight.shape == (5, 4, 3, 3)
    assert conv.last.weight.shape == (6, 5, 1, 1)
    assert conv.first.bias is None
    torch.testing.assert_close(conv.last.bias, like.bias)
    assert (conv.first.stride, conv.first.dilation) == ((2, 1), (2, 2))
    assert (conv.first.padding, conv.first.padding_mode) == ((2, 2), "reflect")
    assert (conv.last.stride, conv.last.padding, conv.last.dilation) == ((1, 1), (0, 0), (1, 1))


def test_channel_svd_of_groups_is_two_grouped_convolutions():
    conv = svd.spectrum(nn.Conv2d(8, 12, 3, groups=4, bias=False)).conv(2)
    assert (conv.first.groups, conv.last.groups) == (4, 4)
    assert conv.first.weight.shape == (8, 2, 3, 3)
    assert conv.last.weight.shape == (12, 2, 1, 1)
    assert (conv.first.bias, conv.last.bias) == (None, None)


def test_spatial_svd_divides_the_geometry():
    like = nn.Conv2d(4, 6, (3, 5), stride=(2, 3), padding=(1, 4), dilation=(1, 2))
    conv = svd.spatial_spectrum(like).conv(7)
    assert conv.first.weight.shape == (7, 4, 3, 1)
    assert conv.last.weight.shape == (6, 7, 1, 5)
    assert conv.first.bias is None
    torch.testing.assert_close(conv.last.bias, like.bias)
    assert (conv.first.stride, conv.last.stride) == ((2, 1), (1, 3))
    assert (conv.first.padding, conv.last.padding) == ((1, 0), (0, 4))
    assert (conv.first.dilation, conv.last.dilation) == ((1, 1), (1, 2))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("out", "inputs"), [(5, 9), (9, 5), (1, 4), (4, 1)])
def test_a_linear_layer_becomes_two(bias, out, inputs):
    layer = nn.Linear(inputs, out, bias=bias)
    spectrum, x = svd.spectrum(layer), torch.randn(2, 3, inputs)
    for rank in range(1, spectrum.full + 1):
        two = spectrum.conv(rank)
        assert two.first.weight.shape == (rank, inputs)
        assert two.last.weight.shape == (out, rank)
        assert two.first.bias is None
        assert (two.last.bias is None) is not bias
        dense = two.dense()
        assert type(dense) is nn.Linear
        assert repr(dense) == repr(layer)
        torch.testing.assert_close(dense.weight, spectrum.kernel(rank), atol=1e-6, rtol=0)
        torch.testing.assert_close(dense(x), two(x), atol=1e-5, rtol=0)
        torch.testing.assert_close(dense(x[0, 0]), two(x[0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(two(x), layer(x), atol=1e-5, rtol=0)


def test_a_bare_weight_takes_the_geometry_of_what_it_is_given():
    like = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    images = torch.randn(1, 4, 9, 9)
    for make in (svd.spectrum, svd.spatial_spectrum):
        bare = make(like.weight)
        assert bare.conv(2).last.bias is None
        assert bare.conv(2)(images).shape == (1, 6, 7, 7)
        with torch.no_grad():
            expected = make(like).conv(2)(images)
            torch.testing.assert_close(bare.conv(2, like)(images), expected)


MODULES = {
    "channel": (svd.spectrum, lambda: nn.Conv2d(4, 6, 3, padding=1)),
    "grouped": (svd.spectrum, lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2)),
    "linear": (svd.spectrum, lambda: nn.Linear(5, 6)),
    "spatial": (svd.spatial_spectrum, lambda: nn.Conv2d(4, 6, 3, padding=1)),
}


@pytest.fixture(params=MODULES)
def made(request):
    make, layer = MODULES[request.param]
    return make, layer()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type(made, dtype):
    make, layer = made
    layer = layer.to(dtype)
    spectrum = make(layer)
    rebuilt = spectrum.kernel(2, torch.float64)
    assert spectrum.error(2) == pytest.approx(distance(layer, rebuilt), rel=1e-6, abs=0)
    assert spectrum.kernel(2).dtype == dtype
    two = spectrum.conv(2)
    assert {p.dtype for p in two.parameters()} == {dtype}
    assert {p.dtype for p in two.dense().parameters()} == {dtype}
    coarse = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(two.dense().weight.double(), rebuilt, atol=coarse, rtol=coarse)


def test_no_torch_state_is_changed(made):
    make, layer = made
    weight, before = layer.weight.detach().clone(), torch.get_rng_state()
    torch.set_num_threads(2)
    spectrum = make(layer)
    spectrum.conv(2).dense()
    spectrum.kernel(2)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layer.weight, weight)
    assert layer.weight.requires_grad
    assert layer.weight.grad is None


def test_the_module_shares_nothing_with_the_layer_or_with_another(made):
    make, layer = made
    spectrum = make(layer)
    first, second = spectrum.conv(2), spectrum.conv(2)
    expected = {k: v.clone() for k, v in second.state_dict().items()}
    with torch.no_grad():
        for parameter in [*first.parameters(), *first.dense().parameters()]:
            parameter.zero_()
    assert all(torch.equal(v, expected[k]) for k, v in second.state_dict().items())
    again = spectrum.conv(2).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in again.items())
    assert layer.weight.any()
    assert layer.bias.any()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("family", "choice", "options"),
    [
        ("svd", SVD(3), {"kernel_size": 3, "stride": (2, 1), "padding": (1, 2)}),
        ("svd", SVD(2), {"kernel_size": 3, "groups": 2, "padding": "same"}),
        ("svd", SVD(2), {"kernel_size": 1, "stride": 2}),
        ("svd", SVD(2), None),
        ("spatial", SpatialSVD(5), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2)}),
        ("spatial", SpatialSVD(2), {"kernel_size": (1, 3), "padding_mode": "circular"}),
        ("spatial", SpatialSVD(2), {"kernel_size": 5, "padding": "same", "dilation": 2}),
    ],
)
def test_a_state_dict_fills_an_empty_one(family, choice, options, bias):
    options = None if options is None else {**options, "bias": bias}
    layer = nn.Linear(4, 6, bias=bias) if options is None else nn.Conv2d(4, 6, **options)
    one = FAMILIES[family]
    full = one.build(one.decompose(layer), choice)
    before = torch.get_rng_state()
    empty = one.empty(layer, choice)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(empty) == repr(full)
    empty.load_state_dict(full.state_dict())
    x = torch.randn(2, 4) if options is None else torch.randn(2, 4, 9, 8)
    assert torch.equal(empty(x), full(x))


# -- what cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize("use", ["error", "kernel", "conv"])
@pytest.mark.parametrize("bad", [0, -1, 99, 1.5, True, float("nan"), float("inf"), None, "2"])
def test_ranks_that_cannot_be_used(made, use, bad):
    make, layer = made
    spectrum = make(layer)
    words = rf"rank is .*; expected a whole number from 1 to {spectrum.full}"
    with pytest.raises(BudgetError, match=words):
        getattr(spectrum, use)(bad)


@pytest.mark.parametrize("rank", [2, 2.0, np.int64(2), torch.tensor(2)])
def test_ranks_in_any_whole_form(made, rank):
    make, layer = made
    spectrum = make(layer)
    assert spectrum.error(rank) == spectrum.error(2)
    assert torch.equal(spectrum.kernel(rank), spectrum.kernel(2))
    assert repr(spectrum.conv(rank)) == repr(spectrum.conv(2))


def test_weights_that_cannot_be_used():
    bad = torch.full((2, 2, 3, 3), float("nan"))
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight[0, 0] = float("inf")
    for make in (svd.spectrum, svd.spatial_spectrum):
        for weight, words in [
            (bad, "NaN"),
            (torch.zeros(2, 3), r"shape \(2, 3\)"),
            (torch.zeros(2, 0, 3, 3), "none of them 0"),
            (torch.zeros(2, 2, 3, 3, dtype=torch.int64), "floating-point"),
            ("weight", "cannot factorise a str"),
        ]:
            with pytest.raises(ModelError, match=words):
                make(weight)
    with pytest.raises(ModelError, match="NaN or infinite"):
        svd.spectrum(linear)
    with pytest.raises(ModelError, match="groups=2"):
        svd.spatial_spectrum(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ModelError, match="cannot be split in space; use the channel SVD"):
        svd.spatial_spectrum(nn.Conv2d(4, 4, 1))
