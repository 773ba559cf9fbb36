"""Files and folders are written complete, or not at all."""

from __future__ import annotations

import os

import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils.files import atomic, write_folder, write_text

OWN = frozenset({"a.txt", "b.txt"})


def content(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_appears_when_the_block_succeeds(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert content(target.parent) == {"file.txt": "whole"}


def test_an_interrupted_file_leaves_the_old_one(tmp_path):
    write_text(tmp_path / "file.txt", "old")

    def interrupted() -> None:
        with atomic(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(tmp_path) == {"file.txt": "old"}


def test_files_get_the_usual_permissions(tmp_path):
    write_text(tmp_path / "ours", "")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExplorerError, match=r"file cannot be written .*choose another folder"):
        write_text(tmp_path / "file" / "below.txt", "")


def test_a_new_folder_appears_when_the_block_succeeds(tmp_path):
    with write_folder(tmp_path / "deep" / "new", OWN, lambda _names: False) as temporary:
        (temporary / "a.txt").write_text("1")
        assert not (tmp_path / "deep" / "new").exists()
    assert content(tmp_path / "deep" / "new") == {"a.txt": "1"}
    assert os.listdir(tmp_path / "deep") == ["new"]


def test_own_files_are_replaced_and_others_stay(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "notes.txt"):
        (folder / name).write_text("old")
    with write_folder(folder, OWN, lambda names: "a.txt" in names) as temporary:
        (temporary / "a.txt").write_text("new")
    assert content(folder) == {"a.txt": "new", "notes.txt": "old"}


def test_a_folder_that_may_not_be_replaced_is_not_changed(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with (
        pytest.raises(ExplorerError, match=r"holds other files \(a\.txt\)"),
        write_folder(tmp_path, OWN, lambda _names: False),
    ):
        pytest.fail("the block runs")
    assert content(tmp_path) == {"a.txt": "old"}


def test_an_interrupted_folder_leaves_the_old_one(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "a.txt").write_text("old")

    def interrupted() -> None:
        with write_folder(folder, OWN, lambda _names: True) as half:
            (half / "a.txt").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(folder) == {"a.txt": "old"}
    assert os.listdir(tmp_path) == ["there"]
