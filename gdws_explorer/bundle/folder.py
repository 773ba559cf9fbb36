"""A folder is written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdws_explorer.errors import ExplorerError

PLAN = "plan.json"
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
REPORT = "report.json"
README = "README.md"
# torch.onnx puts the weights of a very large network beside the graph, under this name.
ONNX_WEIGHTS = f"{ONNX}.data"
OURS = frozenset({PLAN, WEIGHTS, ONNX, ONNX_WEIGHTS, REPORT, README})


@contextmanager
def write_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which takes its place when the block succeeds.

    A folder that exists must be empty or an earlier export, of which only our own files are
    replaced. Raises ExplorerError, with the reason, for one that cannot be written or is
    somebody else's; the old folder is then as it was.
    """
    target = Path(folder).expanduser().resolve()
    try:
        _refuse_foreign(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _sibling(target)
        temporary.mkdir()
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        _swap(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ExplorerError(f"{target} is a file; choose a folder to export into.")
    if Path.cwd().resolve().is_relative_to(target):
        raise ExplorerError(
            f"{target} is the current folder or holds it; choose a folder inside, such as chosen."
        )
    held = {entry.name for entry in target.iterdir()}
    # A plan that somebody saved there may be replaced by the same plan's export; a README.md
    # or model.onnx that no export wrote may not.
    earlier = PLAN in held and (WEIGHTS in held or held & OURS == {PLAN})
    if held and not earlier:
        raise ExplorerError(
            f"{target} holds other files ({_some(held)}); choose a new or empty folder, or an "
            "earlier export to replace."
        )


def _swap(temporary: Path, target: Path) -> None:
    """`target` becomes `temporary`; what is not ours in it stays there."""
    if not target.exists():
        os.rename(temporary, target)
        return
    old = _sibling(target)
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(old, target)
        raise
    for entry in list(old.iterdir()):
        if entry.name not in OURS:
            os.rename(entry, target / entry.name)
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path) -> Path:
    # Hidden, and on the same file system, so that renaming it is one step.
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")


def _unwritable(target: Path, error: OSError) -> ExplorerError:
    return ExplorerError(
        f"{target} cannot be written ({error.strerror or error}); choose another folder."
    )


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (" …" if len(names) > len(first) else "")
