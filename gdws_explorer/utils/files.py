"""Atomic writing of files: a reader finds the whole old file or the whole new one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
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
