import torch

from gdws_explorer.network.budget.table_cache import LARGE, Cache, cached, folder_of
from gdws_explorer.utils import cache_folder

NAME = "0" * 64 + ".safetensors"


def test_the_folder_of_an_argument(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "default_folder", lambda: tmp_path)
    assert folder_of(False, LARGE) is None
    assert folder_of(True, LARGE - 1) is None
    assert folder_of(True, LARGE) == tmp_path
    assert folder_of("here", 1).name == "here"


def test_written_entries_are_read(tmp_path):
    assert Cache(tmp_path / NAME).get("a") is None
    entries = {"a": {"x": torch.arange(6).reshape(2, 3), "y": torch.rand(4)}, "ab": {}}
    Cache(tmp_path / NAME).write(entries)
    found = Cache(tmp_path / NAME)
    assert found.get("a").keys() == {"x", "y"}
    assert all(torch.equal(found.get("a")[part], t) for part, t in entries["a"].items())
    assert found.get("ab") is None
    Cache(tmp_path / NAME).write({"b": {"x": torch.ones(1)}})
    assert Cache(tmp_path / NAME).get("a") is None


def test_a_damaged_file_is_empty(tmp_path):
    path = tmp_path / NAME
    Cache(path).write({"a": {"x": torch.zeros(64)}})
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert Cache(path).get("a") is None  # the checksum
    path.write_bytes(data[:20])
    assert Cache(path).get("a") is None


def test_a_value_is_computed_once(tmp_path):
    calls, memory = [], {}

    def compute():
        calls.append(1)
        return {"w": torch.ones(3)}

    first = cached("alpha-" + "1" * 64, compute, memory, tmp_path, must=True)
    assert cached("alpha-" + "1" * 64, compute, memory, None, must=True) is first
    again = cached("alpha-" + "1" * 64, compute, {}, tmp_path, must=True)
    assert torch.equal(again["w"], first["w"])
    assert calls == [1]
