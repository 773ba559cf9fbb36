"""Finds networks whose scores for an image depend on the other images of its batch.

BatchNorm in training mode inside forward, statistics that a network computes over its batch, and
attention over the batch all do this. The accuracy of such a network holds for its batches only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import alike

ROUNDING = 1e-4  # of the largest score: above what kernels for other batch sizes change in float32
FAR = 0.05  # of the largest score: above rounding in half precision, too
NOTE = (
    "the scores of an image depend on the other images of its batch (BatchNorm in training mode, "
    "or other statistics over the batch), so the accuracy holds for these batches only; measure "
    "with batch_size=1, or let the network compute every image alone"
)


def depends_on_batch(model: nn.Module, x: Tensor, scores: Tensor) -> bool:
    """Whether the scores of an image depend on the other images of its batch.

    One forward pass of two images in most networks. Random scores are no dependence, and where the
    model does not take a smaller batch, none is claimed. torch's random state does not change.

    Parameters
    ----------
    model : images `(B, C, H, W)` to scores `(B, classes)`.
    x, scores : one batch, B ≥ 2, and the scores that the model gave for it.
    """
    few = x[:2] if len(x) > 2 else x[[0, 0]]
    rows = min(2, len(x) - 1)
    try:
        with torch.no_grad(), exclusive_rng(x.device):
            alone = model(few)
            if alike(alone[:rows], scores[:rows], ROUNDING, least=0):
                return False
            if not alike(model(few), alone, ROUNDING, least=0):
                return False  # random
            if not alike(alone[:rows], scores[:rows], FAR, least=0):
                return True
            # Kernels for equal batch sizes round alike, so any difference is one of the images.
            first, second = (model(torch.cat([few, last])) for last in (x[:1], 1 - x[:1]))
            return not alike(first[:2], second[:2], ROUNDING, least=0)
    except Exception:  # whatever a model does that cannot take this batch
        return False
