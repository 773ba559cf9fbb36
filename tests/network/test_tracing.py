"""What one traced forward pass finds, and that the user's model does not notice."""

import copy
import functools
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from gdws_explorer.errors import DataError, ModelError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, SpatialSVD, Tucker2
from gdws_explorer.network.plans.families import FAMILIES


def model_of(forward, **modules):
    """A module with these parts and this forward."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            for name, module in modules.items():
                setattr(self, name, module)

    Model.forward = forward
    return Model()


def conv(a=3, b=4, **options):
    return nn.Conv2d(a, b, 3, padding=1, **options)


def layer(model, example, name):
    return Network(model, example).layer(name)


# -- what is found -------------------------------------------------------------------------


def test_a_residual_network(net, resnet, images, flops):
    assert [x.name for x in net.layers] == [
        "conv1",
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer2.0.downsample.0",
        "layer2.0.conv1",
        "layer2.0.conv2",
        "fc",
    ]
    assert net.names == tuple(x.name for x in net.layers)
    assert net.skip == {"conv1", "fc"}
    assert net.unused == ()
    strided = net.layer("layer2.0.conv1")
    assert (strided.in_size, strided.out_size) == ((8, 8), (4, 4))
    assert (strided.in_positions, strided.out_positions) == (64, 16)
    assert strided.macs == 12 * 8 * 9 * 16
    assert strided.mid_positions == 4 * 8
    assert strided.families == ("gdws", "tucker2", "svd", "spatial")
    downsample, fc = net.layer("layer2.0.downsample.0"), net.layer("fc")
    assert downsample.families == fc.families == ("svd",)
    assert "1×1" in downsample.reasons["gdws"]
    assert "1×1" in downsample.reasons["tucker2"]
    assert "one column" in downsample.reasons["spatial"]
    assert all("linear" in fc.reasons[one] for one in ("gdws", "tucker2", "spatial"))
    assert (fc.groups, fc.in_positions, fc.mid_positions, fc.out_positions) == (1, 1, 0, 1)
    assert net.layer("fc").macs == 12 * 5
    assert net.macs == sum(x.macs for x in net.layers) == flops(resnet.eval(), images)
    assert net.params == sum(p.numel() for p in resnet.parameters())
    assert net.input_shape == (3, 8, 8)
    assert str(net.layer("layer2.0.conv1")) == "layer2.0.conv1 · 8→12 · 3×3"


def test_a_module_called_twice_counts_twice(images, flops):
    model = model_of(lambda s, x: s.b(F.max_pool2d(s.b(s.a(x)), 2)), a=conv(3, 4), b=conv(4, 4))
    net = Network(model, images)
    b = net.layer("b")
    assert b.calls == 2
    assert b.macs == 4 * 4 * 9 * (64 + 16)
    assert (b.in_size, b.out_positions) == ((8, 8), 80)
    assert b.params == 4 * 4 * 9 + 4
    assert net.macs == flops(model, images)
    for choice in (GDWS(5), Tucker2(2, 3), SVD(3), SpatialSVD(2)):
        plan = net.plan({"b": choice})
        assert net.summary(plan).macs == flops(net.build(plan), images)


def test_a_module_under_two_names_is_one_layer(images, flops):
    twin = conv(4, 4)
    model = nn.Sequential(conv(3, 4), twin, nn.ReLU(), twin)
    net = Network(model, images)
    assert net.names == ("0", "1")
    assert net.layer("1").calls == 2
    plan = net.plan({"1": GDWS(5)})
    built = net.build(plan)
    assert built[1] is built[3]
    assert net.summary(plan).macs == flops(built, images)
    assert net.summary(plan).params == sum(p.numel() for p in built.parameters())


def test_layers_reached_by_an_alias_are_replaced_too(images, flops):
    a, b = conv(3, 4), conv(4, 4)
    model = model_of(lambda s, x: s.parts["b"](s.steps[0](x)), a=a, b=b)
    model.steps, model.parts = [a], {"b": b}  # a list and a dict: no registered names
    net = Network(model, images)
    plan = net.plan({"a": GDWS(3), "b": Tucker2(2, 2)})
    built = net.build(plan)
    assert net.summary(plan).macs == flops(built, images)
    assert not torch.allclose(built(images), model(images), atol=1e-3)


def test_convolutions_never_called_are_listed_and_cannot_be_planned(images):
    model = model_of(lambda s, x: s.a(x), a=conv(), spare=conv(), head=nn.Linear(3, 3))
    net = Network(model, images)
    assert net.names == ("a",)
    assert net.unused == ("spare",)
    assert net.params == sum(p.numel() for p in model.parameters())


def test_a_single_convolution_is_a_network(images):
    net = Network(nn.Conv2d(3, 4, 3), images, skip=())
    assert net.names == ("",)
    plan = net.plan({"": GDWS(2)})
    built = net.build(plan)
    assert net.summary(plan).params == sum(p.numel() for p in built.parameters())
    assert built(images).shape == (2, 4, 6, 6)


def test_a_model_without_approximable_layers(images):
    net = Network(nn.Conv2d(3, 1, 1), images)
    assert net.names == ()
    assert net.budget(macs=1.0) == net.plan() == net.lego(1.0) == net.budget(error=0.5)
    assert net.summary(net.plan()).relative_error == 0
    assert net.prepare() is net


def test_example_folded_into_the_batch_counts_every_position(images, flops):
    """Windows, time steps, crops: the network makes a batch of two from its one example."""

    def forward(self, x):
        x = self.a(x).unflatten(2, (2, 4)).movedim(2, 1).flatten(0, 1)
        return self.b(x)

    net = Network(model_of(forward, a=conv(3, 4), b=conv(4, 4)), images)
    assert net.layer("b").out_positions == 64
    assert net.macs == sum(x.macs for x in net.layers)
    plan = net.plan({"b": GDWS(3)})
    assert net.summary(plan).macs == flops(net.build(plan), images)


def test_kernels_that_are_narrow_in_one_axis_are_no_pointwise_ones(images):
    net = Network(nn.Sequential(nn.Conv2d(3, 4, (3, 1)), nn.Conv2d(4, 4, (1, 3))), images)
    assert net.names == ("0", "1")


def test_input_by_keyword(images):
    net = Network(model_of(lambda s, x: s.a(input=x), a=conv()), images)
    assert net.names == ("a",)


# -- what cannot be approximated, and why --------------------------------------------------


class OwnForward(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


class OwnConvForward(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean(), bias)


class Renamed(nn.Conv2d):
    """Only another name: nothing of its own."""


class RenamedLinear(nn.Linear):
    """Only another name: nothing of its own."""


class OwnLinear(nn.Linear):
    def forward(self, x):
        return super().forward(2 * x)


def linear(a=8, b=8, **options):
    return nn.Linear(a, b, **options)


def hooked(hook, make):
    module = make(*SIZES[make])
    getattr(module, hook)(lambda *_: None)
    return module


def old_weight_norm(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(make(*SIZES[make]))


def pruned(make):
    return prune.l1_unstructured(make(*SIZES[make]), "weight", 0.5)


def patched(make):
    """A forward put on the object itself, as some libraries do; a partial object is copied."""
    module = make(*SIZES[make])
    module.forward = functools.partial(twice, module.forward)
    return module


def twice(forward, x):
    return 2 * forward(x)


SIZES = {conv: (4, 4), linear: (8, 8)}


def left_alone(model, images, flops):
    """That layer "1" of three stays what it is, for every family; its reasons."""
    expected = model(images)
    net = Network(model, images)
    assert net.names == ("0", "2")
    assert net.layer("1").families == ()
    assert net.macs == flops(model, images)
    plan = net.plan({"2": GDWS(4)})
    built, summary = net.build(plan), net.summary(plan)
    assert summary.macs == flops(built, images)
    assert type(built[1]) is type(model[1])
    same = net.build(net.plan())(images)
    torch.testing.assert_close(same, expected)
    for one in FAMILIES:
        with pytest.raises(PlanError, match=f"1 cannot be approximated by {one}: "):
            net.spectrum("1", one)
    return net.layer("1").reasons


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (lambda: nn.ConvTranspose2d(4, 4, 3), "transposed"),
        (lambda: OwnForward(4, 4, 3), "OwnForward has a forward of its own"),
        (lambda: OwnConvForward(4, 4, 3), "OwnConvForward has a forward of its own"),
        (lambda: OwnLinear(8, 8), "OwnLinear has a forward of its own"),
        *(
            case
            for make in (conv, linear)
            for case in [
                (lambda m=make: patched(m), "has a forward of its own"),
                (lambda m=make: parametrizations.weight_norm(m(*SIZES[m])), "remove_parametriz"),
                (lambda m=make: parametrizations.spectral_norm(m(*SIZES[m])), "remove_parametriz"),
                (lambda m=make: old_weight_norm(m), "remove the norm first"),
                (lambda m=make: nn.utils.spectral_norm(m(*SIZES[m])), "remove the norm first"),
                (lambda m=make: pruned(m), "computed"),
                (lambda m=make: hooked("register_forward_hook", m), "hooks.*: remove them first"),
                (lambda m=make: hooked("register_forward_pre_hook", m), "hooks"),
            ]
        ),
    ],
)
def test_why_a_layer_is_left_alone(module, why, images, flops):
    model = nn.Sequential(conv(3, 4), module(), conv(4, 4)).eval()
    reasons = left_alone(model, images, flops)
    assert set(reasons) == set(FAMILIES)
    assert all(re.search(why, reason) for reason in reasons.values())


@pytest.mark.parametrize(
    ("module", "whys"),
    [
        (
            lambda: conv(4, 4, groups=2),
            {"gdws": "groups=2", "tucker2": "groups=2", "spatial": "groups=2"},
        ),
        (
            lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1),
            {"gdws": "groups=4", "tucker2": "groups=4", "spatial": "groups=4", "svd": "rank 1"},
        ),
        (
            lambda: nn.Conv2d(4, 8, 3, groups=4),
            {"gdws": "groups=4", "tucker2": "groups=4", "spatial": "groups=4"},
        ),
        (
            lambda: nn.Conv2d(4, 4, 1),
            {"gdws": "1×1", "tucker2": "1×1", "spatial": "one column wide; its channel SVD is"},
        ),
        (lambda: nn.Conv2d(4, 4, (3, 1)), {"spatial": "one column wide; its channel SVD is"}),
        (lambda: nn.Conv2d(4, 4, (1, 3)), {}),
        (lambda: nn.Conv2d(4, 1, 3), {"svd": "rank 1"}),
        (
            lambda: nn.Linear(8, 8),
            {"gdws": "linear", "tucker2": "linear", "spatial": "linear"},
        ),
        (
            lambda: nn.Linear(8, 1),
            {"gdws": "linear", "tucker2": "linear", "spatial": "linear", "svd": "rank 1"},
        ),
    ],
)
def test_what_each_family_leaves_alone(module, whys, images, flops):
    net = Network(nn.Sequential(conv(3, 4), module()), images)
    layer = net.layer("1")
    assert layer.families == tuple(one for one in FAMILIES if one not in whys)
    assert set(layer.reasons) == set(whys)
    assert all(why in layer.reasons[one] for one, why in whys.items())
    assert net.names == (("0", "1") if layer.families else ("0",))
    for one, family in FAMILIES.items():
        if one in whys:
            with pytest.raises(PlanError, match=f"1 cannot be approximated by {one}: "):
                net.spectrum("1", one)
        else:  # and what it takes it takes
            plan = net.plan({"1": family.choice(*[1] * len(family.ranks))})
            assert net.summary(plan).macs == flops(net.build(plan), images)


def test_depthwise_with_a_multiplier_is_approximated_group_by_group(images, flops):
    net = Network(nn.Sequential(conv(3, 4), nn.Conv2d(4, 12, 3, groups=4)), images)
    assert net.spectrum("1", "svd").full == 3
    plan = net.plan({"1": SVD(2)})
    built = net.build(plan)
    assert (built[1].first.groups, built[1].last.groups) == (4, 4)
    assert net.summary(plan).macs == flops(built, images)
    exact = net.build(net.plan({"1": SVD(3)}))
    torch.testing.assert_close(exact(images), net.model(images), atol=1e-5, rtol=0)


def test_a_subclass_that_changes_nothing_can_be_approximated(images):
    for renamed in (Renamed(4, 4, 3), RenamedLinear(8, 8)):
        net = Network(nn.Sequential(conv(3, 4), renamed), images)
        assert net.names == ("0", "1")
        assert net.layer("1").families == (tuple(FAMILIES) if net.layer("1").in_size else ("svd",))


@pytest.mark.parametrize(("kind", "size"), [(nn.Conv1d, (8,)), (nn.Conv3d, (4, 4, 4))])
def test_other_dimensions_are_counted_and_left_alone(kind, size, flops):
    model, example = nn.Sequential(kind(3, 4, 3), kind(4, 4, 3, stride=2)), torch.randn(1, 3, *size)
    if kind is nn.Conv3d:
        model = nn.Sequential(kind(3, 4, 3), kind(4, 4, 1))
    net = Network(model, example)
    assert net.names == ()
    assert kind.__name__ in net.layer("0").reasons["gdws"]
    assert net.macs == sum(x.macs for x in net.layers) == flops(model, example)


@pytest.mark.parametrize("attribute", ["weight", "bias"])
def test_shared_weights_are_left_alone(attribute, images):
    model = nn.Sequential(conv(3, 4), conv(4, 4), conv(4, 4), conv(4, 4))
    setattr(model[2], attribute, getattr(model[1], attribute))
    net = Network(model, images)
    assert net.names == ("0", "3")
    for name in ("1", "2"):
        reasons = net.layer(name).reasons
        assert set(reasons) == set(FAMILIES)
        assert all("shares its weight" in r and "its own copy" in r for r in reasons.values())


@pytest.mark.parametrize("attribute", ["weight", "bias"])
def test_shared_weights_of_linear_layers_are_left_alone(attribute, images):
    model = nn.Sequential(conv(3, 4), linear(), linear(), linear())
    setattr(model[2], attribute, getattr(model[1], attribute))
    net = Network(model, images)
    assert net.names == ("0", "3")
    assert "shares its weight" in net.layer("2").reasons["svd"]


def test_a_linear_layer_tied_to_an_embedding_is_left_alone(images):
    def forward(self, x):
        return self.head(self.a(x) + self.words(torch.arange(8)))

    model = model_of(forward, a=conv(3, 4), words=nn.Embedding(8, 8), head=linear(bias=False))
    model.head.weight = model.words.weight
    net = Network(model, images)
    assert net.names == ("a",)
    assert "shares its weight" in net.layer("head").reasons["svd"]


@pytest.mark.parametrize(
    "read",
    [
        lambda s, x: F.linear(x, s.b.weight),
        lambda s, x: F.linear(x, weight=s.b.weight),
        lambda s, x: x + s.b.weight.square().mean(),
        lambda s, x: x + s.b.bias,
        lambda s, x: x @ s.b.weight.T,
        lambda s, x: x + s.b.weight.detach().sum(),
        lambda s, x: torch.cat([x, s.b.weight.expand(1, 4, 8, 8)]),
    ],
)
def test_a_layer_whose_weight_is_read_outside_of_it_is_left_alone(read, images):
    """Its replacement has no such weight: the network would not run."""
    model = model_of(lambda s, x: read(s, s.b(s.a(x))), a=conv(3, 4), b=linear())
    net = Network(model, images)
    assert net.names == ("a",)
    assert all("read outside" in why for why in net.layer("b").reasons.values())
    assert net.build(net.plan({"a": SVD(2)}))(images).shape == model(images).shape


def test_a_look_at_a_weight_s_type_or_device_is_no_reading(images):
    def forward(self, x):
        first = next(self.parameters())
        return self.b(self.a(x.to(first.device, first.dtype)) * first.ndim + len(first.shape))

    net = Network(model_of(forward, a=conv(3, 4), b=conv(4, 4)), images)
    assert net.names == ("a", "b")
    assert net.layer("a").families == tuple(FAMILIES)


@pytest.mark.parametrize("need_weights", [True, False])
def test_networks_with_attention_still_run_in_torch_s_fast_path(need_weights, images):
    """nn.TransformerEncoderLayer reads its layers' weights where no gradient is asked for."""

    def forward(self, x):
        x = self.encoder(self.a(x).flatten(2).transpose(1, 2))
        return self.decoder(x, self.attention(x, x, x, need_weights=need_weights)[0])

    model = model_of(
        forward,
        a=conv(3, 8),
        encoder=nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
        decoder=nn.TransformerDecoderLayer(8, 2, dim_feedforward=16, batch_first=True),
    ).eval()
    net = Network(model, images)
    assert net.names == ("a", "decoder.linear1", "decoder.linear2")
    assert "read outside" in net.layer("encoder.linear1").reasons["svd"]
    full = {n: SVD(net.spectrum(n, "svd").full) for n in net.names}
    built = net.build(net.plan(full))
    with torch.inference_mode():
        torch.testing.assert_close(built(images), model(images), atol=1e-4, rtol=0)


def test_a_linear_layer_called_twice_counts_twice(images, flops):
    model = model_of(lambda s, x: s.b(s.b(s.a(x)).mT[..., :3, :]), a=conv(3, 4), b=linear())
    net = Network(model, images)
    b = net.layer("b")
    assert (b.calls, b.in_positions, b.out_positions) == (2, 4 * 8 + 4 * 3, 4 * 8 + 4 * 3)
    plan = net.plan({"b": SVD(3)})
    assert net.summary(plan).macs == flops(net.build(plan), images)
    assert net.summary(plan).params == sum(p.numel() for p in net.build(plan).parameters())


def test_a_linear_layer_without_outputs_is_left_alone(images):
    with pytest.warns(UserWarning, match="zero-element"):
        empty = nn.Linear(8, 0)
    net = Network(nn.Sequential(conv(3, 4), empty), images)
    assert net.names == ("0",)
    assert net.layer("1").macs == 0


def test_the_default_skip_is_the_first_convolution_and_the_classifier(images):
    assert Network(nn.Sequential(conv(3, 4), conv(4, 4)), images).skip == {"0"}
    head = nn.Sequential(conv(3, 4), conv(4, 4), nn.Flatten(), nn.Linear(256, 8), nn.Linear(8, 3))
    net = Network(head, images)
    assert net.skip == {"0", "4"}
    assert "3" in net.names
    assert Network(nn.Sequential(linear(), conv(3, 4)), images).skip == {"1"}
    for spare in (net.budget(macs=0.6), net.budget(error=0.3), net.lego(0.5), net.mego(0.5)):
        assert spare["0"] == spare["4"] == net.plan()["0"]


def test_a_weight_that_the_network_also_uses_itself_is_left_alone(images):
    b = conv(4, 4)
    model = model_of(lambda s, x: F.conv2d(s.b(s.a(x)), s.w), a=conv(3, 4), b=b, w=b.weight)
    assert Network(model, images).names == ("a",)


# -- the total -------------------------------------------------------------------------------


def test_functional_convolutions_are_in_the_total(images, flops):
    model = model_of(
        lambda s, x: F.conv2d(s.a(x), s.w), a=conv(3, 4), w=nn.Parameter(torch.randn(5, 4, 3, 3))
    )
    net = Network(model, images)
    assert [x.name for x in net.layers] == ["a"]
    assert net.macs == net.layer("a").macs + 5 * 4 * 9 * 36 == flops(model, images)
    plan = net.plan({"a": GDWS(2)})
    assert net.summary(plan).macs == flops(net.build(plan), images)


def test_functional_operations_are_counted_in_inference_mode_too(images, flops):
    def forward(self, x):
        x = self.a(x)
        return (
            F.conv2d(x, self.w),
            F.linear(x, self.v),
            x @ self.v,
            torch.einsum("nchw,cd", x, x[0, :, 0]),
        )

    model = model_of(
        forward,
        a=conv(3, 4),
        w=nn.Parameter(torch.randn(5, 4, 3, 3)),
        v=nn.Parameter(torch.randn(8, 8)),
    )
    assert Network(model, images).macs == flops(model, images)
    with torch.inference_mode():
        assert Network(model, images).macs == flops(model, images)


@pytest.mark.slow
def test_tracing_does_not_load_torch_s_compiler():
    """FlopCounterMode would: two seconds before the first slider."""
    code = """
import sys, torch
from gdws_explorer.network.network import Network
Network(torch.nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 5, 5))
assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_attention_is_in_the_total(need_weights, training, images):
    """Its fused kernels would escape torch's flop counter."""

    def forward(self, x):
        x = self.a(x).flatten(2).transpose(1, 2)
        return self.attention(x, x, x, need_weights=need_weights)[0]

    model = model_of(
        forward, a=conv(3, 8), attention=nn.MultiheadAttention(8, 2, batch_first=True)
    ).train(training)
    projections, products = 64 * 8 * 8 * 4, 2 * 64 * 64 * 8
    before = torch.backends.mha.get_fastpath_enabled()
    assert Network(model, images).macs == 64 * 8 * 3 * 9 + projections + products
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_transformer_layer_is_in_the_total(images):
    def forward(self, x):
        return self.encoder(self.a(x).flatten(2).transpose(1, 2))

    encoder = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    model = model_of(forward, a=conv(3, 8), encoder=encoder)
    attention = 64 * 8 * 8 * 4 + 2 * 64 * 64 * 8
    assert Network(model, images).macs == 64 * 8 * 3 * 9 + attention + 2 * 64 * 8 * 16


# -- the user's model never changes --------------------------------------------------------


def everything(model):
    """All that could be changed of a model and of torch's random state."""
    return {
        "state": {k: v.tolist() for k, v in model.state_dict().items()},
        "ids": [id(p) for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "types": [type(m) for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "needs": [p.requires_grad for p in model.parameters()],
        "grads": [p.grad is None or p.grad.tolist() for p in model.parameters()],
        "random": torch.get_rng_state().tolist(),
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def mixed(resnet):
    """Train mode, but with one frozen BatchNorm, one frozen parameter and one gradient."""
    resnet.train()
    resnet.bn1.eval()
    resnet.fc.weight.requires_grad_(False)
    resnet.conv1.weight.grad = torch.ones_like(resnet.conv1.weight)
    return resnet


def test_everything_a_network_does_leaves_the_model_alone(resnet, images):
    model = mixed(resnet)
    before, example = everything(model), images.clone()
    net = Network(model, images)
    assert everything(model) == before
    plan = net.budget(macs=0.7)
    net.summary(plan)
    built = net.build(plan)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
    net.lego(0.1), net.mego(0.5), net.budget(error=0.1), net.budget(params=0.7)
    assert everything(model) == before
    assert torch.equal(images, example)
    assert images.grad is None


def test_a_trace_that_fails_leaves_the_model_alone(resnet):
    model = mixed(resnet)
    before = everything(model)
    with pytest.raises(ModelError):
        Network(model, torch.zeros(1, 5, 8, 8))
    assert everything(model) == before


def test_noise_in_the_forward_pass_does_not_consume_the_random_state(images):
    model = model_of(lambda s, x: F.dropout(s.a(x), training=True), a=conv())
    before = torch.get_rng_state()
    Network(model, images)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_network_does_not_follow_the_model(resnet, images):
    net = Network(resnet, images)
    plan = net.budget(macs=0.7)
    before, summary = net.build(plan)(images), net.summary(plan)
    with torch.no_grad():
        for parameter in resnet.parameters():
            parameter.zero_()
    torch.testing.assert_close(net.build(plan)(images), before)
    assert net.summary(plan) == summary


# -- fingerprint ---------------------------------------------------------------------------


def test_fingerprint_is_the_same_for_the_same_network(resnet, images):
    first = Network(resnet, images).fingerprint
    assert len(first) == 64
    assert int(first, 16) >= 0
    assert Network(resnet.train(), images).fingerprint == first
    assert Network(copy.deepcopy(resnet), torch.zeros(7, 3, 8, 8)).fingerprint == first
    assert Network(resnet.requires_grad_(False), images, skip=()).fingerprint == first
    assert Network(resnet.to(memory_format=torch.channels_last), images).fingerprint == first


def test_fingerprint_changes_with_every_weight_and_buffer(resnet, images):
    resnet.register_buffer("mean", torch.zeros(3), persistent=False)
    seen = {Network(resnet, images).fingerprint}
    tensors = [*resnet.parameters(), *resnet.buffers()]
    for tensor in tensors:
        with torch.no_grad():
            flat = tensor.view(-1)
            flat[-1] = torch.nextafter(flat[-1], flat[-1] + 1) if flat.is_floating_point() else 7
        seen.add(Network(resnet, images).fingerprint)
    assert len(seen) == 1 + len(tensors)


def test_fingerprint_changes_with_input_size_type_and_geometry(images):
    seen = [
        Network(nn.Sequential(nn.Conv2d(3, 4, 3, **options)).to(dtype), example).fingerprint
        for options, dtype, example in [
            ({}, torch.float32, images),
            ({}, torch.float32, torch.randn(1, 3, 9, 8)),
            ({}, torch.float64, images),
            ({"stride": 2}, torch.float32, images),
            ({"padding": 1}, torch.float32, images),
        ]
        if torch.manual_seed(0)
    ]
    assert len(set(seen)) == 5


# -- types, and what is refused --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_floating_types(dtype, resnet, images):
    net = Network(resnet.to(dtype), images)
    assert net.example.dtype == dtype
    plan = net.plan({"layer1.0.conv1": GDWS(9), "layer2.0.conv2": Tucker2(3, 4)})
    built, summary = net.build(plan), net.summary(plan)
    assert {p.dtype for p in built.parameters()} == {dtype}
    tensors = [*built.parameters(), *built.buffers()]
    assert summary.bytes == sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("bad", [{}, None, "model.pt", nn.Conv2d, lambda x: x])
def test_not_a_module(bad, images):
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
        Network(bad, images)


def test_no_convolution(images):
    with pytest.raises(ModelError, match="Linear has no convolution"):
        Network(nn.Linear(8, 8), images)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value, resnet, images):
    with torch.no_grad():
        resnet.layer2[0].conv1.weight[0, 0, 0, 0] = value
    with pytest.raises(ModelError, match=r"layer2\.0\.conv1\.weight holds NaN or infinite"):
        Network(resnet, images)


@pytest.mark.parametrize(
    ("example", "error"),
    [
        (torch.zeros(1, 5, 8, 8), ModelError),
        (torch.zeros(3, 8, 8), ModelError),
        (torch.zeros(8), DataError),
        (torch.zeros(0, 3, 8, 8), DataError),
        (torch.tensor(1.0), DataError),
        (np.zeros((1, 3, 8, 8)), DataError),
        (None, DataError),
    ],
)
def test_examples_that_do_not_fit(example, error, resnet):
    with pytest.raises(error, match="example") as caught:
        Network(resnet, example)
    assert "\n" not in str(caught.value)


def test_an_uninitialised_lazy_module_is_refused(images):
    with pytest.raises(ModelError, match="lazy"):
        Network(nn.Sequential(nn.LazyConv2d(4, 3)), images)


def test_a_model_that_cannot_be_copied(images):
    model = conv()
    model.lock = (i for i in range(3))  # a generator
    with pytest.raises(ModelError, match="cannot be copied"):
        Network(model, images)
