"""The checkpoint file of a training, from which an interrupted training goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from gdws_explorer.errors import ExplorerError, ModelError, TrainingError
from gdws_explorer.utils import files
from gdws_explorer.utils.model_state import storable

SCHEMA = 1
SPARE = 2**20  # bytes for the header and the history


class Checkpoint:
    """A file with the state of one training: tensors, and JSON in its header.

    Entries of a state that are no tensors, such as `_extra_state`, are kept as JSON.

    path : the file; it need not exist yet.
    identity : all settings of the training, JSON-ready; a file of another training is refused.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.identity = json.loads(json.dumps(identity))

    def read(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns the state and facts of the last written epoch; None if there is no file.

        Raises TrainingError for a damaged file, and for a file of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                header = json.loads((file.metadata() or {})["training"])
                if header["schema"] != SCHEMA:
                    raise ValueError(f"schema {header['schema']}, this version reads {SCHEMA}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored, facts = header["identity"], header["facts"]
            others = header.get("others", {})  # older files have none
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise TrainingError(
                f"{self.path} is not a training that can be continued ({error}); give another "
                "path, or delete it to begin anew."
            ) from None
        other = _differences(stored, self.identity)
        if other:
            raise TrainingError(
                f"{self.path} belongs to another training ({'; '.join(other)}); give another path, "
                "or delete it to begin anew."
            )
        return {**tensors, **others}, facts

    def check_space(self, state: Mapping[str, Any]) -> None:
        """Raises TrainingError if the disk has no room for the tensors of a state.

        The old file is replaced when the new one is complete, so both need room.
        """
        tensors = _storable(state)[0]
        needed = SPARE + sum(each.numel() * each.element_size() for each in tensors.values())
        folder = self.path.absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise TrainingError(
                f"{folder} cannot be written ({error.strerror}); choose another folder for the "
                "checkpoint."
            ) from error
        if free < needed:
            raise TrainingError(
                f"a checkpoint takes {needed / 1e6:.1f} MB and {folder} has {free / 1e6:.1f} MB "
                "left; make room or choose another folder, and train again: it goes on from the "
                "last checkpoint, if there is one."
            )

    def write(self, state: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Replaces the file; on a TrainingError the old file stays as it was."""
        self.check_space(state)
        tensors, others = _storable(state)
        header = {"schema": SCHEMA, "identity": self.identity, "facts": dict(facts)}
        header["others"] = json.loads(others)
        plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
        try:
            with files.atomic(self.path) as temporary:
                safetensors.torch.save_file(plain, temporary, {"training": json.dumps(header)})
        except (OSError, ExplorerError, safetensors.SafetensorError) as error:
            raise TrainingError(
                f"the checkpoint {self.path} cannot be written ({error}); the old file stays as "
                "it was."
            ) from error


def epochs_done(path: str | os.PathLike[str]) -> int:
    """Returns the number of epochs in a checkpoint; 0 if there is no readable file."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return len(json.loads((file.metadata() or {})["training"])["facts"]["history"])
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return 0


def _storable(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors and the JSON of a state. Raises TrainingError for other entries."""
    try:
        return storable(state)
    except ModelError as error:
        raise TrainingError(f"{error} Or train without checkpoint=.") from None


def _differences(stored: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Returns the differences of two identities in words, with the fields of nested settings."""
    found = []
    for key in sorted({*stored, *own}):
        there, here = stored.get(key), own.get(key)
        if there == here:
            continue
        if isinstance(there, dict) and isinstance(here, dict):
            found += [f"{key} {each}" for each in _differences(there, here)]
        else:
            found.append(f"{key} {there!r} there, {here!r} here")
    return found
