"""Sources of labelled images: labels first, then only the chosen images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data

from gdws_explorer.bench import datasets
from gdws_explorer.errors import DataError


def ignore(_fraction: float) -> None:
    pass


class Counting(torch_data.Dataset):
    """Ten images, and which of them were read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index):
        self.read.append(index)
        return torch.full((1, 4, 4), index / 10), index % 3


class Labelled(Counting):
    targets = [index % 3 for index in range(10)]  # noqa: RUF012 - as torchvision's have


@pytest.mark.parametrize("kind", [Counting, Labelled])
def test_only_the_chosen_images_of_a_data_set_are_read(kind):
    inner = kind()
    source = datasets.dataset(inner, None, None, "ten")
    assert source.count == 10
    assert torch.as_tensor(source.labels(ignore)).tolist() == [i % 3 for i in range(10)]
    assert inner.read == ([] if kind is Labelled else list(range(10)))
    inner.read.clear()
    x, y = source.read([7, 2], ignore)
    assert inner.read == [7, 2]
    assert x[:, 0, 0, 0].tolist() == pytest.approx([0.7, 0.2])
    assert y.tolist() == [1, 2]


def test_labels_of_parts_of_data_sets_are_known_without_reading():
    inner = Labelled()
    parts = torch_data.ConcatDataset([torch_data.Subset(inner, [4, 5]), inner])
    labels = datasets.dataset(parts, None, None, "parts").labels(ignore)
    assert labels.tolist() == [1, 2, *inner.targets]
    assert inner.read == []


def test_arrays_and_files_agree(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    y = np.arange(6)
    np.savez(tmp_path / "six.npz", x=x, y=y)
    sources = datasets.arrays(x, y, None, None), datasets.npz(tmp_path / "six.npz", None, None)
    for source in sources:
        images, labels = source.read([1, 3], ignore)
        assert torch.equal(images, torch.from_numpy(x[[1, 3]]).movedim(-1, 1) / 255)
        assert labels.tolist() == [1, 3]


def test_a_file_without_the_arrays_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros(1))
    with pytest.raises(DataError, match=r"a\.npz holds images; expected arrays x"):
        datasets.npz(tmp_path / "a.npz", None, None)


def test_a_damaged_compressed_file_is_named(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (9, 1, 5, 5), dtype=np.uint8)
    file = tmp_path / "a.npz"
    np.savez_compressed(file, x=x, y=np.arange(9))
    whole = file.read_bytes()
    start = whole.index(b"x.npy") + 25  # within the compressed numbers
    flags = bytearray(whole)
    for at in (6, whole.index(b"PK\x01\x02") + 8):
        flags[at] |= 32  # patched data, which zipfile does not read
    for damaged in (whole[:start] + bytes([255] * 40) + whole[start + 40 :], bytes(flags)):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.npz cannot be read \(.*\); expected an"):
            datasets.npz(file, None, None)


def test_a_loader_with_its_own_batches_is_read_in_order():
    def collate(items):
        return torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])

    loader = torch_data.DataLoader(Counting(), batch_size=4, collate_fn=collate)
    source = datasets.loader(loader, None, None)
    assert source.count == 10
    x, _ = source.read(range(10), ignore)
    assert x[:, 0, 0, 0].tolist() == pytest.approx([i / 10 for i in range(10)])


def test_a_tick_may_stop_the_reading():
    def stop(_fraction: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        datasets.dataset(Counting(), None, None, "ten").read([0], stop)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"image": 1}, "is dict with image; expected a pair"),
        ((1, 2, 3), "is tuple; expected a pair"),
    ],
)
def test_an_item_is_a_pair(item, says):
    with pytest.raises(DataError, match=says):
        datasets.pair(item, "item 3")
