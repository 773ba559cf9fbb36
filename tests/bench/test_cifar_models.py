"""Key names are compared with those of published code and checkpoints, named at each list."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gdws_explorer.bench import cifar_models
from gdws_explorer.bench.model_registry import CIFAR
from gdws_explorer.bench.state_dict import load_matching
from gdws_explorer.errors import ModelError
from gdws_explorer.network.network import Network

# kuangliu/pytorch-cifar models/resnet.py; the shortcuts and the last layer as the error in
# Ytchen981/CSA issue 2 lists them, the rest as in Bai-YT/AdaptiveSmoothing issue 6.
RESNET18 = """
conv1.weight bn1.weight bn1.bias bn1.running_mean bn1.running_var layer1.0.conv1.weight
layer1.0.bn1.weight layer1.0.conv2.weight layer1.0.bn2.running_var layer1.1.conv1.weight
layer2.0.shortcut.0.weight layer2.0.shortcut.1.weight layer2.0.shortcut.1.bias
layer2.0.shortcut.1.running_mean layer2.0.shortcut.1.running_var layer2.1.bn1.bias
layer3.0.shortcut.0.weight layer3.0.shortcut.1.weight layer4.0.shortcut.0.weight
layer4.0.shortcut.1.running_var layer4.1.conv2.weight linear.weight linear.bias
"""
# kuangliu/pytorch-cifar models/resnet.py, Bottleneck; RobustBench's Engstrom2019Robustness.
RESNET50 = """
conv1.weight bn1.weight layer1.0.conv3.weight layer1.0.bn3.running_mean
layer1.0.shortcut.0.weight layer1.0.shortcut.1.running_var layer3.5.conv2.weight
layer4.0.shortcut.0.weight layer4.2.bn3.bias linear.weight linear.bias
"""
# kuangliu/pytorch-cifar models/preact_resnet.py and robustbench model_zoo/architectures/resnet.py.
PREACT = """
conv1.weight layer1.0.bn1.weight layer1.0.bn1.bias layer1.0.conv1.weight layer1.0.bn2.weight
layer1.0.conv2.weight layer1.1.conv2.weight layer2.0.shortcut.0.weight layer2.1.bn1.weight
layer3.0.shortcut.0.weight layer4.0.shortcut.0.weight layer4.1.bn2.running_mean
layer4.1.conv2.weight linear.weight linear.bias
"""
# kuangliu/pytorch-cifar models/vgg.py: convolutions with bias, one linear layer.
VGG16 = """
features.0.weight features.0.bias features.1.running_mean features.3.weight features.7.weight
features.10.weight features.14.weight features.17.weight features.20.weight features.24.weight
features.27.weight features.30.weight features.34.weight features.37.weight features.40.weight
features.40.bias features.41.running_var classifier.weight classifier.bias
"""
# hsndbk4/GDWS archs/vgg_hydra.py, from inspire-group/hydra.
VGG16_HYDRA = """
features.0.weight features.1.bias features.24.weight features.40.weight features.41.weight
classifier.0.weight classifier.0.bias classifier.2.weight classifier.4.weight classifier.4.bias
"""
# yaodongyu/TRADES models/wideresnet.py and robustbench model_zoo/architectures/wide_resnet.py;
# LayneH/self-adaptive-training issue 5 lists them behind `module.`.
WRN = """
conv1.weight block1.layer.0.bn1.weight block1.layer.0.bn1.bias block1.layer.0.bn1.running_mean
block1.layer.0.conv1.weight block1.layer.0.bn2.running_var block1.layer.0.conv2.weight
block1.layer.0.convShortcut.weight block1.layer.3.conv2.weight block2.layer.0.bn1.weight
block2.layer.0.convShortcut.weight block2.layer.3.conv1.weight block3.layer.0.convShortcut.weight
block3.layer.2.bn2.bias block3.layer.3.conv2.weight bn1.weight bn1.bias bn1.running_mean
bn1.running_var fc.weight fc.bias
"""

# name: keys, how many tensors without BatchNorm's counters, convolutions, parameters of 10 classes
PUBLISHED = {
    "resnet18": (RESNET18, 102, 20, 11_173_962),
    "resnet50": (RESNET50, 267, 53, 23_520_842),
    "preactresnet18": (PREACT, 86, 20, 11_171_146),
    "preactresnet18-bn": (PREACT + " bn.weight bn.bias bn.running_mean", 90, 20, 11_172_170),
    "preactresnet18-early": (PREACT, 86, 20, 11_171_146),
    "vgg16": (VGG16, 80, 13, 14_728_266),
    "vgg16-hydra": (VGG16_HYDRA, 71, 13, 15_311_818),
    "wrn-28-4": (WRN, 130, 28, 5_849_050),
    "wrn-28-10": (WRN, 130, 28, 36_479_194),
    "wrn-34-10": (WRN + " block3.layer.4.conv2.weight", 160, 34, 46_160_474),
}


@pytest.fixture(scope="module", params=PUBLISHED)
def built(request):
    with torch.device("meta"):
        return request.param, CIFAR[request.param](10)


def test_every_builder_is_compared():
    assert set(PUBLISHED) == set(CIFAR)


def test_names_are_the_published_ones(built):
    name, model = built
    keys, count, _, _ = PUBLISHED[name]
    own = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert set(keys.split()) <= set(own)
    # Nothing else: every name differs from a listed one by its numbers and its last part only.
    plain = {re.sub(r"\d+", "#", key.rpartition(".")[0]) for key in keys.split()}
    assert {re.sub(r"\d+", "#", key.rpartition(".")[0]) for key in own} <= plain
    assert len(own) == count


def test_parameters_and_convolutions(built):
    name, model = built
    _, _, convolutions, parameters = PUBLISHED[name]
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    shortcuts = [each for each in found if each.kernel_size == (1, 1) and "50" not in name]
    assert len(found) == convolutions
    assert len(shortcuts) == (0 if "vgg" in name or "50" in name else 3)
    assert sum(each.numel() for each in model.parameters()) == parameters


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n not in ("wrn-28-10", "wrn-34-10")])
def test_forward_shapes(name):
    model = CIFAR[name](7).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
        if name != "vgg16-hydra":  # it begins with a fixed number of positions
            assert model(torch.rand(1, 3, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize("make", [cifar_models.resnet18, cifar_models.preactresnet18])
def test_narrow_networks_have_the_same_names_and_a_sixteenth_of_the_weights(make):
    wide, narrow = make(), make(width=16)
    assert list(wide.state_dict()) == list(narrow.state_dict())
    assert narrow.layer4[1].conv2.weight.shape == (128, 128, 3, 3)
    ratio = wide.layer4[1].conv2.weight.numel() / narrow.layer4[1].conv2.weight.numel()
    assert ratio == 16
    assert narrow.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("width", [0, 1.5, True])
def test_widths_that_do_not_exist(width):
    with pytest.raises(ModelError, match=f"width is {width}; expected a whole number"):
        cifar_models.preactresnet18(width=width)


def test_macs():
    """Counted by hand: 0.56 G for ResNet-18, 0.31 G for VGG-16 at 32×32."""
    example = torch.rand(1, 3, 32, 32)
    assert Network(CIFAR["resnet18"](10), example).macs == 555_422_720
    assert Network(CIFAR["vgg16"](10), example).macs == 313_201_664


def randomised(model):
    with torch.no_grad():
        for key, values in model.state_dict().items():
            if values.is_floating_point():
                values.copy_(torch.rand_like(values) * 0.1 + ("var" in key))
    return model.eval()


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_preact_computes_what_the_published_code_does(early, last):
    """The forward pass of kuangliu's preact_resnet.py, and RobustBench's two variants, by name."""
    model = randomised(cifar_models.preactresnet18(last=last, early=early))
    w = model.state_dict()

    def bn(x, name):
        parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    x = torch.rand(2, 3, 32, 32)
    out = F.conv2d(x, w["conv1.weight"], padding=1)
    for layer in range(1, 5):
        for i in range(2):
            name, stride = f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1
            inner, short = bn(out, f"{name}.bn1"), out
            if f"{name}.shortcut.0.weight" in w:
                taken = out if early else inner
                short = F.conv2d(taken, w[f"{name}.shortcut.0.weight"], stride=stride)
            inner = F.conv2d(inner, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = F.conv2d(bn(inner, f"{name}.bn2"), w[f"{name}.conv2.weight"], padding=1)
            out = inner + short
    out = F.avg_pool2d(bn(out, "bn") if last else out, 4).flatten(1)
    with torch.inference_mode():
        wanted = F.linear(out, w["linear.weight"], w["linear.bias"])
        assert torch.allclose(model(x), wanted, rtol=1e-4)


def test_wide_resnet_computes_what_the_published_code_does():
    """The forward pass of TRADES's wideresnet.py, by name."""
    model = randomised(cifar_models.wide_resnet(10, 2))
    w = model.state_dict()

    def bn(x, name):
        parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    x = torch.rand(2, 3, 32, 32)
    out = F.conv2d(x, w["conv1.weight"], padding=1)
    for block, stride in ((1, 1), (2, 2), (3, 2)):
        name = f"block{block}.layer.0"
        first = bn(out, f"{name}.bn1")
        inner = F.conv2d(first, w[f"{name}.conv1.weight"], stride=stride, padding=1)
        inner = F.conv2d(bn(inner, f"{name}.bn2"), w[f"{name}.conv2.weight"], padding=1)
        out = inner + F.conv2d(first, w[f"{name}.convShortcut.weight"], stride=stride)
    out = F.avg_pool2d(bn(out, "bn1"), 8).flatten(1)
    with torch.inference_mode():
        assert torch.allclose(model(x), F.linear(out, w["fc.weight"], w["fc.bias"]), rtol=1e-4)


def test_files_of_trades_hold_a_block_that_is_never_called():
    """yaodongyu/TRADES issue 16; the names as in LayneH/self-adaptive-training issue 8."""
    source = randomised(cifar_models.wide_resnet(10, 1))
    state = dict(source.state_dict())
    unused = {key.replace("block1", "sub_block1"): v for key, v in state.items() if "block1" in key}
    assert "sub_block1.layer.0.bn1.num_batches_tracked" in unused
    published = {f"module.{key}": value for key, value in {**state, **unused}.items()}
    model = load_matching(cifar_models.wide_resnet(10, 1), published, "trades.pt")
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(x), source(x))


def test_a_variant_does_not_take_anothers_weights():
    with torch.device("meta"):
        plain, last = cifar_models.preactresnet18(), cifar_models.preactresnet18(last=True)
        hydra, vgg = cifar_models.vgg16(hydra=True), cifar_models.vgg16()
    with pytest.raises(ModelError, match=r"4 not in the model: bn.weight"):
        load_matching(plain, last.state_dict(), "a.pt")
    with pytest.raises(ModelError, match=r"4 missing in the file: bn.weight"):
        load_matching(last, plain.state_dict(), "a.pt")
    with pytest.raises(ModelError, match=r"missing in the file: features.0.bias"):
        load_matching(vgg, hydra.state_dict(), "a.pt")


@pytest.mark.parametrize("depth", [4, 12, 29])
def test_wide_resnets_that_do_not_exist(depth):
    with pytest.raises(ModelError, match=r"expected 6 n \+ 4"):
        cifar_models.wide_resnet(depth, 1)
