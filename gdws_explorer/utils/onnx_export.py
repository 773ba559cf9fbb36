"""Export of a torch module as an ONNX file, with messages of the exporter silenced."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.model_state import state_tensors

INPUT, OUTPUT = "images", "logits"
PROVIDER = "CPUExecutionProvider"
NEEDED = ("onnx", "onnxruntime", "onnxscript")
# Bytes of weights in one file: a protobuf message ends at 2 GiB, and the graph needs some of that.
SINGLE_FILE = 2**31 - 2**26


def require() -> None:
    """Raises ExplorerError where a package that the ONNX export needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExplorerError(
            f"the ONNX file needs {' and '.join(missing)}: "
            'pip install "gdws-explorer[onnx]", or export with onnx=False.'
        )


def export(module: nn.Module, images: Tensor, path: Path) -> None:
    """Writes `module` as an ONNX file for any batch size, without comparing it.

    module : in eval mode, on the CPU. images : an example `(N, C, H, W)`. Raises ExplorerError
    where torch cannot express the network in ONNX.
    """
    size = sum(t.numel() * t.element_size() for t in state_tensors(module).values())
    # torch wants the structure of forward's arguments, those of a wrapper's *args too.
    first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    variadic = first is not None and first.kind is first.VAR_POSITIONAL
    batch: Any = {0: torch.export.Dim("batch")}
    # torch specialises on a batch of 1, so the example has at least 2.
    images = images if len(images) > 1 else images.repeat(2, *[1] * (images.ndim - 1))
    try:
        # torch cannot trace in inference mode, which the caller may have switched on.
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            torch.onnx.export(
                module,
                (images.clone(),),
                path,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=((batch,),) if variadic else (batch,),
                external_data=size > SINGLE_FILE,
                verbose=False,
            )
    except Exception as error:
        cause = error.__cause__ or error
        raise ExplorerError(
            f"torch cannot write this network as ONNX ({first_line(cause)}); export with "
            "onnx=False."
        ) from error


def inference_session(model: bytes | Path, threads: int, profile: Path | None = None) -> Any:
    """Returns a session of ONNX Runtime on the CPU; raises what ONNX Runtime raises.

    model : serialised, or a file. profile : the beginning of the profile's path; None for none.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: its warnings go straight to the terminal
    options.intra_op_num_threads = threads
    # Its idle threads spin by default, which takes the processor from everything else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(model, options, providers=[PROVIDER])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the warnings and log messages of torch.onnx and its helpers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
