"""All tables at once: by several threads, from a cache on disk, damaged or whole."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gdws_explorer.errors import Cancelled, ExplorerError
from gdws_explorer.network.budget import table_cache as caches
from gdws_explorer.network.budget.table_cache import Cache
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import SVD, SpatialSVD, Tucker2
from gdws_explorer.network.plans.families import FAMILIES, Family
from gdws_explorer.utils import cache_folder


@pytest.fixture
def decomposed(monkeypatch):
    """The families' decompositions that are made, as they are made."""
    made = []
    for kind in {type(family) for family in FAMILIES.values()}:

        def noted(self, module, moments=None, old=kind.decompose):
            made.append(self.name)
            return old(self, module, moments)

        monkeypatch.setattr(kind, "decompose", noted)
    return made


def test_every_table_is_there_once(resnet, images, decomposed):
    net = Network(resnet, images).prepare()
    assert len(decomposed) == sum(len(net.layer(name).families) for name in net.names)
    for name in net.names:
        net.table(name, tuple(FAMILIES), "params")
    net.budget(macs=0.5)
    net.budget(params=0.5)
    net.budget(error=0.2)
    assert len(decomposed) == sum(len(net.layer(name).families) for name in net.names)


def test_progress_rises_to_one_and_threads_stay(resnet, images):
    torch.set_num_threads(2)
    said = []
    Network(resnet, images).prepare(said.append)
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1)
    assert torch.get_num_threads() == 2


def test_cancelling_leaves_no_file(resnet, images, tmp_path):
    with pytest.raises(Cancelled):
        Network(resnet, images).prepare(cancel=lambda: True, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_second_opening_decomposes_nothing_and_says_the_same(
    resnet, images, tmp_path, decomposed
):
    first = Network(resnet, images).prepare(cache=tmp_path)
    plans = [first.budget(macs=m) for m in (0.3, 0.6)] + [first.budget(params=0.4)]
    decomposed.clear()
    said = []
    again = Network(resnet, images).prepare(said.append, cache=tmp_path)
    assert said == [1.0]
    assert [again.budget(macs=m) for m in (0.3, 0.6)] + [again.budget(params=0.4)] == plans
    assert decomposed == []
    mixed = again.plan(
        {
            "layer1.0.conv1": Tucker2(5, 3),
            "layer1.0.conv2": SpatialSVD(7),
            "layer2.0.conv1": SVD(4),
            "fc": SVD(2),
        }
    )
    assert again.summary(mixed) == first.summary(mixed)
    ours, theirs = again.build(mixed), first.build(mixed)
    assert torch.equal(ours(images), theirs(images))
    assert decomposed == []
    for one in ("tucker2", "svd", "spatial"):
        assert np.array_equal(
            FAMILIES[one].table(again.spectrum("layer1.0.conv1", one))[1],
            FAMILIES[one].table(first.spectrum("layer1.0.conv1", one))[1],
        )


@pytest.mark.parametrize("damage", ["cut", "text", "flipped", "schema", "half"])
def test_a_damaged_file_is_made_again(resnet, images, tmp_path, decomposed, damage, monkeypatch):
    net = Network(resnet, images).prepare(cache=tmp_path)
    plan = net.budget(macs=0.5)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "text":
            file.write_text("not a tensor")
        case "flipped":
            file.write_bytes(
                bytes(b ^ 255 if i == len(whole) - 9 else b for i, b in enumerate(whole))
            )
        case "schema":
            monkeypatch.setattr(caches, "SCHEMA", 99)
        case "half":
            tensors = load_file(file)
            del tensors["fc/svd/macs:cost"], tensors["fc/svd/macs:error"]
            save_file(tensors, file)
    decomposed.clear()
    again = Network(resnet, images).prepare(cache=tmp_path)
    assert again.budget(macs=0.5) == plan
    decomposed.clear()
    Network(resnet, images).prepare(cache=tmp_path).budget(macs=0.5)
    assert decomposed == []


def test_other_weights_have_another_file(resnet, images, tmp_path):
    Network(resnet, images).prepare(cache=tmp_path)
    with torch.no_grad():
        resnet.layer1[0].conv1.weight[0, 0, 0, 0] += 1
    Network(resnet, images).prepare(cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written(resnet, images, tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(ExplorerError, match="taken"):
        Network(resnet, images).prepare(cache=taken)
    # Nobody named the default folder: nobody is told.
    monkeypatch.setattr(caches, "LARGE", 0)
    monkeypatch.setattr(cache_folder, "default_folder", lambda: taken)
    assert Network(resnet, images).prepare(cache=True).budget(macs=0.5)


def test_small_networks_leave_no_file_by_default(resnet, images, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "default_folder", lambda: tmp_path)
    Network(resnet, images).prepare(cache=True)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "FILES", 2)
    other = tmp_path / "my_checkpoint.safetensors"
    save_file({"w": torch.ones(2)}, other)
    names = [f"{i}" * 64 for i in range(4)]
    for i, name in enumerate(names):
        Cache(tmp_path / f"{name}.safetensors").write({"a": {"b": torch.ones(3) * i}})
    assert sorted(file.stem for file in tmp_path.iterdir()) == [*names[2:], other.stem]
    assert Cache(tmp_path / f"{names[3]}.safetensors").get("a")["b"].tolist() == [3, 3, 3]


def test_parts_are_enough_for_every_family_that_has_any(net):
    for one, method in FAMILIES.items():
        name = "layer2.0.conv1"
        spectrum = net.spectrum(name, one)
        parts = method.parts(spectrum)
        if not parts:
            assert type(method).of_parts is Family.of_parts
            continue
        same = method.of_parts(net.model.get_submodule(name), parts)
        assert np.array_equal(method.table(same)[1], method.table(spectrum)[1])


def test_an_interrupt_does_not_wait_for_the_layers_that_have_not_begun(resnet, images, decomposed):
    def interrupt():
        if decomposed:
            raise KeyboardInterrupt
        return False

    net = Network(resnet, images)
    with pytest.raises(KeyboardInterrupt):
        net.prepare(cancel=interrupt)
    assert len(decomposed) < sum(len(net.layer(name).families) for name in net.names)


def test_a_cache_that_cannot_be_touched_is_no_error(resnet, images, tmp_path, monkeypatch):
    Network(resnet, images).prepare(cache=tmp_path)

    def refused(*_args, **_kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("pathlib.Path.touch", refused)
    assert Network(resnet, images).prepare(cache=tmp_path).budget(macs=0.5)


def test_alpha_in_memory_is_written_when_a_folder_is_named_later(resnet, images, tmp_path):
    net = Network(resnet, images)
    x = torch.rand(6, 3, 8, 8)
    net.alpha(x)
    net.alpha(x, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
