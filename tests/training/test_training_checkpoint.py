import shutil
from collections import namedtuple

import pytest
import safetensors.torch
import torch

from gdws_explorer.errors import TrainingError
from gdws_explorer.training.training_checkpoint import Checkpoint

IDENTITY = {"network": "abc", "recipe": {"lr": 0.1, "epochs": 3}}
TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(7)}


def test_what_is_written_is_read(tmp_path):
    file = Checkpoint(tmp_path / "new" / "run.safetensors", IDENTITY)
    assert file.read() is None
    file.write(TENSORS, {"history": []})
    tensors, facts = file.read()
    assert facts == {"history": []}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert [each.name for each in file.path.parent.iterdir()] == ["run.safetensors"]


def test_another_training_is_refused_by_name(tmp_path):
    path = tmp_path / "run.safetensors"
    Checkpoint(path, IDENTITY).write(TENSORS, {})
    other = {"network": "abd", "recipe": {"lr": 0.2, "epochs": 3}}
    with pytest.raises(TrainingError, match="another training") as caught:
        Checkpoint(path, other).read()
    assert "network 'abc' there, 'abd' here" in str(caught.value)
    assert "recipe lr 0.1 there, 0.2 here" in str(caught.value)
    assert "epochs" not in str(caught.value)
    assert Checkpoint(path, IDENTITY).read() is not None  # nothing was lost


@pytest.mark.parametrize("damage", ["cut", "text", "plain"])
def test_a_damaged_file_is_named_and_left(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    Checkpoint(path, IDENTITY).write(TENSORS, {})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "text":
        path.write_text("{}")
    else:
        safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"run\.safetensors is not a training"):
        Checkpoint(path, IDENTITY).read()
    assert path.read_bytes() == before


def test_too_little_disk_is_found_before_writing(tmp_path, monkeypatch):
    file = Checkpoint(tmp_path / "run.safetensors", IDENTITY)
    file.write(TENSORS, {"epoch": 1})
    before = file.path.read_bytes()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**5, 10**5))
    with pytest.raises(TrainingError, match=r"takes 1\.0 MB and .* has 0\.1 MB left; make room"):
        file.write(TENSORS, {"epoch": 2})
    assert file.path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    file = Checkpoint(tmp_path / "file" / "run.safetensors", IDENTITY)
    with pytest.raises(TrainingError, match="choose another folder"):
        file.check_space(TENSORS)
