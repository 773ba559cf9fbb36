import os
import warnings

import pytest

from gdws_explorer.bench.torchvision_import import torchvision

# No test may fetch anything, whatever it does wrong.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def vision():
    """torchvision, or a skip."""
    pytest.importorskip("PIL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return torchvision()
        except ValueError as error:
            pytest.skip(str(error))


@pytest.fixture
def offline(monkeypatch):
    """Every attempt to reach the network fails, and is counted."""
    import socket

    tries = []

    def refuse(*args, **_):
        tries.append(args)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tries


@pytest.fixture
def shared(root):
    """The real data and weights beside the checkout, or a skip."""
    folder = root.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    return folder
