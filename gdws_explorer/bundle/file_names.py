"""Names of the files in an exported folder."""

from __future__ import annotations

from collections.abc import Set

PLAN = "plan.json"
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
REPORT = "report.json"
README = "README.md"
# torch.onnx writes the weights of a network above 2 GiB into this second file.
ONNX_WEIGHTS = f"{ONNX}.data"
EXPORTED = frozenset({PLAN, WEIGHTS, ONNX, ONNX_WEIGHTS, REPORT, README})


def is_export(names: Set[str]) -> bool:
    """Whether a folder with these files may be replaced by an export of the same names.

    True for an earlier export, and for a plan that was saved alone. False for a README.md or
    model.onnx that no export wrote.
    """
    return PLAN in names and (WEIGHTS in names or names & EXPORTED == {PLAN})
