"""Tensors in a fingerprint, everywhere in the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Digest:
    """A SHA-256 that takes text and named tensors.

    begin : text, hashed first.
    """

    def __init__(self, begin: str = "") -> None:
        self._hash = hashlib.sha256(begin.encode())

    def text(self, text: str) -> None:
        """Add text."""
        self._hash.update(text.encode())

    def tensors(self, named: Mapping[str, object] | Iterable[tuple[str, object]]) -> Digest:
        """Add tensors by name, type, shape and values; what is no tensor is left out."""
        for name, tensor in named.items() if isinstance(named, Mapping) else named:
            if isinstance(tensor, Tensor):
                self.text(f"{name}{tensor.dtype}{tuple(tensor.shape)}")
                flat = tensor.detach().cpu().contiguous().reshape(-1)
                self._hash.update(flat.view(torch.uint8).numpy().data)
        return self

    @property
    def hex(self) -> str:
        """64 hex digits."""
        return self._hash.hexdigest()
