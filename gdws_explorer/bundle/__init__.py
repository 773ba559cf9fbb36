"""Exports of compressed networks: a folder with plan, weights, ONNX file, report and README.

`export` writes such a folder, `restore` loads the network from it.
"""

from gdws_explorer.bundle.export_folder import export, restore
from gdws_explorer.bundle.onnx_file import Parity

__all__ = ["Parity", "export", "restore"]
