"""One layer's weights and all of its approximations, as spectra: GDWS, Tucker-2 and SVDs.

Each module has a `spectrum(weight)`, whose `error(…)` is a look-up and whose `conv(…)` is a layer.
"""

from gdws_explorer.factorize.gdws import GDWSConv2d, GDWSSpectrum
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d, SVDLinear
from gdws_explorer.factorize.tucker import Tucker2Conv2d, Tucker2Spectrum

__all__ = [
    "GDWSConv2d",
    "GDWSSpectrum",
    "SVDConv2d",
    "SVDLinear",
    "SpatialSVDConv2d",
    "Tucker2Conv2d",
    "Tucker2Spectrum",
]
