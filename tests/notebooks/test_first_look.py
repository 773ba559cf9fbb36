"""The first notebook is committed clean; nbmake executes it (see pyproject.toml)."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest


@pytest.fixture(scope="module")
def notebook(root: Path) -> nbformat.NotebookNode:
    return nbformat.read(root / "notebooks" / "01_first_look.ipynb", as_version=nbformat.NO_CONVERT)


def test_is_valid_with_cell_ids(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    assert notebook.metadata.kernelspec.name == "python3"


def test_holds_no_outputs_and_no_widget_state(notebook: nbformat.NotebookNode) -> None:
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_first_code_cell_opens_the_explorer(notebook: nbformat.NotebookNode) -> None:
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "gx.explore(" in first.source


def test_formulas_stand_in_markdown_only(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert "$" not in cell.source


def test_every_question_has_its_check(notebook: nbformat.NotebookNode) -> None:
    checks = [cell.source for cell in notebook.cells if cell.id.startswith("check-")]
    assert len(checks) == sum(cell.id.startswith("question-") for cell in notebook.cells) == 3
    assert all("lessons." in check for check in checks)
