"""Bars of every layer's MACs."""

from gdws_explorer.figures import layer_costs, theme
from gdws_explorer.network.plans.choices import GDWS


def test_the_bars_are_the_summary(network):
    plan = network.budget(macs=0.5)
    data = layer_costs.info(network, plan)
    layers = network.summary(plan).layers
    assert data.names == list(layers)
    assert data.macs == [layer.macs for layer in layers.values()]
    assert data.dense_macs == [layer.dense_macs for layer in layers.values()]
    chosen, dense = layer_costs.figure(data).data
    assert (list(chosen.y), list(dense.y)) == (data.macs, data.dense_macs)
    assert chosen.marker.color == tuple(theme.FAMILY_COLOURS[each] for each in data.families)


def test_a_layer_that_costs_more_than_dense_is_hatched(network):
    most = network.gdws("conv2").energy.size
    data = layer_costs.info(network, network.plan({"conv2": GDWS(most)}))
    chosen = layer_costs.figure(data).data[0]
    larger = [macs > dense for macs, dense in zip(data.macs, data.dense_macs, strict=True)]
    assert [name for name, each in zip(data.names, larger, strict=True) if each] == ["conv2"]
    assert chosen.marker.pattern.shape == tuple("/" if each else "" for each in larger)
