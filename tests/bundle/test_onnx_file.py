"""The ONNX file computes what torch computes, for any batch size, and says nothing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.bundle import onnx_file
from gdws_explorer.utils import onnx_export


def run(path: Path, images: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images.numpy()})[0]


@pytest.mark.slow
def test_parity_with_strides_dilation_borders_and_any_batch(case, tmp_path):
    folder = gx.export(case.small, case.plan, tmp_path / "a", example=case.images)
    for n in (1, 2, 7):
        images = torch.rand(n, 2, 11, 9)
        expected = case.small(images).detach().numpy()
        np.testing.assert_allclose(run(folder / "model.onnx", images), expected, atol=1e-6)
    facts = json.loads((folder / "report.json").read_text())["onnx"]
    assert facts["parity"]["batches"] == [5, 1, 3]
    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph)
    assert [each.name for each in graph.graph.input] == ["images"]
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not (folder / "model.onnx.data").exists()


@pytest.mark.slow
def test_it_says_nothing(case, tmp_path, capfd, caplog):
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gx.export(case.small, case.plan, tmp_path / "a")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not caught
    assert not [each for each in caplog.records if each.levelno >= logging.INFO]
    assert logging.getLogger("torch.onnx").level == level


@pytest.mark.slow
def test_it_works_inside_inference_mode_and_in_a_thread(case, tmp_path):
    import threading

    errors = []

    def work() -> None:
        try:
            with torch.inference_mode():
                gx.export(case.small, case.plan, tmp_path / "a")
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors
    assert (tmp_path / "a" / "model.onnx").exists()


@pytest.mark.parametrize("missing", onnx_export.NEEDED)
def test_a_missing_package_is_named_at_once(case, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(gx.ExplorerError, match=rf"needs {missing}.*gdws-explorer\[onnx\]"):
        gx.export(case.small, case.plan, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    assert gx.export(case.small, case.plan, tmp_path / "a", onnx=False).is_dir()


@pytest.mark.slow
def test_a_difference_is_not_exported(case, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "max_abs_difference", lambda *_: 0.5)
    with pytest.raises(gx.ExplorerError, match=r"differs from the torch one by 0\.5"):
        gx.export(case.small, case.plan, tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_fastest_forms_for_onnx_runtime_compute_the_same(case, tmp_path):
    folder = gx.export(case.small, case.plan, tmp_path / "a", runtime="onnxruntime", batch=2)
    images = torch.rand(3, 2, 11, 9)
    expected = case.small(images).detach().numpy()
    np.testing.assert_allclose(run(folder / "model.onnx", images), expected, atol=1e-5)
    facts = json.loads((folder / "report.json").read_text())["onnx"]["fastest_forms"]
    assert facts["batch"] == 2
    for each in facts["layers"].values():
        assert each["ms"][each["form"]] == min(each["ms"].values())
    assert facts["macs_executed"] >= facts["macs_needed"] > 0
    assert "in the form that was fastest here" in (folder / "README.md").read_text()
    assert gx.restore(folder, case.dense) is not None


def test_an_unknown_runtime_is_refused(case, tmp_path):
    for settings in ({"runtime": "tensorrt"}, {"runtime": "onnxruntime", "onnx": False}):
        with pytest.raises(gx.DataError, match="runtime"):
            gx.export(case.small, case.plan, tmp_path / "a", **settings)
    assert not list(tmp_path.iterdir())


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.kind = kind

    def forward(self, x):
        out = self.conv(x).mean((2, 3))
        if self.kind == "branch":
            return out if float(out.sum()) > 0 else -out
        return {"logits": out}


@pytest.mark.parametrize(
    ("kind", "says"),
    [("branch", "torch cannot write this network as ONNX"), ("dict", "returns a dict")],
)
def test_a_network_that_onnx_cannot_express_is_refused(tmp_path, kind, says):
    dense = Odd(kind)
    plan = gx.Network(dense, torch.rand(1, 1, 5, 5)).plan()
    with pytest.raises(gx.ExplorerError, match=says) as caught:
        gx.export(dense, plan, tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_half_precision_is_exported_other_types_refused(case, tmp_path):
    half = case.net.build(case.plan).half()
    folder = gx.export(half, case.plan, tmp_path / "a")
    assert run(folder / "model.onnx", case.images.half()).dtype == np.float16
    assert "np.float16" in (folder / "README.md").read_text()
    for wide in (case.net.build(case.plan).bfloat16(), case.net.build(case.plan).double()):
        with pytest.raises(gx.ExplorerError, match=r"float.*which ONNX Runtime cannot compute"):
            gx.export(wide, case.plan, tmp_path / "b")


@pytest.mark.slow
def test_very_large_networks_keep_their_weights_beside_the_graph(case, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "SINGLE_FILE", 1000)
    folder = gx.export(case.small, case.plan, tmp_path / "a")
    assert (folder / "model.onnx.data").exists()
    assert "to be kept in the same folder" in (folder / "README.md").read_text()
    expected = case.small(case.images).detach().numpy()
    np.testing.assert_allclose(run(folder / "model.onnx", case.images), expected, atol=1e-6)


@pytest.mark.slow
def test_onnx_is_imported_only_when_it_is_needed():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(gx.__file__).parents[1])!r})\n"
        "import gdws_explorer.bundle.export_folder, gdws_explorer.cli\n"
        "print([m for m in ('onnx', 'onnxruntime', 'onnxscript') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_forward_method_that_fixes_the_batch_is_named(tmp_path):
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(len(x), -1)

    with pytest.raises(gx.ExplorerError, match=r"for batches of 3 only: .* use x.shape\[0\]"):
        onnx_file.write(Fixed().eval(), [torch.rand(3, 2, 4, 4)], tmp_path / "a.onnx")
