"""Replacing layers: every name of a module, and nothing of the original."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import ModelError, PlanError
from gdws_explorer.network.surgery import (
    apply_structure,
    check_same_architecture,
    densify,
    with_layers,
)


class Shared(nn.Module):
    """A module under two names, and in a plain list."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.conv
        self.listed = [self.conv]

    def forward(self, x):
        return self.again(self.conv(x)) + self.listed[0](x)


def test_a_module_is_replaced_under_all_its_names():
    model, asked = Shared(), []
    x = torch.rand(1, 3, 5, 5)
    before = model(x)

    def make(name, module):
        asked.append(name)
        return nn.Identity() if isinstance(module, nn.Conv2d) else None

    made = with_layers(model, make)
    assert asked == ["", "conv"]
    torch.testing.assert_close(made(x), 2 * x)
    torch.testing.assert_close(model(x), before)


def test_the_mode_of_a_replacement_is_that_of_the_module():
    model = nn.Sequential(nn.Conv2d(1, 1, 1)).eval()
    made = with_layers(model, lambda n, m: nn.Dropout() if n else None)
    assert not made[0].training


def test_densify_rebuilds_every_factorised_layer(net, images):
    choices = {
        "layer1.0.conv1": gx.GDWS(20), "layer1.0.conv2": gx.Tucker2(3, 4), "fc": gx.SVD(2),
        "layer2.0.conv1": gx.SpatialSVD(5), "layer2.0.conv2": gx.SVD(6),
    }  # fmt: skip
    built = net.build(net.plan(choices)).eval()
    dense = densify(built)
    torch.testing.assert_close(dense(images), built(images), rtol=1e-4, atol=1e-4)
    assert {type(m) for m in dense.modules()} == {type(m) for m in net.model.modules()}
    check_same_architecture(dense, net.model)


def test_another_architecture_is_named(net):
    with pytest.raises(ModelError, match=r"fc.weight is missing in the model and \(5, 12\)"):
        check_same_architecture(nn.Sequential(), nn.ModuleDict({"fc": nn.Linear(12, 5)}))
    with pytest.raises(ModelError, match="in the network; expected this network, trained further"):
        check_same_architecture(net.build(net.plan({"fc": gx.SVD(2)})), net.model)


def test_the_structure_of_a_plan_takes_the_state_of_a_built_one(net, resnet, images):
    plan = net.lego(0.3).update({"fc": gx.SVD(2), "layer1.0.conv2": gx.Tucker2(3, 4)})
    built = net.build(plan)
    empty = apply_structure(resnet, plan).eval()
    empty.load_state_dict(built.state_dict())
    torch.testing.assert_close(empty(images), built(images))


def test_a_plan_of_another_model(net, resnet):
    with pytest.raises(PlanError, match="no layer 'conv1'; expected the network the plan was made"):
        apply_structure(nn.Sequential(), net.plan())
    resnet.fc = nn.Identity()
    with pytest.raises(PlanError, match=r"fc is a Identity; the plan expects an nn.Conv2d"):
        apply_structure(resnet, net.plan({"fc": gx.SVD(2)}))
    resnet.fc = nn.Linear(12, 5)
    with pytest.raises(PlanError, match="fc cannot become GDWS G=2: a linear layer"):
        apply_structure(resnet, net.plan().replace("fc", gx.GDWS(2)))
