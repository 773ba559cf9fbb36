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
    opened.variables = {"mine": bench.model, "x": x, "y": y, "pair": (x, y), "text": "no"}
    return opened


def _looked(explorer, panel):
    panel.look_button.click()
    explorer.session.jobs.wait(120)
    return panel


def test_variables_of_the_notebook_are_explored(panel, explorer, bench):
    panel.network.name.value = "mine"
    panel.images.source.value = VARIABLES
    panel.images.x.value, panel.images.y.value = "x", "y"
    panel.images.n.value = 100
    assert panel.open_button.disabled
    _looked(explorer, panel)
    assert "7 of them can be approximated" in panel.message.value
    assert not panel.open_button.disabled
    panel.eps.value = "0.15"
    panel.open_button.click()
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
    panel.variables["empty"] = type(bench.model)()
    panel.network.name.value = "empty"
    chooser = panel.network.weights
    chooser.reset(path=str(tmp_path), filename="net.pt")
    chooser._apply_selection()
    panel.images.source.value = FILE
    panel.images.file.reset(path=str(tmp_path), filename="images.npz")
    panel.images.file._apply_selection()
    panel.images.n.value = 60
    _looked(explorer, panel)
    assert "of the first 100 images correct" in panel.message.value
    assert "Careful" not in panel.message.value


@pytest.mark.slow
def test_errors_are_said_where_they_are_seen(panel, explorer):
    panel.look_button.click()
    assert "name the network" in panel.message.value
    panel.network.name.value = "cifar:resnet19"
    panel.look_button.click()
    assert "choose an .npz file" in panel.message.value
    panel.images.source.value = VARIABLES
    panel.images.x.value = "z"
    panel.look_button.click()
    assert "unknown variable &#x27;z&#x27;" in panel.message.value
    panel.images.x.value = "pair"
    _looked(explorer, panel)
    assert "Cannot do that" in panel.message.value
    assert "did you mean cifar:resnet18" in panel.message.value
    assert panel.open_button.disabled
    panel.images.x.value = "z"
    panel.look_button.click()
    assert "unknown variable &#x27;z&#x27;" in panel.message.value, "not the error before"


def test_only_the_fields_that_count_are_there(panel):
    images, network = panel.images, panel.network
    for source, first in ((FILE, images.file), (FOLDER, images.folder), (NAMED, images.name)):
        images.source.value = source
        assert images.fields.children[0] is first
    assert network.mean.layout.display == "none"
    network.normalisation.value = CUSTOM
    assert network.mean.layout.display is None
    network.mean.value, network.std.value = "0.5", "0.25"
    assert network.options["normalisation"] == ((0.5,), (0.25,))


def test_looking_can_be_cancelled(panel, explorer):
    panel.network.name.value = "mine"
    panel.images.source.value = VARIABLES
    panel.images.x.value = "pair"
    free = threading.Event()
    explorer.session.jobs.submit("busy", lambda progress, cancelled: free.wait(60))
    panel.look_button.click()
    assert panel.look_button.disabled
    assert not panel.controls.cancel_button.disabled
    panel.controls.cancel_button.click()
    free.set()
    explorer.session.jobs.wait(60)
    assert panel.controls.job.status == "cancelled"
    assert not panel.look_button.disabled
    assert panel.open_button.disabled


def test_without_a_notebook_there_are_no_variables(explorer):
    panel = CustomModelPanel(explorer.session)
    panel.look_button.click()
    assert "nn.Module (there is none)" in panel.message.value
