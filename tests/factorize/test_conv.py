"""A factorised layer is the dense layer with the rebuilt kernel: every family, every geometry."""

import pytest
import torch
from torch import nn

from gdws_explorer.factorize import gdws, svd, tucker

GEOMETRIES = {
    "3×3": {"kernel_size": 3},
    "1×3": {"kernel_size": (1, 3), "padding": (0, 1)},
    "3×1": {"kernel_size": (3, 1), "stride": (2, 1)},
    "2×2, even": {"kernel_size": 2, "padding": 1},
    "5×5, stride 2": {"kernel_size": 5, "stride": 2, "padding": 2},
    "4×2, even, stride by axis": {"kernel_size": (4, 2), "stride": (2, 1), "padding": (2, 1)},
    "7×7, stride 2": {"kernel_size": 7, "stride": 2, "padding": 3},
    "1×1": {"kernel_size": 1, "stride": 2},
    "same": {"kernel_size": 3, "padding": "same"},
    "same, dilated": {"kernel_size": 3, "padding": "same", "dilation": 2},
    "same, even": {"kernel_size": (2, 4), "padding": "same"},
    "valid": {"kernel_size": 3, "padding": "valid"},
    "padding by axis": {"kernel_size": 3, "padding": (2, 0)},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "dilated by axis": {"kernel_size": 3, "padding": (1, 3), "dilation": (1, 3), "stride": (2, 1)},
    "reflect": {"kernel_size": 3, "padding": 2, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 5, "padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    "circular in one axis": {"kernel_size": 3, "padding": (0, 2), "padding_mode": "circular"},
    "replicate, stride by axis": {
        "kernel_size": (3, 4),
        "padding": (1, 2),
        "padding_mode": "replicate",
        "stride": (1, 2),
        "dilation": (2, 1),
    },
    "reflect, same": {"kernel_size": 3, "padding": "same", "padding_mode": "reflect"},
    "no bias": {"kernel_size": 3, "padding": 1, "bias": False},
    "more kernel than outputs": {"kernel_size": 5, "out_channels": 3},
    "one channel": {"kernel_size": 3, "in_channels": 1},
    "one output": {"kernel_size": 3, "out_channels": 1},
}


def gdws_layers(conv):
    spectrum = gdws.spectrum(conv)
    counts = spectrum.mego(max(1, spectrum.full // 3))
    full = torch.full((conv.in_channels,), spectrum.energy.shape[1])
    yield spectrum.conv(counts), spectrum.kernel(counts)
    yield spectrum.conv(full), conv.weight


def tucker_layers(conv):
    spectrum = tucker.spectrum(conv)
    half = (max(1, conv.out_channels // 2), max(1, conv.in_channels // 2))
    yield spectrum.conv(*half), spectrum.kernel(*half)
    yield spectrum.conv(*spectrum.full), conv.weight
    yield spectrum.conv(conv.out_channels, conv.in_channels), conv.weight


def svd_layers(layer):
    spectrum = svd.spectrum(layer)
    for rank in sorted({1, (spectrum.full + 1) // 2}):
        yield spectrum.conv(rank), spectrum.kernel(rank)
    yield spectrum.conv(spectrum.full), layer.weight


def spatial_layers(conv):
    spectrum = svd.spatial_spectrum(conv)
    for rank in sorted({1, (spectrum.full + 1) // 2}):
        yield spectrum.conv(rank), spectrum.kernel(rank)
    yield spectrum.conv(spectrum.full), conv.weight


FAMILIES = {
    "gdws": gdws_layers,
    "tucker2": tucker_layers,
    "svd": svd_layers,
    "spatial": spatial_layers,
}
# What only the channel SVD takes, group by group.
GROUPED = {
    "2 groups": {"kernel_size": 3, "groups": 2, "padding": 1},
    "2 groups, 1×1, stride 2": {"kernel_size": 1, "groups": 2, "stride": 2},
    "3 groups, stride by axis": {"kernel_size": 3, "groups": 3, "stride": (2, 1), "padding": 2},
    "2 groups, same, dilated": {"kernel_size": 5, "groups": 2, "padding": "same", "dilation": 2},
    "2 groups, circular": {
        "kernel_size": (2, 3),
        "groups": 2,
        "padding": (1, 2),
        "padding_mode": "circular",
    },
    "2 groups, no bias": {"kernel_size": 3, "groups": 2, "bias": False},
    "depthwise": {"kernel_size": 3, "groups": 6, "out_channels": 6, "padding": 1},
    "depthwise, multiplier": {"kernel_size": 3, "groups": 6, "out_channels": 24, "padding": 1},
    "depthwise, multiplier, reflect": {
        "kernel_size": 5,
        "groups": 6,
        "out_channels": 18,
        "padding": 2,
        "padding_mode": "reflect",
        "stride": 2,
    },
}
KINDS = {
    **{(f, g): GEOMETRIES[g] for f in FAMILIES for g in GEOMETRIES if (f, g) != ("spatial", "1×1")},
    **{("svd", g): {"in_channels": 6, "out_channels": 12, **o} for g, o in GROUPED.items()},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("family", "geometry"), KINDS)
def test_factorised_is_dense_with_the_rebuilt_kernel(family, geometry):
    options = {"in_channels": 5, "out_channels": 8, **KINDS[family, geometry]}
    conv = nn.Conv2d(**options).eval()
    images = torch.randn(2, conv.in_channels, 11, 12)
    for layer, kernel in FAMILIES[family](conv):
        rebuilt = nn.Conv2d(**options)
        rebuilt.load_state_dict({**conv.state_dict(), "weight": kernel})
        with torch.no_grad():
            expected = rebuilt(images)
            torch.testing.assert_close(layer(images), expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(layer(images[0]), expected[0], atol=1e-5, rtol=0)
            dense = layer.dense()
            assert type(dense) is nn.Conv2d
            assert repr(dense) == repr(conv)
            torch.testing.assert_close(dense.weight, kernel, atol=1e-5, rtol=0)
            torch.testing.assert_close(dense(images), expected, atol=1e-5, rtol=0)


TRAINABLE = [
    *((f, lambda: nn.Conv2d(3, 4, 3, padding=1)) for f in FAMILIES),
    ("svd", lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3)),
    ("svd", lambda: nn.Linear(6, 4)),
]


@pytest.mark.parametrize(("family", "make"), TRAINABLE)
def test_a_factorised_layer_that_was_trained_or_cast_still_equals_its_dense(family, make):
    """`dense` reads the layer's own weights, not the spectrum's."""
    for layer, _ in FAMILIES[family](make()):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(torch.randn_like(parameter))
        layer = layer.double()
        images = torch.randn(1, 3, 6, 6, dtype=torch.float64)
        torch.testing.assert_close(layer.dense()(images), layer(images))
