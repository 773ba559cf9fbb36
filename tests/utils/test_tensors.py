"""Tensors in nested arguments and results."""

from collections import OrderedDict

import pytest
import torch

from gdws_explorer.utils.tensors import tensors_of

A, B, C = torch.ones(1), torch.ones(2), torch.ones(3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (A, [A]),
        (None, []),
        ([A, [B, (C,)]], [A, B, C]),
        ({"a": A, "b": {"c": C}}, [A, C]),
        (OrderedDict(logits=B, loss=None), [B]),
        (("text", 3, {1, 2}), []),
    ],
)
def test_tensors_are_found_in_their_order(given, found):
    assert [id(t) for t in tensors_of(given)] == [id(t) for t in found]
