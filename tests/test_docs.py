"""docs/methods.md: its code runs and prints what it says, and its pictures are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

PRINTED = re.compile(r"# → (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """The line before each block of Python, and the block."""
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)), found[1]


@pytest.mark.slow
def test_every_block_runs_and_prints_what_it_says(
    text: str, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    lines = 0
    for before, block in blocks(text):
        # With the lines before it, so that an error names the line of the page.
        exec(compile("\n" * before + block, "docs/methods.md", "exec"), names)
        said = PRINTED.findall(block)
        assert capsys.readouterr().out.splitlines() == said, f"docs/methods.md, line {before}"
        lines += len(said)
    assert lines >= 10


def test_every_picture_is_there_and_small(text: str, root: Path) -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == len(set(pictures)) == 6
    for name in pictures:
        assert 0 < (root / "docs" / name).stat().st_size < 80_000, name


def test_every_section_is_linked_by_its_heading(text: str) -> None:
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= anchors
