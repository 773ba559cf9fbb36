"""The state_dict of a model, whose entries need not all be tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gdws_explorer.errors import ModelError


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Returns the tensors of a model's state_dict.

    Left out are other entries, such as `_extra_state` and packed quantised weights.
    """
    return {name: each for name, each in model.state_dict().items() if isinstance(each, Tensor)}


def is_extra(name: str) -> bool:
    """Whether a key of a state_dict is that of `get_extra_state`, whose value may be anything."""
    return name.split(".")[-1] == "_extra_state"


def storable(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of a state_dict, and its other entries as JSON, `{}` without any.

    Raises ModelError, which names the entry, for one that JSON does not give back as it was.
    """
    tensors = {name: each for name, each in state.items() if isinstance(each, Tensor)}
    others = {name: each for name, each in state.items() if name not in tensors}
    for name, value in others.items():
        try:
            same = json.loads(json.dumps(value)) == value
        except (TypeError, ValueError):
            same = False
        if not same:
            raise ModelError(
                f"{name} is a {type(value).__name__} that no file of weights can hold; expected a "
                "tensor, or numbers, text, lists and dicts of these, from get_extra_state."
            )
    return tensors, json.dumps(others)
