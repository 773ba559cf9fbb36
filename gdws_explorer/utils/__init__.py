"""Helpers for every room, independent of networks and plans."""

from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.files import atomic, write_text
from gdws_explorer.utils.format import duration, first_line, millions
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.progress import progress_fn
from gdws_explorer.utils.threads import torch_threads

__all__ = [
    "Digest",
    "atomic",
    "duration",
    "first_line",
    "millions",
    "progress_fn",
    "stop_if",
    "torch_threads",
    "write_text",
]
