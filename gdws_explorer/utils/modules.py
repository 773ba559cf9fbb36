"""Copies of models, and changes to a model that end with a block."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.rng import exclusive_rng


def own_copy(model: object, *, trainable: bool = False) -> nn.Module:
    """Returns a deep copy of a model; the user's model stays as it is.

    The copy is in eval mode and needs no gradients. With `trainable`, modes and gradients are as in
    the model, and the weights are checked to be finite. Raises ModelError.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model is a {type(model).__name__}; expected a torch.nn.Module, such as the "
            "network itself rather than its state_dict."
        )
    try:
        mine = deep_copy(model)
        if not trainable:
            return mine.eval().requires_grad_(False)
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied ({first_line(error)}); expected a module that "
            "copy.deepcopy takes, initialised by a first forward pass where it is lazy. Detach "
            "tensors that it stores as attributes."
        ) from error
    for name, values in mine.state_dict().items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ModelError(
                f"{name} holds NaN or infinite values; expected finite weights: load the model "
                "again."
            )
    return mine


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Restores train or eval mode of every submodule; torchattacks restores the top one's."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def no_parameter_grads(model: nn.Module) -> Iterator[None]:
    """Computes no gradients for the parameters: attacks need the input's only, half the work."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, on in before:
            parameter.requires_grad_(on)


def deep_copy(model: nn.Module) -> nn.Module:
    """Returns a deep copy, also of modules whose weight is computed (pruning, old weight norm).

    Such a module stores the weight as an attribute that is not a leaf of the graph, and
    copy.deepcopy refuses those.
    """
    attributes = [vars(module).values() for module in model.modules()]
    computed = [
        value
        for values in attributes
        for value in values
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in computed})


def use_channels_last(model: nn.Module, images: Tensor) -> bool:
    """Converts a model in eval mode to the channels-last layout, if it works with it.

    images : `(N, C, H, W)`; the first is passed through the model. Returns whether the layout was
    taken: a forward method that reads strides, as `x.view(len(x), -1)` does, needs the usual one.
    """
    place = next((p for p in model.parameters() if p.is_floating_point()), images)
    image = images[:1].to(place.device, place.dtype)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad(), exclusive_rng(image.device):
            model(image.contiguous(memory_format=torch.channels_last))
            model(image)
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return False
    return True
