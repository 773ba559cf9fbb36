"""Every form of a factorised layer has equal outputs."""

import pytest
import torch
from torch import nn

from gdws_explorer.factorize.equal_forms import FORMS, padded, with_selection, without_gather
from gdws_explorer.factorize.gdws import GDWSConv2d, spectrum
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d, SVDLinear
from gdws_explorer.factorize.tucker import Tucker2Conv2d

CONV = nn.Conv2d(6, 10, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
PLAIN = nn.Conv2d(6, 10, 3, padding=1, padding_mode="circular", bias=False)
LAYERS = {
    "gdws": GDWSConv2d.from_conv(CONV, 13),
    "gdws without a kernel in some channels": GDWSConv2d.from_conv(PLAIN, 3),
    "tucker2": Tucker2Conv2d.from_conv(CONV, 5, 3),
    "svd": SVDConv2d.from_conv(PLAIN, 7),
    "spatial": SpatialSVDConv2d.from_conv(CONV, 9),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_equal(name, form):
    module, x = LAYERS[name], torch.randn(2, 6, 9, 11)
    made = FORMS[form](module, 4)
    if made is None:
        assert form in {"1×1 selection", "without gather"}
        return
    torch.testing.assert_close(made(x), module(x), atol=1e-5, rtol=1e-4)


def test_inner_channels_become_multiples():
    assert len(padded(LAYERS["gdws"], 8).index) == 16
    assert with_selection(LAYERS["gdws"], 8)[1].groups == 16
    assert padded(LAYERS["svd"], 8).first.out_channels == 8
    assert padded(LAYERS["spatial"], 4).first.out_channels == 12
    tucker = padded(LAYERS["tucker2"], 4).core
    assert (tucker.in_channels, tucker.out_channels) == (4, 8)


def test_nothing_is_added_where_it_is_a_multiple_already():
    for name, step in {"gdws": 13, "svd": 7, "spatial": 9}.items():
        assert padded(LAYERS[name], step) is None
    assert padded(Tucker2Conv2d.from_conv(CONV, 4, 4), 4) is None


def test_layers_without_a_form():
    grouped = SVDConv2d.from_conv(nn.Conv2d(6, 10, 3, groups=2), 2)
    linear = SVDLinear.from_linear(nn.Linear(6, 10), 3)
    for module in (grouped, linear, nn.Conv2d(6, 10, 3)):
        assert padded(module, 4) is None
        assert with_selection(module, 4) is None
        assert without_gather(module, 4) is None


def test_a_gather_is_needed_where_a_channel_has_two_kernels():
    found = spectrum(CONV)
    once, twice = torch.tensor([1, 0, 1, 1, 0, 1]), torch.tensor([2, 0, 1, 1, 0, 1])
    assert without_gather(found.conv(twice), 4) is None
    made = without_gather(found.conv(once), 4)
    assert made[0].groups == made[1].in_channels == 6
    assert int((made[0].weight.abs().sum((1, 2, 3)) > 0).sum()) == 4


def test_the_layer_itself_stays():
    module = LAYERS["gdws"]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for form in FORMS.values():
        form(module, 8)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
