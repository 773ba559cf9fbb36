"""Which folders an export may replace."""

from __future__ import annotations

import pytest

from gdws_explorer.bundle.file_names import EXPORTED, is_export


@pytest.mark.parametrize(
    ("names", "replaceable"),
    [
        (EXPORTED, True),
        ({"plan.json", "model.safetensors"}, True),
        ({"plan.json", "model.safetensors", "notes.txt"}, True),
        ({"plan.json"}, True),  # a plan that was saved alone
        ({"plan.json", "notes.txt"}, True),
        ({"plan.json", "README.md"}, False),
        ({"README.md"}, False),
        ({"model.onnx", "model.safetensors"}, False),
    ],
)
def test_an_earlier_export_or_a_plan_alone(names, replaceable):
    assert is_export(names) is replaceable
