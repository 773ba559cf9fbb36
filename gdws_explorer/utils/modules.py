"""Copies of models, and changes to a model that end with a block."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.model_state import state_tensors
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import alike, all_finite, tensors_of

LAYOUT = 1e-2  # of the largest number: above rounding of another layout, in half precision too


def own_copy(model: object, *, trainable: bool = False) -> nn.Module:
    """Returns a deep copy of a model; the user's model stays as it is.

    The copy is in eval mode and needs no gradients. With `trainable`, modes and gradients are as in
    the model, and the weights are checked to be finite. Models and parts from torch.compile are
    copied without compiled code, those in a DistributedDataParallel without it, and a DataParallel
    runs on one device. Raises ModelError for what has no copy of its own, and says why.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model is a {type(model).__name__}; expected a torch.nn.Module, such as the "
            "network itself rather than its state_dict."
        )
    _check_copyable(model)
    try:
        mine = deep_copy(model)
        for module in mine.modules():
            if isinstance(module, nn.DataParallel):
                module.device_ids = []
        if not trainable:
            mine = mine.eval()
            set_requires_grad(mine, False)
            return mine
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied ({first_line(error)}); expected a module that "
            "copy.deepcopy takes. Detach tensors that it stores as attributes."
        ) from error
    for name, values in state_tensors(mine).items():
        if values.is_floating_point() and not all_finite(values):
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


def check_initialised(model: nn.Module) -> None:
    """Raises ModelError for a lazy layer that no image was passed through yet."""
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin) and hasattr(module, "_initialize_hook"):
            raise ModelError(
                f"{name or 'the model'} is a {type(module).__name__} without weights yet; pass "
                "images through the model once, model(images[:2]), which gives its lazy layers "
                "their shapes."
            )


def packed_weights(model: nn.Module) -> str | None:
    """Returns the name of the first module with packed quantised weights; None without any."""
    for name, value in model.state_dict().items():
        script = isinstance(value, torch.ScriptObject)
        if script or any(tensor.is_quantized for tensor in tensors_of(value)):
            return name.partition("._packed_params")[0].removesuffix(".weight")
    return None


def _check_copyable(model: nn.Module) -> None:
    """Raises ModelError for a model whose copy would be none, or whose weights are not there."""
    check_initialised(model)
    modules = dict(model.named_modules())
    own = {id(module) for module in modules.values()}
    for name, module in modules.items():
        where = f"its part {name}" if name else "the model"
        if _wrapped(module) is not None:  # a copy is one of the model inside
            continue
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{where} is TorchScript, which hides its layers; give the Python module that it "
                "was made from."
            )
        for attribute, value in vars(module).items():
            if attribute == "_compiled_call_impl":  # of module.compile(), which no copy takes over
                continue
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


def _wrapped(module: nn.Module) -> nn.Module | None:
    """Returns the model inside a wrapper that a copy does without; None for other modules."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        inner: object = module.module
    else:
        inner = getattr(module, "_orig_mod", None)  # of torch.compile
    return inner if isinstance(inner, nn.Module) else None


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
    copy.deepcopy refuses those. Wrappers of torch.compile and DistributedDataParallel, whose copy
    would need a compiler or a group of processes, give way to the models inside them.
    """
    attributes = [vars(module).values() for module in model.modules()]
    computed = [
        value
        for values in attributes
        for value in values
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    memo: dict[int, Any] = {id(value): value.detach().clone() for value in computed}
    for module in reversed(list(model.modules())):  # the innermost first
        inner = _wrapped(module)
        if inner is not None:
            memo[id(module)] = copy.deepcopy(inner, memo)
    copied: nn.Module = copy.deepcopy(model, memo)
    return copied


def use_channels_last(model: nn.Module, images: Tensor) -> bool:
    """Converts a model in eval mode to the channels-last layout, if it works with it.

    images : `(N, C, H, W)`; the first is passed through the model, forwards and backwards. Returns
    whether the layout was taken: a forward method that reads strides, as `x.view(len(x), -1)`
    does, needs the usual one. The model is then left as it was.
    """
    image = as_input(model, images[:1].detach()).contiguous()
    before = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers())]
    try:
        with exclusive_rng(image.device), torch.inference_mode(False), torch.enable_grad():
            expected = _both_ways(model, image)
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            last = image.contiguous(memory_format=torch.channels_last)
            if all(alike(_both_ways(model, x), expected, LAYOUT) for x in (last, image)):
                return True
    except Exception:  # whatever a forward method does with strides that it does not expect
        pass
    for tensor, data in before:
        tensor.data = data
    return False


def _both_ways(model: nn.Module, image: Tensor) -> object:
    """Returns the output for an image, after a backward pass; random numbers are always equal."""
    torch.manual_seed(0)
    x = image.clone().requires_grad_()
    found: object = model(x)
    sums = [t.float().sum() for t in tensors_of(found) if t.requires_grad]
    if sums:
        torch.autograd.grad(sums, x, allow_unused=True)
    return found
