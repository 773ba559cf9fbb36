"""Sessions of the bundled digits."""

import pytest

from gdws_explorer.network.network import Network
from gdws_explorer.session.session import Session
from gdws_explorer.study.measurements import Measurements


@pytest.fixture(scope="session")
def digits_network(bench):
    return Network(bench.model, bench.example).prepare()


@pytest.fixture
def digits_session(digits_network, bench):
    measured = Measurements(digits_network, bench.data, bench.attack, bench.records)
    made = Session.of(digits_network, measured, title="digits", bench="digits")
    yield made
    made.close()
