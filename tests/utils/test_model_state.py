"""Entries of a state_dict, tensors and others."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.model_state import is_extra, state_tensors, storable


class Extra(nn.Linear):
    """A layer with an extra state."""

    def __init__(self, extra):
        super().__init__(2, 2)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def test_tensors_of_a_state():
    assert list(state_tensors(nn.Sequential(Extra({"a": 1})))) == ["0.weight", "0.bias"]
    assert list(state_tensors(Extra(torch.ones(1)))) == ["weight", "bias", "_extra_state"]
    assert is_extra("0._extra_state")
    assert not is_extra("0.my_extra_state")


def test_entries_that_are_no_tensors_become_json():
    tensors, others = storable(Extra({"a": [1, "b", None]}).state_dict())
    assert list(tensors) == ["weight", "bias"]
    assert others == '{"_extra_state": {"a": [1, "b", null]}}'
    assert storable(nn.Linear(2, 2).state_dict())[1] == "{}"


@pytest.mark.parametrize("extra", [{1: 2}, (1, 2), {"a": {1}}, {"a": torch.ones(2)}, b"1"])
def test_entries_that_json_would_change_are_named(extra):
    with pytest.raises(ModelError, match="_extra_state is a"):
        storable(Extra(extra).state_dict())
