import os
import sys
import uuid
from pathlib import Path

import pytest
import torch
from torch import nn

from gdws_explorer.explore.meter import Meter
from gdws_explorer.explore.records import Record
from gdws_explorer.network.choices import GDWS, Dense, Tucker2
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust import FGSM

sys.path.insert(0, str(Path(__file__).parent))  # for postgres.py: there is no package of tests
from postgres import Server, programs

PGD = {"name": "PGD", "eps": 0.15, "steps": 20}


@pytest.fixture
def record():
    """Make a record; every field can be given."""

    def make(G=10, *, fingerprint="f" * 64, n=360, clean=350, robust=320, **changed):
        layers = (("conv2", GDWS(G)), ("conv3", Tucker2(4, 8)), ("conv4", Dense()))
        raw = {
            "plan": Plan(fingerprint, (1, 8, 8), layers),
            "macs": 1000 * G,
            "params": 10 * G,
            "bytes": 40 * G,
            "error": 1 / G,
            "relative_error": 0.1 / G,
            "clean": clean / n,
            "robust": None if robust is None else robust / n,
            "n": n,
            "clean_correct": clean,
            "robust_correct": robust,
            "attack": None if robust is None else PGD,
            "seed": 0,
            "data": "d" * 16,
            "seconds": 0.1 + 0.2,
            "versions": {"torch": "2.13.0"},
            "machine": "Linux x86_64, 2 cores",
            "created": "2026-11-24T12:00:00+00:00",
            "parent": None,
        }
        return Record(**(raw | changed))

    return make


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server for these tests; `make test` installs Debian's package where it can."""
    place = programs()
    if place is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("no PostgreSQL server: install it with `apt-get install postgresql`")
    server = Server(place)
    yield server
    server.remove()


@pytest.fixture
def database(server):
    """The URL of an empty database."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    server.tell(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture(scope="session")
def network():
    """A small network of torch's own modules, which any process can load."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(8 * 16, 4),
    )
    return Network(model, torch.rand(1, 1, 8, 8))


@pytest.fixture(scope="session")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(40, 1, 8, 8, generator=generator), torch.arange(40) % 4


@pytest.fixture
def meter(network, images):
    return Meter((network,), images, FGSM(0.1), 40)


@pytest.fixture
def alike():
    """A record without what differs between two measurements of the same."""
    return lambda one: {**one.to_dict(), "seconds": 0, "created": "", "timings": {}}
