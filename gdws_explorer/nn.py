"""The factorised layers, as torch modules.

`gx.nn` is imported at its first use. Every class is an ordinary `torch.nn.Module`: it can be
trained, saved, and turned back into one dense layer with `.dense()`.
"""

from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import FactorizedPair, SpatialSVDConv2d, SVDConv2d, SVDLinear
from gdws_explorer.factorize.tucker import Tucker2Conv2d

__all__ = [
    "FactorizedPair",
    "GDWSConv2d",
    "SVDConv2d",
    "SVDLinear",
    "SpatialSVDConv2d",
    "Tucker2Conv2d",
]
