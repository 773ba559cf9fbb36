"""The export of a torch module as an ONNX file."""

import sys

import onnx
import pytest
import torch
from torch import nn

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils import onnx_export


@pytest.mark.parametrize("missing", onnx_export.NEEDED)
def test_a_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ExplorerError, match=rf"needs {missing}.*gdws-explorer\[onnx\]"):
        onnx_export.require()


def test_the_file_takes_any_batch_also_from_one_example(tmp_path):
    onnx_export.export(nn.Conv2d(2, 3, 3).eval(), torch.rand(1, 2, 5, 5), tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx").graph
    assert graph.input[0].name == onnx_export.INPUT
    assert graph.output[0].name == onnx_export.OUTPUT
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_what_torch_cannot_express_is_said(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(ExplorerError, match="cannot write this network as ONNX"):
        onnx_export.export(Odd(), torch.rand(1, 2, 5, 5), tmp_path / "a.onnx")
