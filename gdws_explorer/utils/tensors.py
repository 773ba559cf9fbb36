"""Tensors inside nested arguments and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor


def tensors_of(given: object) -> Iterator[Tensor]:
    """Yields the tensors in an object, in lists, tuples and mappings too, in their order.

    >>> import torch
    >>> [len(t) for t in tensors_of({"a": torch.ones(2), "b": [torch.ones(3), None]})]
    [2, 3]
    """
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        for each in given.values():
            yield from tensors_of(each)
    elif isinstance(given, tuple | list):
        for each in given:
            yield from tensors_of(each)
