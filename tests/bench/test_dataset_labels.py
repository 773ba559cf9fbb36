"""Labels of data sets: known without reading, of every integer type, or refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data

from gdws_explorer.bench.dataset_labels import check_classes, class_index, known_labels
from gdws_explorer.errors import DataError


class Stored(torch_data.Dataset):
    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)


@pytest.mark.parametrize(
    "stored",
    [
        [2, 0, 1],
        np.array([2, 0, 1], np.uint16),
        np.array([2, 0, 1], ">u8"),
        torch.tensor([2, 0, 1], dtype=torch.uint32),
    ],
)
def test_stored_labels_are_int64(stored):
    found = Stored(stored)
    both = torch_data.ConcatDataset([torch_data.Subset(found, [2, 0]), Stored([5])])
    assert known_labels(found).tolist() == [2, 0, 1]
    assert known_labels(both).tolist() == [1, 2, 5]
    tensors = torch_data.TensorDataset(torch.zeros(3), torch.as_tensor([2, 0, 1]).to(torch.uint16))
    assert known_labels(tensors).dtype == torch.int64


@pytest.mark.parametrize("stored", [[0.5, 1.0], np.eye(2), ["a", "b"], [True, False], {0: 1}])
def test_what_is_no_class_index_is_not_known(stored):
    assert known_labels(Stored(stored)) is None
    if isinstance(stored, np.ndarray):
        assert known_labels(torch_data.TensorDataset(torch.eye(2), torch.eye(2))) is None


@pytest.mark.parametrize(
    "label", [3, np.uint64(3), np.array([3], ">i2"), torch.tensor(3, dtype=torch.uint16)]
)
def test_labels_of_every_integer_type_are_taken(label):
    assert class_index(label, 0, "it") == 3


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (3.0, "3.0"),
        (True, "True"),
        (2**63, "9223372036854775808"),
        (torch.eye(3)[0], r"an array of shape \(3,\)"),
        ("cat", "'cat'"),
    ],
)
def test_other_labels_are_refused(label, shown):
    with pytest.raises(DataError, match=f"label of image 7 of it is {shown}; expected a whole"):
        class_index(label, 7, "it")


def test_hidden_folders_as_classes_are_named():
    classes = [".ipynb_checkpoints", "ant"]
    with pytest.raises(DataError, match=r"it takes the hidden folders \.ipynb_checkpoints for"):
        check_classes(SimpleNamespace(classes=classes, samples=[]), "it")
    check_classes(SimpleNamespace(classes=["ant"], samples=[]), "it")
    check_classes(SimpleNamespace(classes=[".net"]), "it")  # names, not folders
    check_classes(SimpleNamespace(classes=10, samples=[]), "it")
