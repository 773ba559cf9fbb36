"""The checkpoint of an evaluation: what is written, and what is refused."""

import json

import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.robust.evaluation_checkpoint import EvaluationCheckpoint, model_digest

SETTINGS = {"seed": 0, "n": 6}
CLEAN = torch.tensor([True, True, False, True, False, False])
ROBUST = torch.tensor([[True, False, False, True, False, False]])


def written(path):
    EvaluationCheckpoint(path, SETTINGS, 6, 1).write(CLEAN, ROBUST, 4, 1.5)
    return path


def test_finished_batches_come_back(tmp_path):
    found = EvaluationCheckpoint(written(tmp_path / "run.json"), SETTINGS, 6, 1)
    assert (found.done, found.seconds) == (4, 1.5)
    assert found.clean.tolist() == [True, True, False, True, False, False]
    assert found.robust.tolist() == [[True, False, False, True, False, False]]


def test_a_new_file_holds_nothing(tmp_path):
    found = EvaluationCheckpoint(tmp_path / "new.json", SETTINGS, 6, 2)
    assert (found.done, found.seconds, found.robust.shape) == (0, 0.0, (2, 6))
    assert not found.clean.any()


def test_the_format_of_version_0_1(tmp_path):
    raw = json.loads(written(tmp_path / "run.json").read_text())
    assert raw == {
        "schema": 1, "settings": SETTINGS, "done": 4, "seconds": 1.5, "clean": "1101",
        "standing": ["1001"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"clean": "11"}, {"clean": "11x1"}, {"standing": 3}, {"done": None}]
)
def test_a_damaged_file_is_refused(tmp_path, change):
    path = written(tmp_path / "run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match="not an evaluation that can be continued"):
        EvaluationCheckpoint(path, SETTINGS, 6, 1)


def test_other_settings_are_named(tmp_path):
    path = written(tmp_path / "run.json")
    with pytest.raises(DataError, match="seed 0 there, 1 here"):
        EvaluationCheckpoint(path, {"seed": 1, "n": 6}, 6, 1)


def test_the_digest_of_a_model_is_of_class_and_weights(net):
    first = model_digest(net)
    assert first == model_digest(net.eval())
    with torch.no_grad():
        net[0].weight += 1
    assert len(first) == 16
    assert model_digest(net) != first
