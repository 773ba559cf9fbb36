"""A training that can be killed: all of its state after an epoch, in one file."""

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

from gdws_explorer.errors import ExplorerError, TrainingError
from gdws_explorer.utils import files

SCHEMA = 1
SPARE = 2**20  # bytes for the header and the history


class Checkpoint:
    """The file of one training: tensors, and JSON in its header, replaced as a whole.

    path : where it lies; it need not exist yet.
    identity : what the training is of, JSON-ready; a file of another one is refused.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.identity = json.loads(json.dumps(identity))

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and facts of the last epoch that was written; None where there is no file.

        Raises TrainingError for a damaged file, and for one of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                told = json.loads((file.metadata() or {})["training"])
                if told["schema"] != SCHEMA:
                    raise ValueError(f"schema {told['schema']}, this version reads {SCHEMA}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            theirs, facts = told["identity"], told["facts"]
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise TrainingError(
                f"{self.path} is not a training that can be continued ({error}); give another "
                "path, or delete it to begin anew."
            ) from None
        other = _differences(theirs, self.identity)
        if other:
            raise TrainingError(
                f"{self.path} belongs to another training ({'; '.join(other)}); give another path, "
                "or delete it to begin anew."
            )
        return tensors, facts

    def check_space(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises TrainingError where the disk has no room for them.

        The file before it is only given up when the new one is whole: both need room.
        """
        wanted = SPARE + sum(each.numel() * each.element_size() for each in tensors.values())
        folder = self.path.absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise TrainingError(
                f"{folder} cannot be written ({error.strerror}); choose another folder for the "
                "checkpoint."
            ) from error
        if free < wanted:
            raise TrainingError(
                f"a checkpoint takes {wanted / 1e6:.1f} MB and {folder} has {free / 1e6:.1f} MB "
                "left; make room or choose another folder, and train again: it goes on from the "
                "last checkpoint, if there is one."
            )

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the file. Raises TrainingError; the file before it then stays as it is."""
        self.check_space(tensors)
        told = {"schema": SCHEMA, "identity": self.identity, "facts": dict(facts)}
        plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
        try:
            with files.atomic(self.path) as temporary:
                safetensors.torch.save_file(plain, temporary, {"training": json.dumps(told)})
        except (OSError, ExplorerError, safetensors.SafetensorError) as error:
            raise TrainingError(
                f"the checkpoint {self.path} cannot be written ({error}); the one before it stays "
                "as it was."
            ) from error


def epochs_done(path: str | os.PathLike[str]) -> int:
    """How many epochs a checkpoint holds; 0 where there is none that can be read."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return len(json.loads((file.metadata() or {})["training"])["facts"]["history"])
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return 0


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What of two identities differs, in words; one level of settings is looked into."""
    found = []
    for key in sorted({*theirs, *ours}):
        there, here = theirs.get(key), ours.get(key)
        if there == here:
            continue
        if isinstance(there, dict) and isinstance(here, dict):
            found += [f"{key} {each}" for each in _differences(there, here)]
        else:
            found.append(f"{key} {there!r} there, {here!r} here")
    return found
