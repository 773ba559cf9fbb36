"""Moments against their definition, on a layer small enough to write it out."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled, DataError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.calibrate import Calibration, attack_key, calibrate
from gdws_explorer.robust.attacks import FGSM


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip


@pytest.fixture
def x():
    return torch.rand(5, 2, 6, 6)


@pytest.mark.parametrize("batch_size", [2, 16])
def test_moments_of_the_inputs(model, x, batch_size):
    found = calibrate(model, x, batch_size=batch_size)["0"]
    columns = patches(model[0], x).double().permute(1, 2, 0, 3).flatten(2)  # (C, K², N·P)
    torch.testing.assert_close(found.patches, columns @ columns.mT / len(x))
    rows = x.double().transpose(0, 1).flatten(1)
    inputs = rows @ rows.T
    scale = found.patches.diagonal(dim1=1, dim2=2).sum() / inputs.trace()
    torch.testing.assert_close(found.inputs, inputs * scale)
    bias = model[0].bias.detach()[:, None, None]
    output = float((model[0](x) - bias).square().sum()) / len(x)
    assert found.output == pytest.approx(output, rel=1e-5)
    assert found.positions == 9


def test_the_energy_of_the_output_is_that_of_the_patches(model, x):
    found = calibrate(model, x)
    weight = model[2].weight.detach().double().flatten(1)
    inputs = found["2"].inputs  # a 1×1 layer: the moment of whole patches
    energy = float((weight @ inputs @ weight.T).trace())
    assert found["2"].output == pytest.approx(energy, rel=1e-5)


def test_weights_are_sensitivity_times_positions(model, x):
    found = calibrate(model, x)
    assert found.weights == {name: m.sensitivity * m.positions for name, m in found.layers.items()}


def test_moments_of_one_with_gradients_of_another(model, x):
    clean, attacked = calibrate(model, x), calibrate(model, x, attack=FGSM(0.1))
    both = clean.weighted_by(attacked)
    assert torch.equal(both["0"].patches, clean["0"].patches)
    assert torch.equal(both["0"].gradients, attacked["0"].gradients)
    assert both.model == clean.model == attacked.model
    assert len({c.fingerprint for c in (both, clean, attacked)}) == 3


def test_a_file_gives_the_same(model, x, tmp_path):
    path, seen = tmp_path / "c.safetensors", []
    first = calibrate(model, x, cache=path, progress=seen.append)
    assert seen[-1] == 1.0
    again = calibrate(model, x, cache=path, progress=seen.clear)
    assert seen  # nothing was computed
    assert again.fingerprint == first.fingerprint
    assert torch.equal(Calibration.load(path)["2"].patches, first["2"].patches)
    assert calibrate(model, x, cache=path, seed=1).settings["seed"] == 1
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="calibrate again"):
        Calibration.load(path)
    assert calibrate(model, x, cache=path).fingerprint == first.fingerprint


def test_what_cannot_be_used(model, x):
    with pytest.raises(DataError, match="margin_floor is 0"):
        calibrate(model, x, margin_floor=0)
    with pytest.raises(DataError, match="no layer 'x'; calibrate"):
        calibrate(model, x)["x"]
    with pytest.raises(Cancelled):
        calibrate(model, x, cancel=lambda: True)


def test_keys_of_attacks():
    assert attack_key(None) is None
    assert attack_key(FGSM(0.1)) == attack_key(FGSM(0.1)) != attack_key(FGSM(0.2))
    assert attack_key("mine") != attack_key("mine")
