"""Models in wrappers and with unusual states: used as others are, or refused by name."""

import copy
import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import gdws_explorer as gx
from gdws_explorer.utils.model_state import state_tensors
from gdws_explorer.utils.modules import preserve_modes

X = torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(32) % 4
PGD = gx.PGD(8 / 255, steps=2)
RECIPE = gx.Recipe("pgd", eps=8 / 255, steps=1, epochs=1, lr=0.001, batch_size=16)


class Net(nn.Module):
    """Three convolutions; the middle ones can be approximated."""

    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.c2, self.c3 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.c2(F.relu(self.b1(self.c1(x)))))
        return self.fc(F.relu(self.c3(x)).mean((2, 3)))


class Scaled(nn.Module):
    """A factor in the extra state of a state_dict."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.factor = kind, 2.0

    def forward(self, x):
        return x * self.factor

    def get_extra_state(self):
        kinds = {"dict": {"factor": self.factor}, "tensor": torch.tensor(self.factor)}
        return kinds.get(self.kind)

    def set_extra_state(self, state):
        if state is not None:
            self.factor = float(state["factor"] if self.kind == "dict" else state)


class OwnAverage(nn.Module):
    """A moving average of a network's weights, as training scripts write it."""

    def __init__(self, model, decay=0.9):
        super().__init__()
        self.module, self.decay = copy.deepcopy(model), decay

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


class Halved(nn.Module):
    def forward(self, weight):
        return weight * 0.5


def averaged(**settings):
    net = Net()
    average = torch.optim.swa_utils.AveragedModel(net, **settings)
    average.update_parameters(net)
    return average


def with_part(change):
    """Makes a network whose part is changed by a function, or replaced by its result."""

    def make():
        net = Net()
        net.c2 = change(net.c2)
        return net

    return make


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_in_place():
    net = Net()
    net.compile(backend="eager")
    return net


def filled_lazy():
    net = Net()
    net.c2 = nn.LazyConv2d(8, 3, padding=1)
    net(X[:2])
    return net


def twice(part):
    net = Net()
    if part == "module":
        net.c3 = net.c2
    else:
        net.c3.weight = net.c2.weight
    return net


def distributed():
    if not torch.distributed.is_initialized():
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(Net())


WORKING = {
    "plain": Net,
    "extra state": lambda: nn.Sequential(Scaled("dict"), Net()),
    "extra state, a tensor": lambda: nn.Sequential(Scaled("tensor"), Net()),
    "extra state, None": lambda: nn.Sequential(Scaled("none"), Net()),
    "AveragedModel": averaged,
    "AveragedModel with buffers": lambda: averaged(use_buffers=True),
    "own average": lambda: OwnAverage(Net()),
    "DataParallel": lambda: nn.DataParallel(Net()),
    "DistributedDataParallel": distributed,
    "compiled": lambda: compiled(Net()),
    "compiled in place": compiled_in_place,
    "compiled part": with_part(compiled),
    "compiled in DataParallel": lambda: nn.DataParallel(compiled(Net())),
    "DataParallel, compiled": lambda: compiled(nn.DataParallel(Net())),
    "parametrised": with_part(
        lambda conv: parametrize.register_parametrization(conv, "weight", Halved())
    ),
    "weight norm": with_part(parametrizations.weight_norm),
    "old weight norm": with_part(nn.utils.weight_norm),
    "spectral norm": with_part(parametrizations.spectral_norm),
    "old spectral norm": with_part(nn.utils.spectral_norm),
    "pruned": with_part(lambda conv: prune.l1_unstructured(conv, "weight", 0.5)),
    "lazy, filled": filled_lazy,
    "one module twice": lambda: twice("module"),
    "one parameter twice": lambda: twice("parameter"),
}

PASSING_ON = ["AveragedModel", "own average", "DataParallel"]  # forward(*args)


def made(name):
    torch.manual_seed(0)
    return WORKING[name]()


def scores(model):
    with preserve_modes(model), torch.no_grad():
        return model.eval()(X)


@pytest.fixture(params=WORKING)
def wrapped(request):
    model = made(request.param)
    before = {name: each.clone() for name, each in state_tensors(model).items()}
    modes = [module.training for module in model.modules()]
    yield model
    assert modes == [module.training for module in model.modules()]
    for name, each in state_tensors(model).items():
        assert torch.equal(each, before[name]), name


def plan_of(net):
    return net.budget(macs=0.9, skip=())


def test_evaluated_as_a_plain_loop_does(wrapped):
    report = gx.evaluate(wrapped, (X, Y), PGD)
    assert report.clean_correct == int((scores(wrapped).argmax(1) == Y).sum())


def test_approximated_and_exported(wrapped, tmp_path):
    net = gx.Network(wrapped, X[:1])
    with torch.no_grad():
        torch.testing.assert_close(net.model(X), scores(wrapped))
        torch.testing.assert_close(net.build(net.plan())(X), scores(wrapped))
    plan = plan_of(net)
    built = net.build(plan, refit=X)
    assert net.summary(plan).macs <= 0.9 * net.macs
    gx.export(built, plan, tmp_path / "out", onnx=False)
    restored = gx.restore(tmp_path / "out", wrapped)
    with torch.no_grad():
        torch.testing.assert_close(restored(X), built(X))


def test_calibrated(wrapped):
    net = gx.Network(wrapped, X[:1])
    view = net.calibrated(net.calibrate(X, Y))
    view.build(view.budget(macs=0.9, skip=()))
    assert all(torch.isfinite(alpha).all() for alpha in net.alpha(X).values())


def test_trained_with_a_checkpoint(wrapped, tmp_path):
    settings = {"epochs": 2, "lr": 0.01, "batch_size": 16, "average": 0.9, "validation": 0.25}
    trained = gx.train(wrapped, (X, Y), PGD, checkpoint=tmp_path / "state", **settings)
    again = gx.train(wrapped, (X, Y), PGD, checkpoint=tmp_path / "state", **settings)
    with torch.no_grad():
        assert torch.equal(trained(X), again(X))


def test_weights_go_through_a_file(wrapped, tmp_path, request):
    torch.save(wrapped.state_dict(), tmp_path / "weights.pt")
    name = request.node.callspec.params["wrapped"]
    torch.manual_seed(1)
    other = WORKING[name]()
    gx.load_checkpoint(tmp_path / "weights.pt", other)
    torch.testing.assert_close(scores(other), scores(wrapped))


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [*PASSING_ON, "extra state", "pruned"], indirect=True)
def test_in_onnx(wrapped, tmp_path):
    net = gx.Network(wrapped, X[:1])
    plan = plan_of(net)
    gx.export(net.build(plan), plan, tmp_path / "out", example=X[:2])


@pytest.mark.slow
def test_finetuned(wrapped):
    net = gx.Network(wrapped, X[:1])
    found = gx.finetune(net, plan_of(net), (X, Y), RECIPE)
    with torch.no_grad():
        rebuilt = found.network.build(found.plan)
        torch.testing.assert_close(rebuilt(X), found.model(X), rtol=1e-3, atol=1e-4)


# -- what is refused ---------------------------------------------------------------------------


class Quantised(nn.Module):
    """A network of layers that are quantised statically."""

    def __init__(self):
        super().__init__()
        self.into, self.out = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.c1, self.c2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.c2(F.relu(self.c1(self.into(x)))))
        return self.out(self.fc(x.mean((2, 3))))


def static():
    model = Quantised().eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    torch.ao.quantization.prepare(model, inplace=True)
    model(X)
    return torch.ao.quantization.convert(model, inplace=True)


def dynamic():
    return torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}, dtype=torch.qint8)


def quantised(kind):
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no engine for quantised layers")
    torch.backends.quantized.engine = "fbgemm"
    torch.manual_seed(0)
    return {"static": static, "dynamic": dynamic}[kind]()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_quantised_networks_are_evaluated_and_otherwise_named(kind, tmp_path):
    model = quantised(kind)
    part = "c1" if kind == "static" else "fc"
    report = gx.evaluate(model, (X, Y), gx.Square(8 / 255, queries=5))
    assert report.clean_correct == int((model(X).argmax(1) == Y).sum())
    for attack in (PGD, gx.FGSM(8 / 255), gx.APGD(8 / 255, steps=2, loss="ce")):
        with pytest.raises(gx.ModelError, match="no gradient"):
            gx.evaluate(model, (X, Y), attack)
    with pytest.raises(gx.ModelError, match=f"{part} holds packed quantised weights"):
        gx.train(model, (X, Y), PGD, epochs=1, lr=0.1)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(gx.ModelError, match=f"{part} holds packed quantised weights"):
        gx.load_checkpoint(tmp_path / "weights.pt", model)
    with pytest.raises(gx.ModelError):
        gx.load_checkpoint(tmp_path / "weights.pt", Net())
    if kind == "static":
        with pytest.raises(gx.ModelError, match="c1 holds packed quantised weights"):
            gx.Network(model, X)
        return
    net = gx.Network(model, X)
    plan = plan_of(net)
    with torch.no_grad():
        torch.testing.assert_close(net.model(X), model(X))
    with pytest.raises(gx.ModelError, match="no gradient"):
        net.calibrate(X)
    with pytest.raises(gx.ModelError, match="fc holds packed quantised weights"):
        gx.export(net.build(plan), plan, tmp_path / "out", onnx=False)
    assert not os.path.exists(tmp_path / "out")


@pytest.mark.filterwarnings("ignore")
def test_the_fingerprint_contains_packed_weights_and_extra_state():
    first, second = quantised("dynamic"), quantised("dynamic")
    fingerprint = gx.Network(first, X).fingerprint
    assert gx.Network(second, X).fingerprint == fingerprint
    second.fc.set_weight_bias(
        torch.quantize_per_tensor(torch.ones(4, 8), 0.1, 0, torch.qint8), None
    )
    assert gx.Network(second, X).fingerprint != fingerprint
    first, second = made("extra state"), made("extra state")
    assert gx.Network(first, X).fingerprint == gx.Network(second, X).fingerprint
    second[0].factor = 3.0
    assert gx.Network(first, X).fingerprint != gx.Network(second, X).fingerprint


@pytest.mark.parametrize("part", ["c2", "b1", "fc"])
def test_lazy_layers_without_weights_are_named(part):
    model = Net()
    lazy = {"c2": nn.LazyConv2d(8, 3), "b1": nn.LazyBatchNorm2d(), "fc": nn.LazyLinear(4)}[part]
    setattr(model, part, lazy)
    for door in (
        lambda: gx.evaluate(model, (X, Y)),
        lambda: gx.Network(model, X),
        lambda: gx.train(model, (X, Y), epochs=1, lr=0.1),
        lambda: gx.check_masking(model, (X, Y), PGD, n=10),
    ):
        with pytest.raises(gx.ModelError, match=rf"{part} is a Lazy\w+ without weights yet"):
            door()


def test_lazy_layers_are_filled_before_a_file_is_loaded(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    model = Net()
    model.c2 = nn.LazyConv2d(8, 3, padding=1)
    with pytest.raises(gx.ModelError, match="c2 is a LazyConv2d"):
        gx.load_checkpoint(tmp_path / "weights.pt", model)
    gx.load_checkpoint(tmp_path / "weights.pt", filled_lazy())


def test_extra_state_that_is_no_json_is_named(tmp_path):
    class Tags(nn.Module):
        def forward(self, x):
            return x

        def get_extra_state(self):
            return {"tags": {1, 2}}

        def set_extra_state(self, state):
            pass

    model = nn.Sequential(Tags(), Net())
    net = gx.Network(model, X)
    plan = plan_of(net)
    with pytest.raises(gx.ModelError, match=r"0\._extra_state is a dict that no file"):
        gx.export(net.build(plan), plan, tmp_path / "out", onnx=False)
    with pytest.raises(gx.TrainingError, match=r"0\._extra_state is a dict that no file"):
        gx.train(model, (X, Y), epochs=1, lr=0.1, checkpoint=tmp_path / "state")
    gx.train(model, (X, Y), epochs=1, lr=0.1, validation=0.25)


def test_a_layer_that_stays_dense_is_named_with_the_reason():
    net = gx.Network(made("one parameter twice"), X)
    with pytest.raises(gx.BudgetError, match="c2 stays dense, because it shares its weight"):
        net.budget(macs=0.5)
    with pytest.raises(gx.BudgetError, match="c2 stays dense, because it shares its weight"):
        gx.cstar(net, (X, Y), RECIPE, macs=0.5)
    pruned = Net()
    for conv in (pruned.c1, pruned.c2, pruned.c3):
        prune.l1_unstructured(conv, "weight", 0.5)
    net = gx.Network(pruned, X)
    with pytest.raises(gx.BudgetError, match="it is pruned by a mask"):
        net.budget(macs=0.5)
