"""Loading of a state_dict whose keys differ from the model's by the prefixes of wrappers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.utils.format import first_line, some_of
from gdws_explorer.utils.model_state import is_extra, state_tensors
from gdws_explorer.utils.modules import check_initialised, packed_weights

MEANS = {"mean", "means", "mu", "new_mean"}
STDS = {"std", "stds", "sd", "sds", "sigma", "new_std"}
COUNTER = "num_batches_tracked"  # of BatchNorm; missing in older files and not needed here

State = dict[str, Any]
"""Tensors by name; the value of an `_extra_state` may be anything."""

Model = TypeVar("Model", bound=nn.Module)


def load_matching(model: Model, state: Mapping[str, Any], title: str) -> Model:
    """Loads the weights of `state` into `model`; returns the model, in eval mode.

    The keys may have the prefixes of wrappers (`module.`, `_orig_mod.`, any that all of them
    share), and the model may be wrapped itself. A mean and a std among the weights must equal
    those of a `Normalized` around the model. Keys that begin with one of the model's
    `unused_prefixes` are left out, where it has this attribute.

    title : the source of the weights, for messages.

    Raises ModelError, which names the first few keys, where keys or shapes do not fit. The model
    is then not changed.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"the model is {type(model).__name__}; expected a torch.nn.Module.")
    check_initialised(model)
    packed = packed_weights(model)
    if packed is not None:
        raise ModelError(
            f"{packed} holds packed quantised weights; load the file into the network before it is "
            "quantised, and quantise it then."
        )
    target, named = max(
        ((inner, form) for inner in _unwrapped(model) for form in _forms(state)),
        key=lambda candidate: _matches(*candidate),
    )
    expected = state_tensors(target)
    unused = getattr(target, "unused_prefixes", ())
    named = {name: value for name, value in named.items() if not name.startswith(unused)}
    extra = {n: v for n, v in named.items() if is_extra(n) and n in target.state_dict()}
    named = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if isinstance(model, Normalized):
        named = _same_normalisation(model, target, named, title)
    missing = [name for name in expected if name not in named and not name.endswith(COUNTER)]
    unknown = [name for name in named if name not in expected and not name.endswith(COUNTER)]
    shared = {name: value for name, value in named.items() if name in expected}
    reshaped = [
        f"{name} ({_shape(value)}, in the model {_shape(expected[name])})"
        for name, value in shared.items()
        if value.shape != expected[name].shape
    ]
    if missing or unknown or reshaped:
        raise ModelError(
            f"{title} does not fit {type(target).__name__}: "
            f"{_problems(missing, unknown, reshaped)}; {_advice(named, missing, unknown, reshaped)}"
        )
    try:
        target.load_state_dict({**shared, **extra}, strict=False)
    except Exception as error:
        raise ModelError(
            f"{title} does not fit {type(target).__name__}: {first_line(error)}; build the network "
            "that the file was saved from."
        ) from error
    return model.eval()


def normalize_keys(state: Mapping[str, Any]) -> State:
    """Returns the weights without the prefixes of torch.compile, DataParallel and averaging."""
    plain = {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): value
        for name, value in state.items()
    }
    if len(plain) > 1:
        plain.pop("n_averaged", None)  # of torch.optim.swa_utils.AveragedModel
    while plain and all(name.startswith("module.") for name in plain):
        plain = {name.removeprefix("module."): value for name, value in plain.items()}
    return plain


def _unwrapped(model: nn.Module) -> Iterator[nn.Module]:
    """The model, and the models inside its wrappers."""
    yield model
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        yield from _unwrapped(model.module)
    elif isinstance(model, Normalized):
        yield from _unwrapped(model.model)
    elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
        yield from _unwrapped(inner)


def _forms(state: Mapping[str, Any]) -> Iterator[State]:
    """The weights with their own keys; then without a shared first part, one part after another.

    A normalisation on the same level, as in `nn.Sequential(normalise, network)`, keeps only the
    last part of its keys.
    """
    form = dict(state)
    yield form
    form = normalize_keys(form)
    yield form
    while True:
        rest = {n.partition(".")[0] for n in form if n.split(".")[-1] not in MEANS | STDS}
        if len(rest) != 1:
            return
        head = f"{rest.pop()}."
        if head[:-1] in form:
            return
        form = {
            n.removeprefix(head) if n.startswith(head) else n.split(".")[-1]: value
            for n, value in form.items()
        }
        yield form


def _matches(target: nn.Module, form: State) -> tuple[int, int]:
    """Sort key: the number of common keys, then minus the number of the model's other keys."""
    expected = target.state_dict().keys()
    common = len(expected & form.keys())
    return common, common - len(expected)


def _same_normalisation(model: Normalized, target: nn.Module, named: State, title: str) -> State:
    """The weights without the mean and std of `model`; others are reshaped to its shape."""
    kept = {}
    for name, value in named.items():
        own = model.mean if name in MEANS else model.std if name in STDS else None
        if own is None or name in state_tensors(target):
            fits = own is not None and _same_size(value, own)
            kept[name] = value.view_as(own) if own is not None and fits else value
        elif not _same_size(value, own) or not torch.allclose(_flat(value), _flat(own), atol=1e-3):
            raise ModelError(
                f"{title} normalises with {name} {_numbers(value)}, the model with "
                f"{_numbers(own)}; use gx.Normalized with the numbers of the file."
            )
    return kept


def _problems(missing: Sequence[str], unknown: Sequence[str], reshaped: Sequence[str]) -> str:
    found = (
        (missing, "missing in the file"),
        (unknown, "not in the model"),
        (reshaped, "of another shape"),
    )
    return ", ".join(f"{len(names)} {what}: {some_of(names)}" for names, what in found if names)


def _advice(
    named: State, missing: Sequence[str], unknown: Sequence[str], reshaped: Sequence[str]
) -> str:
    if not missing and not reshaped and set(unknown) <= MEANS | STDS:
        given = ", ".join(_numbers(named[name]) for name in sorted(unknown, key=STDS.__contains__))
        return f"the file's network normalises inside: use gx.Normalized(model, {given})."
    if not missing and not unknown:
        what = "number of classes" if len(reshaped) <= 2 else "widths"
        return f"build the model with the file's {what}."
    return "build the network that the file was saved from."


def _same_size(first: Tensor, second: Tensor) -> bool:
    return first.numel() == second.numel()


def _flat(values: Tensor) -> Tensor:
    return values.detach().flatten().cpu().double()


def _numbers(values: Tensor) -> str:
    return f"({', '.join(f'{number:.4g}' for number in _flat(values).tolist())})"


def _shape(values: Tensor) -> str:
    return "×".join(map(str, values.shape)) or "a number"
