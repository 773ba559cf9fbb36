import pytest

from gdws_explorer.errors import PlanError
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense
from gdws_explorer.network.plans.layer import LayerSet


@pytest.fixture
def layers(net):
    return LayerSet(net.layers, net.names, frozenset(["conv1"]))


def test_a_layer_without_a_family(net):
    layer = net.layer("layer1.0.conv1")
    assert layer.families == ("gdws", "tucker2", "svd", "spatial")
    assert not layer.reasons
    fewer = layer.without({"gdws": "for a test", "cp": "not here anyway"})
    assert fewer.families == ("tucker2", "svd", "spatial")
    assert fewer.reasons["gdws"] == "for a test"
    assert layer.families[0] == "gdws"
    assert str(fewer) == str(layer) == "layer1.0.conv1 · 8→8 · 3×3"


def test_families_and_reasons_are_the_two_halves(net):
    for layer in net.layers:
        assert sorted((*layer.families, *layer.reasons)) == ["gdws", "spatial", "svd", "tucker2"]


def test_layers_by_name(net, layers):
    assert layers.layer("fc") is net.layer("fc")
    assert tuple(layer.name for layer in layers.approximable) == net.names
    with pytest.raises(PlanError, match="no layer 'x'; it has conv1"):
        layers.layer("x")
    with pytest.raises(PlanError, match="expected a collection of layer names"):
        layers.check_names("conv1")


def test_fixed_choices(layers):
    assert layers.fixed_choices() == {"conv1": Dense()}
    assert layers.fixed_choices(skip=()) == {}
    assert layers.fixed_choices(["fc"]) == {"fc": Dense()}
    assert layers.fixed_choices(None, {"conv1": GDWS(5)}) == {"conv1": GDWS(5)}
    both = layers.fixed_choices(["fc"], {"conv1": SVD(2)})
    assert both == {"fc": Dense(), "conv1": SVD(2)}
    with pytest.raises(PlanError, match="no layer 'x'"):
        layers.fixed_choices(["x"])
    with pytest.raises(PlanError, match="no layer 'x'"):
        layers.fixed_choices(None, {"x": SVD(2)})


def test_a_layer_that_can_only_stay_dense(net):
    few = LayerSet(net.layers, ("conv1",), frozenset())
    with pytest.raises(PlanError, match="fc cannot be fixed: it can only stay dense"):
        few.fixed_choices(None, {"fc": SVD(2)})
