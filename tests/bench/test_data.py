import hashlib
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from gdws_explorer.bench.data import check_model, load_data
from gdws_explorer.errors import Cancelled, DataError


@pytest.fixture
def bytes_():
    """60 colour images as bytes with channels first, and six classes."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (60, 3, 9, 7), dtype=np.uint8), np.arange(60) % 6


class Counting(Dataset):
    """A data set that notes which of its images were read."""

    def __init__(self, x, y, known):
        self.x, self.y, self.read = x, y, []
        if known:
            self.targets = list(map(int, y))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.read.append(index)
        return torch.as_tensor(self.x[index]), int(self.y[index])


def test_arrays_of_every_kind_are_the_same_images(bytes_):
    x, y = bytes_
    wanted = torch.from_numpy(x).float() / 255
    floats = x.astype(np.float64) / 255
    for images in (x, torch.from_numpy(x), x.transpose(0, 2, 3, 1), floats, wanted.half().float()):
        for labels in (y, torch.from_numpy(y), y.astype(np.uint8), y.tolist()):
            got, classes = load_data((images, labels))
            assert (got.dtype, classes.dtype) == (torch.float32, torch.int64)
            assert torch.allclose(got, wanted, atol=4e-4)
            assert classes.tolist() == y.tolist()
    x.setflags(write=False)
    assert torch.equal(load_data((x, y))[0], wanted)


@pytest.mark.parametrize("kind", ["tensors", "arrays", "pictures", "lists"])
def test_two_samples_are_no_pair_of_images_and_labels(kind):
    first, second = torch.zeros(1, 4, 5), torch.full((1, 4, 5), 0.2)
    make = {
        "tensors": lambda image: image,
        "arrays": lambda image: image.numpy(),
        "pictures": lambda image: Image.fromarray((255 * image[0].numpy()).astype(np.uint8)),
        "lists": lambda image: image.tolist(),
    }[kind]
    images = [make(first), make(second)]
    for given in (
        [(images[0], 3), (images[1], 1)],
        ((images[0], torch.tensor(3)), (images[1], torch.tensor(1))),
        (images, [3, 1]),
        [images, np.array([3, 1])],
    ):
        x, y = load_data(given)
        assert torch.allclose(x, torch.stack([first, second]))
        assert y.tolist() == [3, 1]
    with pytest.raises(DataError, match=r"shape \(2, 2\) for 2 images; .* one-hot"):
        load_data((images, [[0, 1], [1, 0]]))
    with pytest.raises(DataError, match="item 0 of the list is dict with image, label"):
        load_data([{"image": images[0], "label": 0}] * 2)


def test_images_of_0_and_1_in_bytes_get_a_hint(bytes_):
    x, y = bytes_
    dark = x % 2
    for given in (
        (dark, y),
        [(image, 0) for image in dark],
        [(Image.fromarray(image[0]), 0) for image in dark],
        [(Image.fromarray(image[0].astype(np.uint16) * 255), 0) for image in dark],
    ):
        with pytest.raises(DataError, match="multiply bytes of 0 and 1 by 255"):
            load_data(given)
    assert float(load_data((dark.astype(np.float32), y))[0].max()) == 1
    assert float(load_data((0 * x, y))[0].max()) == 0  # black images are no mistake
    mixed = np.concatenate([dark[:1], x[1:]])
    assert float(load_data((mixed, y))[0][0].max()) == np.float32(1 / 255)
    assert float(load_data([(image, 0) for image in mixed])[0][0].max()) == np.float32(1 / 255)


def test_the_background_is_a_grey_level():
    clear = [(Image.new("LA", (2, 2), (0, 0)), 0)]
    assert float(load_data(clear)[0].min()) == 1
    assert float(load_data(clear, background=0.2)[0].max()) == np.float32(0.2)
    for wrong in (2, -0.1, "white", None):
        with pytest.raises(DataError, match=r"background is .*; expected a grey level from 0"):
            load_data(clear, background=wrong)


def test_a_sample_is_balanced_fixed_and_nested(bytes_):
    x, y = bytes_
    first, labels = load_data((x, y), n=12, seed=3)
    assert labels.bincount().tolist() == [2] * 6
    again, _ = load_data((x, y), n=12, seed=3)
    assert torch.equal(first, again)
    longer, _ = load_data((x, y), n=24, seed=3)
    assert torch.equal(longer[:12], first)
    assert not torch.equal(load_data((x, y), n=12, seed=4)[0], first)


def test_layouts_that_could_be_either_are_refused():
    square = np.zeros((4, 3, 5, 3), np.uint8)
    labels = np.zeros(4, np.int64)
    with pytest.raises(DataError, match=r"\(4, 3, 5, 3\): either axis .* layout=\"NCHW\""):
        load_data((square, labels))
    assert load_data((square, labels), layout="NHWC")[0].shape == (4, 3, 3, 5)
    four = np.zeros((4, 4, 8, 8), np.uint8)
    with pytest.raises(DataError, match="no axis of size 1 or 3"):
        load_data((four, labels))
    assert load_data((four, labels), layout="NCHW")[0].shape == (4, 4, 8, 8)
    with pytest.raises(DataError, match="layout is 'CHW'"):
        load_data((four, labels), layout="CHW")
    with pytest.raises(DataError, match="add a channel axis of size 1 to grey images"):
        load_data((np.zeros((4, 8), np.uint8), labels))
    with pytest.raises(
        DataError, match=r"\(4, 8, 8\); .* add a channel axis of size 1 to grey images"
    ):
        load_data((np.zeros((4, 8, 8), np.uint8), labels))


def pairs():
    images, labels = np.full((4, 1, 5, 5), 0.5), np.arange(4)
    nan = images.copy()
    nan[:, 0, 2, 2] = np.nan
    return {
        "beyond 1": ((images * 400, labels), r"from 200 to 200; .* divide 8-bit values by 255"),
        "normalised": ((images - 2, labels), r"expected \[0, 1\]: put the normalisation inside"),
        "nan": ((nan, labels), "NaN or infinite"),
        "int64": ((images.astype(np.int64), labels), "are int64; expected uint8"),
        "16 bits": ((images.astype(">u2"), labels), "are uint16; .* 65535 of 16 bits"),
        "no pixels": ((images[..., :0], labels), r"shape \(\d, 1, 5, 0\); expected pixels in them"),
        "column": ((images, labels[:, None]), r"shape \(4, 1\) for 4 images; .* y.reshape\(-1\)"),
        "bool": ((images > 0, labels), "are bool; expected uint8"),
        "objects": ((images.astype(object), labels), "expected a tensor or an array of numbers"),
        "words": ((images, list("abcd")), "the labels are list"),
        "float labels": ((images, labels / 1), "labels are float64; expected whole numbers"),
        "one-hot": ((images, np.eye(4, dtype=int)), r"shape \(4, 4\) for 4 images.*y.argmax\(1\)"),
        "too few": ((images, labels[:3]), r"shape \(3,\) for 4 images"),
        "negative": ((images, labels - 1), "a label is -1"),
        "none": ((images[:0], labels[:0]), "there are no images"),
    }


@pytest.mark.parametrize("name", pairs())
@pytest.mark.parametrize("n", [None, 2])
def test_bad_arrays_are_refused(name, n):
    given, words = pairs()[name]
    with pytest.raises(DataError, match=words):
        load_data(given, n=n)


@pytest.mark.parametrize("given", [7, np.zeros((4, 1, 5, 5)), {"x": 1, "y": 2}, None, b"cifar10"])
def test_what_is_no_data_is_refused(given):
    with pytest.raises(DataError):
        load_data(given)


@pytest.mark.parametrize("n", [0, 61, 2.5, True, "all"])
def test_bad_n_is_refused(bytes_, n):
    with pytest.raises(DataError, match=r"n is .*; expected a whole number from 1 to 60"):
        load_data(bytes_, n=n)


def test_only_the_chosen_images_of_a_data_set_are_read(bytes_):
    x, y = bytes_
    wanted, labels = load_data(bytes_, n=12)
    found = Counting(x, y, known=True)
    got, classes = load_data(found, n=12)
    assert torch.equal(got, wanted)
    assert torch.equal(classes, labels)
    assert len(found.read) == 12
    within = Subset(ConcatDataset([found, found]), list(range(60)))
    found.read.clear()
    assert torch.equal(load_data(within, n=12)[0], wanted)
    assert len(found.read) == 12
    unknown = Counting(x, y, known=False)
    assert torch.equal(load_data(unknown, n=12)[0], wanted)
    assert len(unknown.read) == 60 + 12
    unknown.read.clear()
    assert torch.equal(load_data(unknown)[0], load_data(bytes_)[0])
    assert unknown.read == list(range(60))


def test_labels_are_those_that_come_with_the_images(bytes_):
    found = Counting(*bytes_, known=True)
    found.y = 5 - found.y  # as a target_transform would
    x, y = load_data(found, n=6)
    index = [int((torch.as_tensor(bytes_[0]).float() / 255 == one).all((1, 2, 3)).nonzero()[0])
             for one in x]  # fmt: skip
    assert y.tolist() == [5 - i % 6 for i in index]


def test_loaders_give_their_data_set_or_their_batches(bytes_):
    x, y = map(torch.as_tensor, bytes_)
    wanted, labels = load_data(bytes_, n=12)
    plain = TensorDataset(x, y)
    for loader in (DataLoader(plain, 7), DataLoader(plain, 7, shuffle=True, drop_last=True)):
        got, classes = load_data(loader, n=12)
        assert torch.equal(got, wanted)
        assert torch.equal(classes, labels)

    def halved(items):
        return torch.stack([item[0] // 2 for item in items]), torch.tensor([i[1] for i in items])

    own = DataLoader(plain, 7, collate_fn=halved)
    assert torch.equal(load_data(own)[0], (x // 2).float() / 255)
    sampled = DataLoader(plain, 7, sampler=range(20))
    assert len(load_data(sampled)[0]) == 20

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(plain)

    assert torch.equal(load_data(DataLoader(Stream(), 7), n=12)[0], wanted)
    pictures = [(Image.new("1", (5, 4), 1), 2)] * 3
    with pytest.raises(DataError, match=r"cannot give a batch \(.*\); repair its data set or its"):
        load_data(DataLoader(pictures, 2, sampler=range(3)))  # default_collate takes no pictures
    lists = DataLoader(pictures, 2, collate_fn=lambda items: list(zip(*items, strict=True)))
    assert torch.equal(load_data(lists)[0], torch.ones(3, 1, 4, 5))
    with pytest.raises(DataError, match="no batch"):
        load_data(DataLoader(plain, 7, sampler=[], drop_last=True))
    with pytest.raises(DataError, match=r"dict with x, y; expected a pair"):
        load_data(DataLoader([{"x": x[0], "y": 1}] * 4, 2, collate_fn=lambda items: items[0]))


def test_bad_data_sets_are_refused(bytes_):
    x, y = bytes_
    ragged = [(x[0], 0), (x[1, :, :5], 1)]
    with pytest.raises(DataError, match=r"differ in shape, \(3, 9, 7\) and \(3, 5, 7\); .* size="):
        load_data([*ragged, (x[2], 1)])
    with pytest.raises(DataError, match=r"label of image 1 .* is 0.5; expected a whole number"):
        load_data([(x[0], 0), (x[1], 0.5), (x[2], 1)])
    with pytest.raises(DataError, match="item 0 of the list is dict with image, label"):
        load_data([{"image": x[0], "label": 0}] * 3)
    with pytest.raises(DataError, match=r"an image has shape \(9, 7\)"):
        load_data([(x[0, 0], 0)] * 3)

    class Broken(Counting):
        def __getitem__(self, index):
            raise OSError("truncated file")

    with pytest.raises(DataError, match=r"image 0 of the Broken .*\(truncated file\)"):
        load_data(Broken(x, y, True))
    with pytest.raises(DataError, match="a transform is for folders"):
        load_data(bytes_, transform=lambda image: image)


def test_too_much_for_the_memory_is_refused_before_it_is_read():
    huge = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(2**16, 3, 256, 256)
    with pytest.raises(DataError, match=r"65536×3×256×256 numbers take 48 GiB; .* n="):
        load_data((huge, torch.zeros(2**16, dtype=torch.int64)))


def test_progress_is_told_and_cancel_is_asked(bytes_):
    told = []
    load_data(Counting(*bytes_, True), n=10, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    stop = threading.Event()
    found = Counting(*bytes_, True)
    with pytest.raises(Cancelled):
        load_data(found, progress=lambda done: done > 0.1 and stop.set(), cancel=stop)
    assert len(found.read) < 15


# -- npz -----------------------------------------------------------------------------


def test_npz_files(tmp_path, bytes_):
    x, y = bytes_
    wanted = load_data(bytes_, n=12)[0]
    np.savez(tmp_path / "a.npz", x=x, y=y.astype(np.uint8))
    np.savez_compressed(tmp_path / "b.npz", x=x.transpose(0, 2, 3, 1) / 255, y=y, more=y)
    for name in ("a.npz", "b.npz"):
        assert torch.allclose(load_data(tmp_path / name, n=12)[0], wanted)
        assert torch.allclose(load_data(str(tmp_path / name), n=12)[0], wanted)


def test_bad_npz_files_are_refused_and_not_unpickled(tmp_path, bytes_):
    x, y = bytes_
    marker = tmp_path / "marker"

    class Bad:
        def __reduce__(self):
            return (Path.touch, (marker,))

    np.savez(tmp_path / "pickle.npz", x=np.array([Bad()], object), y=y)
    np.savez(tmp_path / "names.npz", images=x, labels=y)
    np.savez(tmp_path / "whole.npz", x=x, y=y)
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bad()))
    words = {
        "pickle": "hold Python objects.*; save numbers",
        "names": "holds images, labels; expected arrays x .* and y",
        "half": "cannot be read",
        "text": "is not an .npz file, or damaged",
        "empty": "cannot be read",
        "raw": "is not an .npz file, or damaged",
        "missing": "there is no file",
    }
    for name, expected in words.items():
        with pytest.raises(DataError, match=expected):
            load_data(tmp_path / f"{name}.npz")
    assert not marker.exists()


def test_real_cifar_from_an_npz(shared):
    x, y = load_data(shared / "cifar10" / "test.npz", n=200)
    assert x.shape == (200, 3, 32, 32)
    assert y.bincount().tolist() == [20] * 10
    assert 0.4 < float(x.mean()) < 0.55


# -- folders and torchvision ---------------------------------------------------------


@pytest.fixture
def pictures(tmp_path, vision):
    """Four PNGs, of different sizes, for each of three classes."""
    from PIL import Image

    random = np.random.default_rng(1)
    for label, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            pixels = random.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
            pixels[..., label] = 255
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


def test_folders_of_images(pictures):
    x, y = load_data(pictures, size=16)
    assert (x.shape, y.tolist()) == ((12, 3, 16, 16), [0] * 4 + [1] * 4 + [2] * 4)
    assert all(float(image[label].min()) > 0.99 for image, label in zip(x, y, strict=True))
    some, labels = load_data(str(pictures), size=16, n=6)
    assert labels.bincount().tolist() == [2, 2, 2]
    assert all(any(torch.equal(one, each) for each in x) for one in some)
    with pytest.raises(DataError, match=r"differ in shape, \(3, 20, 30\) .* size=224"):
        load_data(pictures)
    (pictures / "ant" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"image 0 of .* cannot be read"):
        load_data(pictures, size=16)


def test_folders_with_a_transform_of_ones_own(pictures, vision):
    T = vision.transforms
    own = T.Compose([T.Resize((8, 8)), T.ToTensor()])
    assert load_data(pictures, transform=own)[0].shape == (12, 3, 8, 8)
    grey = T.Compose([T.Resize((8, 8)), T.Grayscale()])
    assert load_data(pictures, transform=grey)[0].shape == (12, 1, 8, 8)
    far = T.Compose([own, T.Normalize((0.5,), (0.1,))])
    with pytest.raises(DataError, match="put the normalisation inside the model"):
        load_data(pictures, transform=far)
    with pytest.raises(DataError, match="size and transform are both given"):
        load_data(pictures, transform=own, size=8)


def test_images_are_resized_from_wherever_they_come(pictures, vision, bytes_):
    x, y = bytes_
    assert load_data((x, y), size=5)[0].shape == (60, 3, 5, 5)
    white = load_data((np.full_like(x, 255), y), size=13)[0]
    assert (white.min() > 0.999, float(white.max())) == (True, 1)
    found = vision.datasets.ImageFolder(str(pictures))
    assert torch.equal(load_data(found, size=16)[0], load_data(pictures, size=16)[0])
    for size in (0, -3, 2.5, True, "224"):
        with pytest.raises(DataError, match=r"size is .*; expected a whole number of pixels"):
            load_data((x, y), size=size)


def test_bad_folders_are_refused(tmp_path, vision):
    (tmp_path / "flat").mkdir()
    with pytest.raises(DataError, match="expected one folder of images per class"):
        load_data(tmp_path / "flat")
    (tmp_path / "flat" / "ant").mkdir()
    with pytest.raises(DataError, match="expected one folder of images per class"):
        load_data(tmp_path / "flat")
    for missing in (tmp_path / "none", "./cifar10", "data.csv"):
        with pytest.raises(DataError, match="there is no folder"):
            load_data(missing)


def test_real_photographs_from_a_folder(shared, vision):
    x, y = load_data(shared / "imagenette-100", size=64, n=20)
    assert x.shape == (20, 3, 64, 64)
    assert y.bincount().tolist() == [2] * 10
    assert 0.2 < float(x.mean()) < 0.7


@pytest.fixture
def cifar(tmp_path, vision, monkeypatch):
    """A small CIFAR-10 in torchvision's format, whose checksums torchvision is told to expect."""
    made = vision.datasets.CIFAR10
    folder = tmp_path / made.base_folder
    folder.mkdir()
    random = np.random.default_rng(2)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    batches = {}
    for name, n in (("data_batch_1", 40), ("test_batch", 30)):
        pixels = random.integers(0, 256, (n, 3072), dtype=np.uint8)
        batches[name] = (pixels.reshape(n, 3, 32, 32), np.arange(n) % 10)
        labels = batches[name][1].tolist()
        entry = write(name, {"data": pixels, "labels": labels})
        monkeypatch.setattr(made, "train_list" if "data" in name else "test_list", [entry])
    name, md5 = write("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    meta = {"filename": name, "key": "label_names", "md5": md5}
    monkeypatch.setattr(made, "meta", meta)
    return tmp_path, batches


def test_torchvision_data_sets_by_name(cifar, offline):
    root, batches = cifar
    for name in ("cifar10", "CIFAR-10"):
        x, y = load_data(name, root=root)
        assert torch.equal(x, torch.from_numpy(batches["test_batch"][0]).float() / 255)
        assert y.tolist() == batches["test_batch"][1].tolist()
    x, y = load_data("cifar10", root=root, train=True, n=20)
    assert y.bincount().tolist() == [2] * 10
    assert load_data("cifar10", root=root, n=10, size=16)[0].shape == (10, 3, 16, 16)
    assert not offline


def test_a_folder_beside_one_that_is_called_like_a_data_set(cifar, pictures, monkeypatch):
    root, _ = cifar
    pictures.rename(root / "cifar10")
    monkeypatch.chdir(root)
    assert len(load_data("cifar10", root=root)[0]) == 30
    assert len(load_data("./cifar10", size=16)[0]) == 12
    assert len(load_data(Path("cifar10"), size=16)[0]) == 12


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "mnist", "stl10", "imagenette"])
def test_nothing_is_fetched_unasked(name, tmp_path, vision, offline):
    with pytest.raises(DataError, match=r"is not complete in .*; give its folder .* download=True"):
        load_data(name, root=tmp_path / "data")
    assert not offline
    assert not (tmp_path / "data").exists()
    with pytest.raises(DataError, match="could not be downloaded"):
        load_data(name, root=tmp_path / "data", download=True)
    assert offline


def test_damaged_files_of_a_data_set_are_refused(cifar):
    root, _ = cifar
    with (root / "cifar-10-batches-py" / "test_batch").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="CIFAR10 is not complete"):
        load_data("cifar10", root=root)


def test_unknown_names_say_what_is_near(vision):
    with pytest.raises(DataError, match=r"data set 'cifar12'.*Did you mean cifar10"):
        load_data("cifar12")
    with pytest.raises(DataError, match=r"make it yourself .*torchvision.datasets.EMNIST"):
        load_data("emnist", root="/nowhere")


# -- the model -----------------------------------------------------------------------


def test_the_model_must_take_the_images_and_know_the_labels(bytes_):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 6), nn.Dropout()).train()
    x, _ = load_data(bytes_, n=12, model=model)
    assert len(x) == 12
    assert all(module.training for module in model.modules())
    small = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 5))
    with pytest.raises(DataError, match="a label is 5, but the model has 5 classes"):
        load_data(bytes_, model=small)
    with pytest.raises(DataError, match=r"does not take images of shape \(3, 9, 7\)"):
        load_data(bytes_, model=nn.Linear(8, 6))
    with pytest.raises(DataError, match="expected class scores"):
        load_data(bytes_, model=nn.Identity())
    with pytest.raises(DataError, match=r"expected a torch.nn.Module"):
        check_model("resnet18", x, torch.zeros(12, dtype=torch.int64))
