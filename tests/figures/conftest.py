"""What several figures draw: the digits network and its layer-wise sensitivity."""

import pytest

import gdws_explorer as gx
from gdws_explorer.network.network import Network
from gdws_explorer.study import layerwise
from gdws_explorer.study.measurements import Measurements


@pytest.fixture(scope="package")
def network(bench):
    return Network(bench.model, bench.example).prepare()


@pytest.fixture(scope="package")
def curves(network, bench):
    """The error and the accuracy of every layer alone, at two budgets."""
    made = Measurements(network, bench.data, gx.PGD(0.15, steps=2))
    made.change(made.attack, 30)
    return layerwise.measure(made, network, layerwise.steps(network, shares=[0.5, 0.15]))
