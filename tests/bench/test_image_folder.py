"""A folder per class: which folders are classes, which files are images, and how they are read."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset

from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.image_folder import image_folder, is_hidden, with_own_reader
from gdws_explorer.errors import DataError


def test_a_folder_has_one_class_per_folder(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / label / "0.png")
    found = image_folder(tmp_path, None)
    assert found.classes == ["cat", "dog"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected one folder of images per class"):
        image_folder(tmp_path / "empty", None)


@pytest.fixture
def folder(tmp_path):
    """Three grey images of each of two classes."""
    for name, grey in {"ant": 51, "bee": 204}.items():
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (4, 3), grey).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints", ".git", "__MACOSX", "ant/.ipynb_checkpoints", "bee/__MACOSX"]
)
def test_hidden_folders_and_files_are_left_out(folder, hidden):
    (folder / hidden).mkdir()
    for name in (f"{hidden}/0.png", "ant/._0.png", "bee/.1.jpg"):
        (folder / name).write_bytes(b"no image")
    for name in (".DS_Store", "notes.txt", "bee/Thumbs.db"):
        (folder / name).write_text("no image")
    found = image_folder(folder)
    assert found.classes == ["ant", "bee"]
    assert found.targets == [0, 0, 0, 1, 1, 1]
    assert load_data(folder)[1].tolist() == found.targets


def test_folders_and_files_come_in_alphabetical_order(folder):
    (folder / "ant" / "more").mkdir()
    for name in ("more/0.JPG", "10.gif", "2.tif"):
        Image.new("L", (4, 3)).save(folder / "ant" / name)
    names = [str(os.path.relpath(file, folder)) for file, _ in image_folder(folder).samples]
    expected = ["0.png", "1.png", "10.gif", "2.png", "2.tif", os.path.join("more", "0.JPG")]
    assert names[:6] == [os.path.join("ant", name) for name in expected]


def test_classes_without_an_image_are_named(folder):
    (folder / "cow").mkdir()
    (folder / "cow" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no image in the folder cow; .* remove folders without"):
        image_folder(folder)
    (folder / "dog").mkdir()
    with pytest.raises(DataError, match="no image in the folders cow, dog; "):
        image_folder(folder)
    with pytest.raises(DataError, match="has no folder in it; expected one folder of images"):
        image_folder(folder / "ant")
    with pytest.raises(DataError, match="cannot be read"):
        image_folder(folder / "none")


def test_all_images_of_a_folder_become_rgb(folder):
    Image.fromarray(np.full((3, 4), 13107, np.uint16)).save(folder / "ant" / "deep.png")
    Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(folder / "bee" / "clear.png")
    Image.new("1", (4, 3), 1).save(folder / "bee" / "white.png")
    x, _ = load_data(folder)
    assert x.shape == (9, 3, 3, 4)
    assert x[:, 2, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 1, 1])
    x, _ = load_data(folder, background=0.4, transform=lambda picture: picture)
    assert x[:, 1, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.4, 1])


def test_torchvisions_own_data_set_is_read_alike(folder, vision):
    Image.fromarray(np.full((3, 4), 13107, np.uint16)).save(folder / "ant" / "deep.png")
    Image.new("LA", (4, 3), (0, 0)).save(folder / "bee" / "clear.png")
    theirs = vision.datasets.ImageFolder(str(folder))
    x, y = load_data(folder)
    for found in (theirs, Subset(theirs, range(8)), DataLoader(theirs, 2)):
        assert all(map(torch.equal, load_data(found), (x, y)))
    for own in (
        vision.datasets.ImageFolder(str(folder), transform=vision.transforms.ToTensor()),
        vision.datasets.ImageFolder(str(folder), loader=Image.open),
        [(Image.new("L", (1, 1)), 0)],
    ):
        assert with_own_reader(own) is own
    (folder / ".hidden").mkdir()
    Image.new("L", (4, 3)).save(folder / ".hidden" / "0.png")
    theirs = vision.datasets.ImageFolder(str(folder))
    for found in (theirs, Subset(theirs, [3])):
        with pytest.raises(DataError, match=r"takes the hidden folders \.hidden for classes"):
            load_data(found)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("transform", [None, lambda picture: picture])
def test_damaged_files_are_named(folder, content, transform):
    (folder / "bee" / "1.png").write_bytes(content)
    with pytest.raises(DataError, match=r"image 4 of .*bee.1\.png\) cannot be read \(.*; repair"):
        load_data(folder, transform=transform)
    assert len(load_data(folder, n=2, seed=3)[0]) == 2


def test_pictures_of_no_known_range_are_named(folder):
    Image.fromarray(np.full((3, 4), 300, np.float32)).save(folder / "bee" / "0.tif")
    with pytest.raises(DataError, match=r"image 4 of .*0\.tif\) holds floating-point values from"):
        load_data(folder)
    with pytest.raises(DataError, match=r"bee.0\.tif holds floating-point values from 300 to 300"):
        load_data(folder, transform=lambda picture: picture)


def test_folders_that_may_not_be_read_are_named(folder, monkeypatch):
    (folder / "ant" / "locked").mkdir()
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match=r"cannot be read \(.*Permission denied: '.*locked'\);"):
        image_folder(folder)


@pytest.mark.skipif(os.name == "nt", reason="such names exist on Linux")
def test_names_that_no_terminal_prints_are_escaped(folder):
    with open(os.path.join(os.fsencode(folder), b"ant", b"caf\xe9.png"), "wb") as file:
        file.write(b"no image")
    with pytest.raises(DataError, match=r"caf\\udce9\.png\) cannot be read") as caught:
        load_data(folder)
    str(caught.value).encode()


def test_hidden_names():
    assert all(map(is_hidden, (".git", "._0.png", "__MACOSX")))
    assert not is_hidden("ant.png")
