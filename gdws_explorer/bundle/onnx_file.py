"""Export of a network as an ONNX file, and the comparison of its logits with torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.bundle.weights import logits, max_abs_difference
from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.onnx_export import (
    INPUT,
    OUTPUT,
    PROVIDER,
    export,
    inference_session,
    require,
)

# Largest difference of logits relative to the largest logit, by type: rounding stays far below, a
# wrong operator far above. ONNX Runtime has no convolution of doubles on the CPU, and numpy no
# bfloat16.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2}


@dataclass(frozen=True)
class Parity:
    """Differences between the logits of ONNX Runtime and torch.

    max_abs_difference : the largest over all logits of all batches. largest_logit : the largest
    absolute logit, for comparison. batches : the batch sizes, in order.
    runtime : the runtime and its execution provider.
    """

    max_abs_difference: float
    largest_logit: float
    batches: tuple[int, ...]
    runtime: str = f"onnxruntime, {PROVIDER}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types."""
        return {**asdict(self), "batches": list(self.batches)}


def write(
    module: nn.Module, batches: Sequence[Tensor], path: Path, like: nn.Module | None = None
) -> Parity:
    """Writes `module` for any batch size, and compares it with torch on `batches`.

    module : in eval mode, on the CPU. like : the torch network to compare with, of which `module`
    is another form; None for `module` itself. batches : images `(N, C, H, W)` in [0, 1], several
    times. Raises ExplorerError where torch cannot express the network in ONNX, or the logits
    differ by more than rounding.
    """
    require()
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    if dtype not in TOLERANCE:
        raise ExplorerError(
            f"the network is {dtype}, which ONNX Runtime cannot compute; convert it with "
            "model.float(), or export with onnx=False."
        )
    export(module, batches[-1].to(dtype), path)
    _check_batch(path)
    parity = _compare(like or module, [images.to(dtype) for images in batches], path)
    if not parity.max_abs_difference <= TOLERANCE[dtype] * parity.largest_logit:
        raise ExplorerError(
            f"the ONNX network differs from the torch one by {parity.max_abs_difference:.3g} "
            f"(largest logit {parity.largest_logit:.3g}); export with onnx=False and report this."
        )
    return parity


def opset(path: Path) -> int:
    """Returns the version of the operator set that a file needs."""
    import onnx

    graph = onnx.load(path, load_external_data=False)
    versions = [each.version for each in graph.opset_import if each.domain in ("", "ai.onnx")]
    return int(max(versions))


def _check_batch(path: Path) -> None:
    """Raises ExplorerError for a file that takes batches of one size only."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    size = graph.input[0].type.tensor_type.shape.dim[0].dim_value  # 0 where it has a name
    if size:
        raise ExplorerError(
            f"torch writes this network as ONNX for batches of {size} only: its forward method "
            "turns the batch size into a plain number, as len(x) and int(x.shape[0]) do; use "
            "x.shape[0] in it, or export with onnx=False."
        )


def _compare(module: nn.Module, batches: Sequence[Tensor], path: Path) -> Parity:
    try:
        session = inference_session(path, torch.get_num_threads())
        found = [
            torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
            for images in batches
        ]
    except Exception as error:
        raise ExplorerError(
            f"ONNX Runtime refuses the exported network ({first_line(error)}); export with "
            "onnx=False."
        ) from error
    expected = [logits(module, images) for images in batches]
    return Parity(
        max(max_abs_difference(a, b) for a, b in zip(found, expected, strict=True)),
        max(float(each.abs().max()) for each in expected),
        tuple(len(images) for images in batches),
    )
