"""One dense copy that shows plan after plan."""

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.errors import PlanError
from gdws_explorer.network.dense_view import DenseView
from gdws_explorer.network.surgery import densify


@pytest.fixture(scope="module")
def net(bench):
    return gx.Network(bench.model, bench.example)


def close(net, plan, shown, x):
    with torch.no_grad():
        wanted = densify(net.build(plan))(x)
        torch.testing.assert_close(shown(x), wanted, rtol=1e-4, atol=1e-4)


def test_every_family_and_the_way_back(net, bench):
    x, before = bench.data[0][:20], net.model(bench.data[0][:20])
    rebuilt = DenseView(net)
    mixed = net.plan(
        {
            "conv2": gx.GDWS(40),
            "conv3": gx.Tucker2(20, 12),
            "conv4": gx.SVD(17),
            "conv5": gx.SpatialSVD(30),
            "fc": gx.SVD(4),
        }
    )
    for plan in (mixed, net.budget(macs=0.4), mixed.replace("conv4", gx.Dense()), net.plan()):
        close(net, plan, rebuilt.show(net, plan), x)
    assert torch.equal(rebuilt.show(net, net.plan())(x), before)
    assert torch.equal(net.model(x), before)


def test_only_changed_kernels_are_computed(net):
    rebuilt = DenseView(net)
    plan = net.budget(macs=0.4)
    weights = {n: rebuilt.show(net, plan).get_submodule(n).weight for n in net.names}
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
    rebuilt.show(net, plan.replace("conv4", gx.GDWS(70)))
    assert [name for name, weight in weights.items() if weight.any()] == ["conv4"]


def test_plans_of_several_views(net, bench):
    x = bench.train_data[0][:48]
    data = net.calibrated(net.calibrate(x, n=None))
    refit = net.refitted(x)
    rebuilt = DenseView(net)
    for view in (net, data, net, refit, data):
        plan = view.budget(macs=0.4)
        close(view, plan, rebuilt.show(view, plan), x)


def test_a_plan_of_something_else_is_refused(net):
    rebuilt = DenseView(net)
    plain = gx.load("digits-plain")
    other = gx.Network(plain.model, plain.example)
    with pytest.raises(PlanError, match="another network"):
        rebuilt.show(net, other.plan())
    with pytest.raises(PlanError, match="another network"):
        rebuilt.show(other, other.plan())
