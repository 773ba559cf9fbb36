import socket

import pytest
import torch
from torch import nn

from gdws_explorer.bench.model_registry import CIFAR, load_model, model_names
from gdws_explorer.errors import ModelError
from gdws_explorer.robust.normalized import Normalized


def params(model):
    return sum(each.numel() for each in model.parameters())


def test_the_papers_networks(tmp_path):
    state = torch.get_rng_state()
    model = load_model("cifar:preactresnet18")
    assert torch.equal(state, torch.get_rng_state())
    assert params(model) == 11_171_146
    assert not any(module.training for module in model.modules())
    again, other = load_model("cifar:preactresnet18"), load_model("cifar:preactresnet18", seed=1)
    assert torch.equal(model.conv1.weight, again.conv1.weight)
    assert not torch.equal(model.conv1.weight, other.conv1.weight)
    torch.save({"net": {f"module.{k}": v for k, v in other.state_dict().items()}},
               tmp_path / "ckpt.pth")  # fmt: skip
    loaded = load_model("cifar:preactresnet18", weights=tmp_path / "ckpt.pth")
    assert torch.equal(loaded.conv1.weight, other.conv1.weight)
    assert load_model("cifar:vgg16", classes=100).classifier.out_features == 100
    assert model_names("cifar") == tuple(CIFAR)


def test_torchvisions_networks(vision, offline):
    for name in ("resnet18", "torchvision:resnet18"):
        model = load_model(name)
        assert params(model) == 11_689_512
        assert not model.training
    assert load_model("mobilenet_v3_small", classes=7).classifier[-1].out_features == 7
    assert "resnet50" in model_names("torchvision")
    assert not any("rcnn" in name for name in model_names("torchvision"))
    assert not offline


def test_weights_are_downloaded_only_when_asked_and_read_without_unpickling(
    vision, offline, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        ModelError, match="weights of torchvision:squeezenet1_1 cannot be downloaded"
    ):
        load_model("squeezenet1_1", weights=True)
    assert offline
    made = vision.models.squeezenet1_1()
    calls = []

    def fetched(url, *_, **options):
        calls.append(options)
        return made.state_dict()

    monkeypatch.setattr(vision.models._api, "load_state_dict_from_url", fetched)
    for weights in (True, "DEFAULT", "IMAGENET1K_V1"):
        model = load_model("squeezenet1_1", weights=weights)
        assert isinstance(model, Normalized)
        assert not any(module.training for module in model.modules())
        assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
        assert torch.equal(model.model.features[0].weight, made.features[0].weight)
    assert calls[0] == {"progress": False, "check_hash": True, "weights_only": True}
    with pytest.raises(ModelError, match="have 1000 classes, not 10"):
        load_model("squeezenet1_1", weights=True, classes=10)
    with pytest.raises(ModelError, match=r"no weights 'V9'.* one of IMAGENET1K_V1, DEFAULT"):
        load_model("squeezenet1_1", weights="V9")


def test_timms_networks(vision, offline, tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    model = load_model("timm:resnet10t", classes=5)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 5)
    assert load_model("timm:resnet10t.c3_in1k").num_classes == 1000
    assert "resnet50" in model_names("timm")
    assert not offline
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="weights of timm:resnet10t cannot be downloaded"):
        load_model("timm:resnet10t", weights=True)
    with pytest.raises(ModelError, match="there is no file c3_in1k; expected one, or True"):
        load_model("timm:resnet10t", weights="c3_in1k")
    for name in ("timm:resnet99t", "timm:hf-hub:somebody/something"):
        with pytest.raises(ModelError, match="unknown network"):
            load_model(name)
    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: real(name))
    model = load_model("timm:resnet10t", weights=True)
    assert isinstance(model, Normalized)
    assert model.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_without_timm(vision, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ModelError, match="timm is not installed; install it with: pip install"):
        load_model("timm:resnet18")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar:resnet19", "unknown network cifar:resnet19; did you mean cifar:resnet18"),
        ("preactresnet18", "did you mean .*cifar:preactresnet18"),
        ("keras:resnet50", 'expected a name such as "cifar:resnet18"'),
        ("cifar:", "unknown network cifar:"),
        ("", "unknown network"),
        (nn.Identity(), "unknown network Identity"),
    ],
)
def test_unknown_names(vision, name, words):
    with pytest.raises(ModelError, match=words):
        load_model(name)


def test_what_does_not_fit_together(tmp_path):
    with pytest.raises(ModelError, match="has no weights to download"):
        load_model("cifar:resnet18", weights=True)
    with pytest.raises(ModelError, match="there is no file"):
        load_model("cifar:resnet18", weights=tmp_path / "none.pt")
    for classes in (0, -1, 2.0, True, "10"):
        with pytest.raises(ModelError, match=r"classes is .*; expected a whole number"):
            load_model("cifar:resnet18", classes=classes)
    with pytest.raises(ModelError, match="unknown registry 'keras'"):
        model_names("keras")


def test_the_network_is_really_off(offline):
    with pytest.raises(OSError, match="no network in tests"):
        socket.create_connection(("example.org", 80))


def test_the_words_of_timm_are_accepted():
    model = load_model("cifar:resnet18", num_classes=3, pretrained=False)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    assert load_model("cifar:resnet18", classes=3, num_classes=3).linear.out_features == 3
    with pytest.raises(ModelError, match="classes is 3 and num_classes is 4; give one of them"):
        load_model("cifar:resnet18", classes=3, num_classes=4)
    with pytest.raises(ModelError, match=r"weights is 'w\.pt' and pretrained is True"):
        load_model("torchvision:resnet18", weights="w.pt", pretrained=True)
    with pytest.raises(ModelError, match="has no weights to download"):
        load_model("cifar:resnet18", pretrained=True)
