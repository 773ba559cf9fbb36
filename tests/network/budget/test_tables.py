"""Spectra and tables: what they hold, and what they compute once."""

import numpy as np
import pytest

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.tables import ALLOCATORS, MEASURES, LayerTables, Spectra
from gdws_explorer.network.plans.choices import GDWS, Dense
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FAMILIES

LAYER = "layer1.0.conv1"


@pytest.fixture
def spectra(net):
    return Spectra(net.model, {layer.name: layer for layer in net.layers})


@pytest.fixture
def tables(net, spectra):
    return LayerTables(spectra, tuple(net.layer(name) for name in net.names))


def test_a_spectrum_is_computed_once(spectra):
    assert spectra.get(LAYER, "svd") is spectra.get(LAYER, "svd")
    with pytest.raises(PlanError, match="unknown family 'cp'"):
        spectra.get(LAYER, "cp")


def test_a_family_that_the_layer_has_not(spectra):
    with pytest.raises(PlanError, match=r"layer2.0.downsample.0 cannot be approximated by gdws"):
        spectra.get("layer2.0.downsample.0", "gdws")


def test_errors_are_those_of_the_kernel(net, spectra):
    weight = net.model.get_submodule(LAYER).weight
    assert spectra.error(LAYER, Dense()) == 0
    assert spectra.energy(LAYER) == pytest.approx(float(weight.double().square().sum()))
    for family, method in FAMILIES.items():
        spectrum = spectra.get(LAYER, family)
        choice = method.choice(*(2 for _ in method.ranks))
        kernel = method.kernel(spectrum, choice)
        error = float((kernel - weight).double().square().sum())
        assert spectra.error(LAYER, choice) == pytest.approx(error, rel=1e-4)
        assert spectra.scale(LAYER, family) == 1
    with pytest.raises(BudgetError, match=f"{LAYER}: G is 1000"):
        spectra.error(LAYER, GDWS(1000))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_table_holds_what_nothing_beats(net, tables, measure):
    layer = net.layer(LAYER)
    table = tables[measure].table(layer, tuple(FAMILIES), dense=True)
    assert table is tables[measure].table(layer, tuple(FAMILIES), dense=True)
    assert (np.diff(table.cost) > 0).all()
    assert (np.diff(table.error) < 0).all()
    for place in range(0, len(table.cost), 7):
        choice = table.choice(place)
        assert getattr(cost(layer, choice), measure) == table.cost[place]
        assert net.error(LAYER, choice) == pytest.approx(float(table.error[place]), abs=1e-12)
    assert table.choice(len(table.cost) - 1) == Dense() or table.error[-1] == 0


def test_tables_of_nothing(net, tables):
    pointwise = net.layer("layer2.0.downsample.0")
    with pytest.raises(PlanError, match="cannot be approximated by gdws or tucker2"):
        tables["macs"].table(pointwise, ("gdws", "tucker2"))
    assert tables["macs"].table(pointwise, ("gdws",), dense=True).choice(0) == Dense()
    with pytest.raises(BudgetError, match="unknown measure 'bytes'; expected one of macs, params"):
        tables["bytes"]


def test_milliseconds_need_measured_times(net, tables):
    assert tables.latencies is None
    assert tables["ms"].unexplained == 0
    with pytest.raises(BudgetError, match="no measured times"):
        tables["ms"].choices(net.layer(LAYER), "gdws")


def test_allocators_are_kept_up_to_a_number(net, tables):
    macs = tables["macs"]
    first = macs.allocator(("gdws",), {})
    assert macs.allocator(("gdws",), {}) is first
    for G in range(1, 2 * ALLOCATORS):
        macs.allocator(("gdws",), {LAYER: GDWS(G)})
        assert macs.stored_allocators <= ALLOCATORS


def test_parts_are_those_of_the_choices(net, tables):
    layer = net.layer(LAYER)
    assert not tables["macs"].available(layer, "gdws")
    parts = tables.parts([(layer, "gdws")])
    assert tables["macs"].available(layer, "gdws")
    assert list(parts) == [f"{LAYER}/gdws/macs", f"{LAYER}/gdws/params"]
    choices = tables["macs"].choices(layer, "gdws")
    assert (parts[f"{LAYER}/gdws/macs"]["cost"].numpy() == choices.cost).all()
