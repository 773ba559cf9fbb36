"""Every family in the same way: its tables, costs and layers agree."""

import numpy as np
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FACTORISED, FAMILIES, family_name, family_names

EVERY = list(FAMILIES.values())


@pytest.fixture
def conv():
    return nn.Conv2d(5, 6, 3, padding=1)


@pytest.fixture
def layer(conv):
    net = gx.Network(nn.Sequential(conv, nn.ReLU()), torch.zeros(1, 5, 8, 8))
    return net.layer("0")


@pytest.mark.parametrize("family", EVERY, ids=lambda family: family.name)
def test_table_error_kernel_and_layer_agree(family, conv, layer):
    spectrum, x = family.decompose(conv), torch.randn(2, 5, 8, 8)
    ranks, errors = family.table(spectrum)
    assert tuple(ranks.max(0)) == family.most(spectrum)
    assert errors.min() == pytest.approx(0, abs=1e-9)
    assert family.total_energy(spectrum) == pytest.approx(float(conv.weight.square().sum()))
    costs = family.cost(layer, *ranks.T)
    for place in np.linspace(0, len(ranks) - 1, 6).astype(int):
        choice = family.choice(*map(int, ranks[place]))
        assert family.error(spectrum, choice) == pytest.approx(errors[place], abs=1e-12)
        made, kernel = family.build(spectrum, choice), family.kernel(spectrum, choice)
        lost = float((kernel - conv.weight).double().square().sum())
        assert lost == pytest.approx(errors[place], rel=1e-3, abs=1e-9)
        torch.testing.assert_close(made.dense().weight, kernel, rtol=1e-4, atol=1e-5)
        empty = family.empty(conv, choice)
        assert {n: t.shape for n, t in empty.state_dict().items()} == {
            n: t.shape for n, t in made.state_dict().items()
        }
        assert isinstance(made, FACTORISED)
        assert made(x).shape == conv(x).shape
        assert costs.params[place] == sum(p.numel() for p in made.parameters())
        assert costs.params[place] == cost(layer, choice).params
    with pytest.raises(BudgetError):
        family.error(spectrum, family.choice(*(10**6 for _ in family.ranks)))


@pytest.mark.parametrize("family", EVERY, ids=lambda family: family.name)
def test_a_spectrum_from_its_parts_is_the_same(family, conv):
    spectrum = family.decompose(conv)
    parts = family.parts(spectrum)
    if parts:
        same = family.of_parts(conv, parts)
        np.testing.assert_array_equal(family.table(same)[1], family.table(spectrum)[1])
        choice = family.choice(*(2 for _ in family.ranks))
        torch.testing.assert_close(family.kernel(same, choice), family.kernel(spectrum, choice))


def test_layers_that_a_family_cannot_approximate(conv):
    linear, grouped = nn.Linear(4, 4), nn.Conv2d(4, 4, 3, groups=2)
    assert all(family.why_not(conv) is None for family in EVERY)
    assert [f.name for f in EVERY if f.why_not(linear) is None] == ["svd"]
    assert [f.name for f in EVERY if f.why_not(grouped) is None] == ["svd"]
    assert [f.name for f in EVERY if f.why_no_data(conv) is None] == ["gdws", "tucker2", "svd"]


def test_names_of_families():
    assert [family_name(f) for f in (gx.GDWS, gx.Tucker2, gx.SVD, gx.SpatialSVD)] == list(FAMILIES)
    assert all(family_name(name) == name for name in FAMILIES)
    assert family_name("spatial_svd") == "spatial"
    assert family_names(None) == tuple(FAMILIES)
    assert family_names({"svd"}) == ("svd",)
    assert family_names([gx.SVD, "svd"]) == ("svd",)
    assert family_names([]) == ()


@pytest.mark.parametrize("wrong", ["cp", "dense", "", gx.Dense, gx.SVD(3), int, None, 3])
def test_unknown_families(wrong):
    with pytest.raises(PlanError, match=r"unknown family .* expected one of gdws, tucker2, svd"):
        family_name(wrong)
    with pytest.raises(BudgetError, match="unknown family"):
        family_names([wrong], BudgetError)


@pytest.mark.parametrize("wrong", ["gdws", gx.GDWS, 3])
def test_what_is_not_a_collection_of_families(wrong):
    with pytest.raises(PlanError, match="expected a collection of families"):
        family_names(wrong)


def test_names_and_classes_are_accepted_by_a_network(layer):
    model = nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1))
    net = gx.Network(model, torch.zeros(1, 5, 8, 8))
    assert net.spectrum("1", gx.SpatialSVD) is net.spectrum("1", "spatial_svd")
    assert net.spectrum("1", "spatial") is net.spectrum("1", "spatial_svd")
    assert net.table("1", [gx.SVD, "gdws"]) is net.table("1", ["svd", gx.GDWS])
    named = net.budget(macs=0.6, families=["tucker2", "spatial"])
    assert net.budget(macs=0.6, families=(gx.Tucker2, "spatial_svd")) == named
    assert net.optimum(macs=0.6, families=[gx.Tucker2, gx.SpatialSVD]).plan == named
    assert net.least(families=[gx.SVD]) == net.least(families=["svd"])
