"""Copies of models, and changes to a model that end with a block."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator, Set
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import all_finite


def own_copy(model: object, *, trainable: bool = False) -> nn.Module:
    """Returns a deep copy of a model; the user's model stays as it is.

    The copy is in eval mode and needs no gradients. With `trainable`, modes and gradients are as in
    the model, and the weights are checked to be finite. A model from torch.compile is copied
    without its compiled code. Raises ModelError for what has no copy of its own, and says why.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model is a {type(model).__name__}; expected a torch.nn.Module, such as the "
            "network itself rather than its state_dict."
        )
    given: nn.Module = getattr(model, "_orig_mod", model)  # of torch.compile
    _check_copyable(given)
    try:
        mine = deep_copy(given)
        if not trainable:
            mine = mine.eval()
            set_requires_grad(mine, False)
            return mine
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied ({first_line(error)}); expected a module that "
            "copy.deepcopy takes, initialised by a first forward pass where it is lazy. Detach "
            "tensors that it stores as attributes."
        ) from error
    for name, values in mine.state_dict().items():
        if not isinstance(values, Tensor) or not values.is_floating_point():
            continue
        if not all_finite(values):
            raise ModelError(
                f"{name} holds NaN or infinite values; expected finite weights: load the model "
                "again."
            )
    return mine


def set_requires_grad(model: nn.Module, on: bool) -> nn.Module:
    """Sets whether parameters need gradients; integer parameters never do. Returns the model."""
    for parameter in model.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(on)
    return model


def _check_copyable(model: nn.Module) -> None:
    """Raises ModelError for a model whose copy would be none, or whose weights are not there."""
    modules = dict(model.named_modules())
    own = {id(module) for module in modules.values()}
    for name, module in modules.items():
        where = f"its part {name}" if name else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{where} is TorchScript, which hides its layers; give the Python module that it "
                "was made from."
            )
        for attribute, value in vars(module).items():
            if callable(value) and not isinstance(value, type) and _refers_to(value, own):
                raise ModelError(
                    f"{where} has a function as `{attribute}` that calls the original model, so a "
                    "copy would run the original's layers; define it as a method of a class, such "
                    "as a small nn.Module around the model."
                )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise ModelError(
                f"{name} is on the meta device: its weights were never loaded. Make the model "
                "outside of torch.device('meta'), or load its weights with assign=True."
            )


def _refers_to(function: object, modules: Set[int], depth: int = 4) -> bool:
    """Whether a plain function uses one of these modules, by id, from outside of its arguments.

    It may have it from its closure, its defaults or the globals that it names. copy.deepcopy
    copies bound methods and partial objects with their modules, but plain functions not at all.
    """
    if not isinstance(function, types.FunctionType) or depth == 0:
        return False
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    named = [function.__globals__[n] for n in _names(function.__code__) & set(function.__globals__)]
    kept = [*cells, *named, *(function.__defaults__ or ())]
    kept += (function.__kwdefaults__ or {}).values()
    for value in kept:
        owner = getattr(value, "__self__", value)  # of a bound method
        if id(owner) in modules or _refers_to(value, modules, depth - 1):
            return True
    return False


def _names(code: types.CodeType) -> set[str]:
    """Returns the global names of a function, those of functions inside it too."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_filled(cell: types.CellType) -> bool:
    """Whether a closure's variable has a value yet."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


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
    image = as_input(model, images[:1])
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad(), exclusive_rng(image.device):
            model(image.contiguous(memory_format=torch.channels_last))
            model(image)
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return False
    return True
