"""Fingerprints of tensors and text, computed everywhere in the same way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gdws_explorer.utils.tensors import tensors_of


class Digest:
    """A SHA-256 of text and named tensors.

    begin : text that is hashed first.
    """

    def __init__(self, begin: str = "") -> None:
        self._hash = hashlib.sha256(begin.encode())

    def text(self, text: str) -> None:
        """Adds text."""
        self._hash.update(text.encode())

    def tensors(self, named: Mapping[str, object] | Iterable[tuple[str, object]]) -> Digest:
        """Adds tensors by name, type, shape and values; other objects are left out."""
        for name, tensor in named.items() if isinstance(named, Mapping) else named:
            if isinstance(tensor, Tensor):
                self.text(f"{name}{tensor.dtype}{tuple(tensor.shape)}")
                plain = tensor.dequantize() if tensor.is_quantized else tensor
                flat = plain.detach().cpu().contiguous().reshape(-1)
                self._hash.update(flat.view(torch.uint8).numpy().data)
        return self

    def state(self, model: nn.Module, *, all_buffers: bool = True) -> Digest:
        """Adds a model's state_dict: its tensors, then what other entries hold.

        all_buffers : also those that the state_dict leaves out.
        """
        state = model.state_dict()
        self.tensors({**state, **dict(model.named_buffers())} if all_buffers else state)
        for name, value in state.items():
            if not isinstance(value, Tensor):
                self.text(f"{name}{json.dumps(value, skipkeys=True, default=lambda _: '')}")
                self.tensors((name, tensor) for tensor in tensors_of(value))
        return self

    @property
    def hex(self) -> str:
        """The hash as 64 hexadecimal digits."""
        return self._hash.hexdigest()
