"""A network as an ONNX file, and the proof that both compute the same."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.bundle.weights import difference, logits, reason
from gdws_explorer.errors import ExplorerError

INPUT, OUTPUT = "images", "logits"
NEEDED = ("onnx", "onnxruntime", "onnxscript")
# ONNX is protobuf, and a protobuf message ends at 2 GiB; the graph needs a little of that.
SINGLE_FILE = 2**31 - 2**26
# Share of the largest logit, by type: rounding stays far below, a wrong operator far above.
# ONNX Runtime has no convolution of doubles on the CPU, and numpy no bfloat16.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2}


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from torch.

    max_abs_difference : over all logits of all batches. largest_logit : for comparison.
    batches : the batch sizes compared, in order.
    """

    max_abs_difference: float
    largest_logit: float
    batches: tuple[int, ...]
    runtime: str = "onnxruntime, CPUExecutionProvider"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "batches": list(self.batches)}


def require() -> None:
    """Raise ExplorerError where a package that the ONNX export needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExplorerError(
            f"the ONNX file needs {' and '.join(missing)}: "
            'pip install "gdws-explorer[onnx]", or export with onnx=False.'
        )


def write(module: nn.Module, batches: Sequence[Tensor], path: Path) -> Parity:
    """Write `module` with any batch size, and compare it with torch on `batches`.

    module : in eval mode, on the CPU. batches : images `(N, C, H, W)` each, in [0, 1].
    Raises ExplorerError where torch cannot express it or the two differ beyond rounding.
    """
    require()
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    if dtype not in TOLERANCE:
        raise ExplorerError(
            f"the network is {dtype}, which ONNX Runtime cannot compute; convert it with "
            "model.float(), or export with onnx=False."
        )
    _export(module, batches[-1].to(dtype), path)
    parity = _compare(module, [images.to(dtype) for images in batches], path)
    if not parity.max_abs_difference <= TOLERANCE[dtype] * parity.largest_logit:
        raise ExplorerError(
            f"the ONNX network differs from the torch one by {parity.max_abs_difference:.3g} "
            f"(largest logit {parity.largest_logit:.3g}); export with onnx=False and report this."
        )
    return parity


def opset(path: Path) -> int:
    """The operator set that a file needs."""
    import onnx

    graph = onnx.load(path, load_external_data=False)
    return max(each.version for each in graph.opset_import if each.domain in ("", "ai.onnx"))


def _export(module: nn.Module, images: Tensor, path: Path) -> None:
    size = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    # torch specialises on a batch of 1, so the example has at least 2.
    images = images if len(images) > 1 else images.repeat(2, *[1] * (images.ndim - 1))
    try:
        # A caller's inference mode, as a notebook may have, cannot be traced through.
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            torch.onnx.export(
                module,
                (images.clone(),),
                path,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=size > SINGLE_FILE,
                verbose=False,
            )
    except Exception as error:
        cause = error.__cause__ or error
        raise ExplorerError(
            f"torch cannot write this network as ONNX ({reason(cause)}); export with onnx=False."
        ) from error


def _compare(module: nn.Module, batches: Sequence[Tensor], path: Path) -> Parity:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: its warnings go straight to the terminal
    # Its idle threads spin by default, and the session is used for a few images only.
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found = [
            torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
            for images in batches
        ]
    except Exception as error:
        raise ExplorerError(
            f"ONNX Runtime refuses the exported network ({reason(error)}); export with onnx=False."
        ) from error
    expected = [logits(module, images) for images in batches]
    return Parity(
        max(difference(a, b) for a, b in zip(found, expected, strict=True)),
        max(float(each.abs().max()) for each in expected),
        tuple(len(images) for images in batches),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.onnx and its helpers talk about themselves; the user asked for a file."""
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
