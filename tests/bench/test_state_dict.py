"""Weights load into a model although wrappers have changed the keys."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gdws_explorer.bench.state_dict import load_matching, normalize_keys
from gdws_explorer.errors import ModelError
from gdws_explorer.robust.normalized import Normalized


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


@pytest.fixture
def state():
    torch.manual_seed(1)
    return network().state_dict()


def same(model: nn.Module, state) -> bool:
    return all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "net.inner."])
def test_prefixes_of_wrappers_are_ignored(state, prefix):
    model = load_matching(network(), {prefix + name: v for name, v in state.items()}, "the file")
    assert same(model, state)
    assert not model.training


def test_the_model_may_be_wrapped_itself(state):
    model = load_matching(nn.DataParallel(network()), state, "the file")
    assert same(model.module, state)


def test_the_counter_of_batchnorm_may_be_missing(state):
    fewer = {name: v for name, v in state.items() if not name.endswith("num_batches_tracked")}
    assert same(load_matching(network(), fewer, "the file"), fewer)


def test_keys_are_normalized():
    tensor = torch.zeros(1)
    keys = normalize_keys({"module._orig_mod.a": tensor, "module.b": tensor, "n_averaged": tensor})
    assert set(keys) == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("3.bias"), r"1 missing in the file: 3\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 not in the model: extra"),
        (lambda s: s.update({"3.weight": torch.zeros(4, 2)}), r"of another shape: 3\.weight \(4×2"),
    ],
)
def test_what_does_not_fit_is_named_and_the_model_is_not_changed(state, change, says):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = dict(state)
    change(state)
    with pytest.raises(ModelError, match=says):
        load_matching(model, state, "the file")
    assert same(model, before)


def test_a_normalisation_in_the_file_must_be_the_models(state):
    inside = {**{f"1.{n}": v for n, v in state.items()}, "0.mean": torch.tensor([0.5])}
    model = load_matching(Normalized(network(), (0.5,), (0.2,)), inside, "the file")
    assert same(model.model, state)
    with pytest.raises(ModelError, match="normalises with mean"):
        load_matching(Normalized(network(), (0.4,), (0.2,)), inside, "the file")
