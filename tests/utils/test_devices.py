"""Devices: what MPS lacks is asked of the CPU, and what the user has is found again as it was.

There is no MPS here. torch's fake tensors stand in for it: they have its name, types and shapes
but no numbers, and a mode refuses what MPS refuses, float64.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import gdws_explorer as gx
from gdws_explorer.errors import ModelError
from gdws_explorer.network.calibration import calibrate, refit
from gdws_explorer.network.calibration.margins import LayerActivations
from gdws_explorer.utils.devices import cast_like, out_of_memory, resolve_device, to_float64
from gdws_explorer.utils.rng import exclusive_rng


class NoDouble(TorchDispatchMode):
    """What Metal says to float64."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            double = isinstance(each, torch.Tensor) and each.dtype == torch.float64
            if double and each.device.type == "mps":
                raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype ({func})")
        return out


@pytest.fixture
def mps():
    with FakeTensorMode(), NoDouble():
        yield torch.device("mps")


def test_the_stand_in_refuses_what_mps_refuses(mps):
    with pytest.raises(TypeError, match="float64"):
        torch.empty(3, device=mps).double()
    with pytest.raises(TypeError, match="float64"):
        torch.empty(3, device=mps).new_zeros(3, dtype=torch.float64)


def test_double_precision_is_the_cpus_where_mps_has_none(mps):
    x = torch.empty(3, device=mps)
    assert (to_float64(x).dtype, to_float64(x).device.type) == (torch.float64, "cpu")
    assert to_float64(torch.empty(3)).device.type == "cpu"
    back = cast_like(x, to_float64(x))
    assert (back.dtype, back.device.type) == (torch.float32, "mps")


def conv2d(device, kernel):
    """A convolution 4 → 6 whose weights are no numbers: there is no generator to draw them."""
    conv = nn.Conv2d(4, 6, kernel, padding=kernel // 2)
    conv.weight = nn.Parameter(torch.empty(6, 4, kernel, kernel, device=device))
    conv.bias = nn.Parameter(torch.empty(6, device=device))
    return conv.requires_grad_(False)


def seen(device):
    conv = conv2d(device, 3)
    x, g = torch.empty(5, 4, 8, 8, device=device), torch.empty(5, 6, 8, 8, device=device)
    return LayerActivations(conv, [x], [g], [[g, g]])


def test_calibration_sums_without_double_precision(mps, monkeypatch):
    sums = {}
    # Fakes of an absent device cannot be indexed, as unfolding does.
    unfolded = torch.empty(5, 4, 9, 64, device=mps)
    monkeypatch.setattr(calibrate, "patches", lambda _module, _x: unfolded)
    calibrate._add(sums, "conv", seen(mps), inputs_too=True)
    assert {(part.dtype, part.device.type) for part in sums["conv"]} == {(torch.float64, "cpu")}


def test_refit_sums_without_double_precision(mps):
    features, outputs = torch.empty(5, 4, 9, device=mps), torch.empty(5, 6, 9, device=mps)
    equations = refit._Equations.zero(4, outputs)
    equations.add(features, outputs, differences=False)
    inner, cross = equations.centred(True)
    assert (
        (inner.dtype, inner.device.type)
        == (cross.dtype, cross.device.type)
        == (torch.float64, "cpu")
    )


def test_decompositions_are_made_on_the_cpu(mps):
    weight = torch.empty(6, 4, 3, 3, device=mps)
    spectrum = gx.tucker.Tucker2Spectrum(
        weight, torch.empty(6, 6).double(), torch.empty(4, 4).double(), np.zeros((6, 4)), 1.0
    )
    assert spectrum._core(3, 2).shape == (3, 2, 3, 3)


def test_a_model_in_double_precision_is_refused_on_mps(mps):
    assert resolve_device(mps, nn.Linear(2, 2)).type == "mps"
    with pytest.raises(ModelError, match=r"float64 numbers, which MPS does not have"):
        resolve_device(mps, nn.Linear(2, 2, dtype=torch.float64))
    with pytest.raises(ModelError, match="'tpu' cannot be used"):
        resolve_device("tpu", nn.Linear(2, 2))


def test_the_generators_of_mps_are_put_back_too(monkeypatch):
    states = [torch.tensor([1, 2])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    before = torch.get_rng_state()
    with exclusive_rng(torch.device("mps")):
        torch.rand(3)
    assert len(states) == 2
    assert states[0] is states[1]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (
            RuntimeError(
                "MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB, max"
                " allowed: 6.80 GB). Tried to allocate 768.00 MB on private pool."
            ),
            True,
        ),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate"
                " memory: you tried to allocate 400000000000 bytes. Error code 12"
            ),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory(error, found):
    assert out_of_memory(error) == found


def test_a_real_allocation_that_cannot_be(monkeypatch):
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert out_of_memory(caught.value)


def test_learning_takes_a_device_and_images_come_along():
    bench = gx.load("digits")
    net, x = gx.Network(bench.model, bench.example), bench.train_data[0][:24]
    plain, named = net.calibrate(x, n=None), net.calibrate(x.double(), n=None, device="cpu")
    for name, moments in plain.layers.items():
        assert torch.equal(moments.patches, named.layers[name].patches)
    one, other = net.alpha(x[:6]), net.alpha(x[:6].double(), device="cpu")
    for name, weights in one.items():
        assert torch.equal(weights, other[name])
        assert weights.dtype == torch.float64
    with pytest.raises(ModelError, match="'tpu' cannot be used"):
        net.calibrate(x, device="tpu")
    with pytest.raises(ModelError, match="'tpu' cannot be used"):
        net.alpha(x, device="tpu")
