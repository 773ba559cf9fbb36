"""Atomic writing of files and folders: complete, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from gdws_explorer.errors import ExplorerError


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, and renames it to `path` after the block.

    A block that raises leaves `path` as it was. Raises ExplorerError, which names the folder, if
    the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise ExplorerError(
            f"{target.parent} cannot be written ({error.strerror}); choose another folder."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8, atomically; raises ExplorerError if the disk is full."""
    with atomic(path) as temporary:
        try:
            temporary.write_bytes(text.encode())
        except OSError as error:
            raise ExplorerError(
                f"{path} cannot be written ({error.strerror}); make room, or choose another folder."
            ) from error


@contextmanager
def write_folder(
    folder: str | os.PathLike[str],
    own_names: Set[str],
    replaceable: Callable[[Set[str]], bool],
) -> Iterator[Path]:
    """Yields an empty folder, which takes the place of `folder` when the block succeeds.

    Parameters
    ----------
    folder : the target, `~` allowed; missing parents are made.
    own_names : names of the files that may be replaced in a folder that exists; other files in it
        stay there.
    replaceable : takes the names in a folder that exists and is not empty; whether it may be
        replaced.

    Raises ExplorerError, with the reason, where the folder cannot be written or may not be
    replaced; it is then not changed.
    """
    target = Path(folder).expanduser().resolve()
    try:
        _check_replaceable(target, replaceable)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _sibling(target)
        temporary.mkdir()
    except OSError as error:
        raise _not_writable(target, error) from error
    try:
        yield temporary
        _swap(temporary, target, own_names)
    except OSError as error:
        raise _not_writable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(target: Path, replaceable: Callable[[Set[str]], bool]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ExplorerError(f"{target} is a file; choose a folder to export into.")
    if Path.cwd().resolve().is_relative_to(target):
        raise ExplorerError(
            f"{target} is the current folder or contains it; choose a folder inside, such as "
            "chosen."
        )
    names = {entry.name for entry in target.iterdir()}
    if names and not replaceable(names):
        raise ExplorerError(
            f"{target} holds other files ({_first_names(names)}); choose a new or empty folder, "
            "or an earlier export to replace."
        )


def _swap(temporary: Path, target: Path, own_names: Set[str]) -> None:
    """Puts `temporary` in the place of `target`, and moves the files of others into it."""
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
        if entry.name not in own_names:
            os.rename(entry, target / entry.name)
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path) -> Path:
    # Hidden, and on the same file system, so that renaming it is one step.
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")


def _not_writable(target: Path, error: OSError) -> ExplorerError:
    return ExplorerError(
        f"{target} cannot be written ({error.strerror or error}); choose another folder."
    )


def _first_names(names: Set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (" …" if len(names) > len(first) else "")
