"""The panel "Bring your own", without a browser."""

import threading

import numpy as np
import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.widgets.panels.custom_model_panel import (
    CUSTOM,
    FILE,
    FOLDER,
    NAMED,
    VARIABLES,
    CustomModelPanel,
)


@pytest.fixture
def explorer():
    made = gx.explore("digits")
    yield made
    made.close()


@pytest.fixture
def panel(explorer, bench, monkeypatch):
    """The panel, opened in the explorer, with variables as a notebook has them."""
    explorer.panel_bar.open("Bring your own")
    opened = explorer.panel_bar.opened
    x, y = bench.data
    opened._variables = {"mine": bench.model, "x": x, "y": y, "pair": (x, y), "text": "no"}
    return opened


def _looked(panel):
    panel._look.click()
    panel._session.jobs.wait(120)
    return panel


def test_variables_of_the_notebook_are_explored(panel, explorer, bench):
    panel._network._name.value = "mine"
    panel._images._source.value = VARIABLES
    panel._images._x.value, panel._images._y.value = "x", "y"
    panel._images._n.value = 100
    assert panel._open.disabled
    _looked(panel)
    assert "7 of them can be approximated" in panel._said.value
    assert not panel._open.disabled
    panel._eps.value = "0.15"
    panel._open.click()
    own = explorer.custom
    assert own is not None
    assert own.session.measurements.attack == gx.PGD(0.15)
    assert own.session.measurements.n == 100
    assert own.network.fingerprint == explorer.network.fingerprint
    assert own.session.views.images is not None
    assert explorer.children[1] is own
    explorer.children[0].children[0].click()
    assert explorer.custom is None
    assert explorer.children[-1] is explorer.export_bar.box


def test_files(panel, bench, tmp_path, explorer):
    np.savez(tmp_path / "images.npz", x=bench.data[0].numpy(), y=bench.data[1].numpy())
    torch.save(bench.model.state_dict(), tmp_path / "net.pt")
    panel._variables["empty"] = type(bench.model)()
    panel._network._name.value = "empty"
    chooser = panel._network._weights
    chooser.reset(path=str(tmp_path), filename="net.pt")
    chooser._apply_selection()
    panel._images._source.value = FILE
    panel._images._file.reset(path=str(tmp_path), filename="images.npz")
    panel._images._file._apply_selection()
    panel._images._n.value = 60
    _looked(panel)
    assert "of the first 100 images correct" in panel._said.value
    assert "Careful" not in panel._said.value


@pytest.mark.slow
def test_errors_are_said_where_they_are_seen(panel):
    panel._look.click()
    assert "name the network" in panel._said.value
    panel._network._name.value = "cifar:resnet19"
    panel._look.click()
    assert "choose an .npz file" in panel._said.value
    panel._images._source.value = VARIABLES
    panel._images._x.value = "z"
    panel._look.click()
    assert "no variable &#x27;z&#x27;" in panel._said.value
    panel._images._x.value = "pair"
    _looked(panel)
    assert "Cannot do that" in panel._said.value
    assert "did you mean cifar:resnet18" in panel._said.value
    assert panel._open.disabled
    panel._images._x.value = "z"
    panel._look.click()
    assert "no variable &#x27;z&#x27;" in panel._said.value, "not the error before"


def test_only_the_fields_that_count_are_there(panel):
    images, network = panel._images, panel._network
    for source, first in ((FILE, images._file), (FOLDER, images._folder), (NAMED, images._name)):
        images._source.value = source
        assert images._middle.children[0] is first
    assert network._mean.layout.display == "none"
    network._norm.value = CUSTOM
    assert network._mean.layout.display is None
    network._mean.value, network._std.value = "0.5", "0.25"
    assert network.given["normalisation"] == ((0.5,), (0.25,))


def test_looking_can_be_cancelled(panel):
    panel._network._name.value = "mine"
    panel._images._source.value = VARIABLES
    panel._images._x.value = "pair"
    free = threading.Event()
    panel._session.jobs.submit("busy", lambda progress, cancelled: free.wait(60))
    panel._look.click()
    assert panel._look.disabled
    assert not panel._working.cancel.disabled
    panel._working.cancel.click()
    free.set()
    panel._session.jobs.wait(60)
    assert panel._working.job.status == "cancelled"
    assert not panel._look.disabled
    assert panel._open.disabled


def test_the_notebooks_own_variables_without_a_notebook():
    explorer = gx.explore("digits")
    assert CustomModelPanel(explorer.session)._known() == {}
    explorer.close()
