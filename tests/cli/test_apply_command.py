"""`gdws-explorer apply` end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer import cli


@pytest.mark.slow
def test_apply_exports_a_folder_that_loads_again(here, plan, capsys):
    assert cli.main(["apply", "plan.json", "cli_test_nets.py:made", "chosen"]) == 0
    out, err = capsys.readouterr()
    assert "model.onnx" in out
    assert "ONNX Runtime differs from torch by at most" in out
    assert err == ""
    import cli_test_nets

    network = gx.restore("chosen", cli_test_nets.Net())
    net = gx.Network(cli_test_nets.made(), torch.rand(1, 3, 10, 10))
    x = torch.rand(3, 3, 10, 10)
    torch.testing.assert_close(network(x), net.build(plan)(x), rtol=0, atol=0)
    readme = Path("chosen/README.md").read_text()
    assert 'dense = run_path("cli_test_nets.py")["made"]()' in readme
    assert cli.main(["apply", "plan.json", "cli_test_nets:made", "chosen", "--no-onnx"]) == 0
    assert not Path("chosen/model.onnx").exists()


def test_a_plan_made_elsewhere_is_refused(here, plan, one_sentence):
    message = one_sentence("apply", "plan.json", "cli_test_nets:Net", "chosen")
    assert "made for another network" in message
    Path("plan.json").write_text(Path("plan.json").read_text()[:50])
    message = one_sentence("apply", "plan.json", "cli_test_nets:made", "chosen")
    assert "truncated" in message
    assert "plan.json" in message
    assert not Path("chosen").exists()


def test_a_folder_that_cannot_be_written(here, plan, one_sentence):
    words = ("apply", "plan.json", "cli_test_nets:made")
    assert "cannot be written" in one_sentence(*words, "/proc/gdws/out", "--no-onnx")
    assert "is the current folder" in one_sentence(*words, ".", "--no-onnx")
    Path("full").mkdir()
    Path("full/README.md").write_text("mine")
    assert "holds other files" in one_sentence(*words, "full", "--no-onnx")
