"""torchvision's data sets by name."""

from __future__ import annotations

import pytest

from gdws_explorer.bench import torchvision_datasets
from gdws_explorer.errors import DataError


@pytest.mark.parametrize("name", ["cifar10", "CIFAR-10", "fashion mnist", "SVHN"])
def test_names_are_known_in_any_spelling(name):
    assert torchvision_datasets.is_dataset_name(name)


def test_other_names_are_refused_with_near_ones():
    assert not torchvision_datasets.is_dataset_name("cifarr10")
    with pytest.raises(DataError, match=r"unknown file, folder or .*'cifarr10'.* mean cifar10"):
        torchvision_datasets.torchvision_dataset("cifarr10", None, None, False, False)


def test_missing_files_are_not_downloaded(tmp_path):
    with pytest.raises(DataError, match=r"CIFAR10 is not complete in .*download=True"):
        torchvision_datasets.torchvision_dataset("cifar10", None, tmp_path, False, False)
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_in_the_cache():
    assert torchvision_datasets.default_root().name == "datasets"
