import os
import sys
import uuid
from pathlib import Path

import pytest

# For postgres.py: there is no package of tests.
sys.path.insert(0, str(Path(__file__).parent / "storage"))
from postgres import Server, programs


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
