"""Weights from checkpoint files, without unpickling."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gdws_explorer.bench.state_dict import State, load_matching, normalize_keys
from gdws_explorer.errors import ModelError
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.model_state import is_extra

SUFFIXES = (".pt", ".pth", ".th", ".ckpt", ".bin", ".tar")
# Training scripts store the weights of the network under these keys. Averaged copies, and those of
# the best or the last epoch, have many names: they are used where none of these keys exists.
KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")

Model = TypeVar("Model", bound=nn.Module)


@overload
def load_checkpoint(
    path: str | os.PathLike[str], model: None = None, *, key: str | None = None
) -> State: ...
@overload
def load_checkpoint(
    path: str | os.PathLike[str], model: Model, *, key: str | None = None
) -> Model: ...
def load_checkpoint(
    path: str | os.PathLike[str], model: Model | None = None, *, key: str | None = None
) -> State | Model:
    """Returns the weights in a file, or `model` with these weights, in eval mode.

    Parameters
    ----------
    path : a `.safetensors` file, or a `.pt`, `.pth`, `.th`, `.ckpt`, `.bin` or `.pth.tar` that
        torch.load reads with weights_only=True.
    model : gets all the weights, or none of them. Prefixes that DataParallel (`module.`),
        torch.compile (`_orig_mod.`) and other wrappers add to names are ignored, and so is a
        `Normalized` around the model.
    key : which network, where the file holds the weights of several. By default those under
        `state_dict`, `model`, `net` or a similar key.

    Raises
    ------
    ModelError : the file is missing, damaged or would have to be unpickled, which can run any code;
        or the weights, which are named, do not fit the model.
    """
    file = Path(path)
    if file.suffix == ".safetensors":
        if key is not None:
            raise ModelError(f"{file} holds the weights of one network; expected no key for it.")
        state = _safetensors(file)
    elif file.suffix in SUFFIXES:
        state = weights_in(_torch_file(file), key, str(file))
    else:
        raise ModelError(
            f"unknown kind of file {file}; expected one ending in .safetensors or "
            f"{', '.join(SUFFIXES)}."
        )
    return normalize_keys(state) if model is None else load_matching(model, state, str(file))


def weights_in(found: Any, key: str | None = None, title: str = "the checkpoint") -> State:
    """Returns the weights by name from a saved state_dict, or from a dict that contains one.

    Parameters
    ----------
    found : the content of a file; also an nn.Module, from a trusted file that was unpickled.
    key : as in `load_checkpoint`.
    title : the file's name, for messages.

    Values other than tensors and `_extra_state` are left out. Raises ModelError where there are no
    weights, or those of several networks.
    """
    if isinstance(found, nn.Module):
        found = found.state_dict()
    if not isinstance(found, Mapping):
        raise ModelError(
            f"{title} holds {type(found).__name__}; expected a state_dict, weights by their names."
        )
    if key is not None:
        if key not in found:
            raise ModelError(f"unknown key {key!r} of {title}; expected one of {_listed(found)}.")
        return weights_in(found[key], None, f"{key!r} of {title}")
    inside = [n for n, value in found.items() if _holds_weights(value) and not is_extra(str(n))]
    usual = [name for name in inside if name in KEYS]
    tensors = {
        str(name): value
        for name, value in found.items()
        if isinstance(value, Tensor) or is_extra(str(name))
    }
    candidates = usual or inside
    if len(candidates) > 1:
        raise ModelError(
            f"{title} holds the weights of several networks, {_listed(candidates)}; choose with "
            f"key={candidates[0]!r}."
        )
    if candidates:
        return weights_in(found[candidates[0]], None, f"{candidates[0]!r} of {title}")
    if not tensors:
        raise ModelError(f"{title} holds no weights but {_listed(found) or 'nothing'}.")
    return tensors


def _holds_weights(value: Any, depth: int = 2) -> bool:
    if isinstance(value, nn.Module):
        return True
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    values = list(value.values())
    within = depth > 0 and any(_holds_weights(each, depth - 1) for each in values)
    return within or any(isinstance(each, Tensor) for each in values)


def _safetensors(file: Path) -> State:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise ModelError(f"there is no file {file}; expected a checkpoint.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file} is damaged ({error}); download or copy it again.") from error


def _torch_file(file: Path) -> Any:
    if not file.is_file():
        raise ModelError(f"there is no file {file}; expected a checkpoint.")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        with file.open("rb") as opened:
            is_pickle = opened.read(1) == b"\x80"
        if named is None and not is_pickle:
            raise ModelError(
                f"{file} is not a PyTorch checkpoint; expected one, or a .safetensors file."
            ) from error
        raise _refused(file, f"for {named[1]}" if named else "to read it at all") from error
    except Exception as error:
        if "TorchScript" in str(error):
            raise ModelError(
                f"{file} is a TorchScript archive of code and weights; save only the weights: "
                "torch.save(torch.jit.load(path).state_dict(), new_path)."
            ) from error
        raise ModelError(
            f"{file} is damaged or not a PyTorch checkpoint ({first_line(error)}); download or "
            "copy it again."
        ) from error


def _refused(file: Path, what: str) -> ModelError:
    new = file.with_name(f"{file.name.split('.')[0]}-weights.pt")
    return ModelError(
        f"{file} has to be unpickled {what}, which can run any code that its author put inside; it "
        "is refused. If you trust its author, save only its weights with these three lines, and "
        f"open {new.name}:\n"
        "    import torch\n"
        "    from gdws_explorer.bench.checkpoint import weights_in\n"
        f"    torch.save(weights_in(torch.load({str(file)!r}, map_location='cpu', "
        f"weights_only=False)), {str(new)!r})"
    )


def _listed(names: Any) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
