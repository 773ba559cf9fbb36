"""A network trained further stands beside what it was: same fingerprint, plans that say so."""

import copy

import pytest
import torch

from gdws_explorer.bundle.export_folder import export, restore
from gdws_explorer.errors import ModelError, PlanError
from gdws_explorer.network.plans.choices import GDWS, SVD, SpatialSVD, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.network_views import NetworkViews

CHOICES = {
    "layer1.0.conv1": Tucker2(3, 4),
    "layer1.0.conv2": GDWS(13),
    "layer2.0.conv1": SpatialSVD(5),
    "layer2.0.downsample.0": SVD(3),
    "fc": SVD(2),
}


@pytest.fixture
def moved(net):
    """A compressed network whose numbers are no longer those of `build`."""
    built = net.build(net.plan(CHOICES))
    with torch.no_grad():
        for tensor in built.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
    return built


def test_the_plan_it_was_trained_at_loses_nothing(net, moved, images):
    view = net.trained(moved)
    plan = view.plan(CHOICES)
    summary = view.summary(plan)
    assert summary.relative_error < 1e-10
    assert summary.params == sum(p.numel() for p in moved.parameters())
    again = view.build(plan)
    with torch.no_grad():
        torch.testing.assert_close(again(images), moved(images), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(net.build(net.plan(CHOICES))(images), moved(images), atol=0.01)


def test_its_plans_stand_beside_the_networks_own(net, moved):
    view = net.trained(moved)
    plan = view.plan(CHOICES)
    assert plan.fingerprint == net.fingerprint
    assert plan.trained
    assert not plan.refitted
    assert plan.hash != net.plan(CHOICES).hash
    assert str(plan).startswith("trained: layer1.0.conv1 Tucker-2 3×4")
    assert str(view.plan()) == "trained: all layers dense"
    assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(PlanError, match=r"factors were trained.*net\.trained"):
        net.build(plan)
    with pytest.raises(PlanError, match="calibrated, refitted or trained"):
        view.build(net.plan(CHOICES))


def test_other_numbers_are_another_source(net, moved, images):
    view, twin = net.trained(moved), net.trained(copy.deepcopy(moved))
    assert view.label == twin.label
    with torch.no_grad():
        moved.fc.last.bias[0] += 1
    assert net.trained(moved).label != view.label
    x = torch.rand(4, 3, 8, 8)
    labels = {n.refitted(x).label for n in (net, view, net.trained(moved))}
    assert len(labels) == 3
    assert view.trained(moved).label == net.trained(moved).label


def test_alpha_of_a_trained_network_is_its_own(net, moved):
    x = torch.rand(4, 3, 8, 8)
    before = net.alpha(x, n=None)
    assert not torch.equal(net.trained(moved).alpha(x, n=None)["conv1"], before["conv1"])


def test_no_table_of_the_untrained_network_is_read(net, moved, tmp_path):
    net.prepare(cache=tmp_path)
    kept = sorted(tmp_path.iterdir())
    view = net.trained(moved).prepare(cache=tmp_path)
    assert view.error("layer1.0.conv1", Tucker2(3, 4)) < 1e-9
    assert sorted(tmp_path.iterdir()) == kept


def test_the_network_itself_stays_as_it_is(net, moved, images):
    before = net.build(net.plan(CHOICES))(images)
    net.trained(moved)
    assert net.label is None
    assert torch.equal(net.build(net.plan(CHOICES))(images), before)


def test_an_export_brings_it_back(net, moved, resnet, tmp_path):
    view = net.trained(moved)
    plan = view.plan(CHOICES)
    folder = export(moved, plan, tmp_path / "out", onnx=False, summary=view.summary(plan))
    again = net.trained(restore(folder, resnet))
    assert again.plan(dict(Plan.load(folder / "plan.json"))) == plan
    assert "of the trained kernel" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_explorers_sources_take_it(net, moved):
    sources = NetworkViews(net, None)
    view = net.trained(moved)
    plan = view.plan(CHOICES)
    assert not sources.knows(plan)
    with pytest.raises(PlanError, match=r"were trained .* not here"):
        sources.of(plan)
    sources.add(view)
    assert sources.of(plan) is view
    assert sources.kind(plan) == "trained"
    with pytest.raises(PlanError, match="not this one"):
        sources.add(net)


def test_another_architecture_is_refused(net, resnet):
    resnet.fc = torch.nn.Linear(12, 6)
    with pytest.raises(ModelError, match=r"fc\.weight is \(6, 12\) in the model and \(5, 12\)"):
        net.trained(resnet)
    del resnet.fc
    with pytest.raises(ModelError, match=r"fc\.weight is missing"):
        net.trained(resnet)
