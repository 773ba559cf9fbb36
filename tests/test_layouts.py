"""Networks that flatten by `view`, and images of any layout, through every function."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.training import amp

X = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 4
LAST = X.contiguous(memory_format=torch.channels_last)
PERMUTED = X.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # as from a numpy array
SLICED = torch.cat([X, X], 3)[..., ::2].clone()[:, :, :, :8]
PGD = gx.PGD(8 / 255, steps=2)
ATTACKS = [
    PGD,
    gx.PGD(0.5, steps=2, norm="l2"),
    gx.FGSM(8 / 255),
    gx.APGD(8 / 255, steps=2, loss="ce"),
    gx.FAB(8 / 255, steps=2),
    gx.Square(8 / 255, queries=5),
]
RECIPE = gx.Recipe("pgd", eps=8 / 255, steps=1, epochs=1, lr=0.001, batch_size=12)


class Vgg(nn.Module):
    """A small VGG."""

    def __init__(self, flatten):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.classifier, self.flatten = nn.Linear(8 * 16, 4), flatten

    def forward(self, x):
        return self.classifier(self.flatten(self.features(x)))


class Backward(torch.autograd.Function):
    """A flattening whose backward pass alone needs the usual layout."""

    @staticmethod
    def forward(ctx, x):
        ctx.shape = x.shape
        return x.reshape(len(x), -1)

    @staticmethod
    def backward(ctx, grad):
        return grad.view(ctx.shape)


def checked(x):
    assert x.is_contiguous()
    return x.reshape(len(x), -1)


FLATTENED = {
    "view": lambda x: x.view(x.size(0), -1),
    "view of a fixed size": lambda x: x.view(-1, 8 * 16),
    "strides": lambda x: x.as_strided((len(x), 8 * 16), (8 * 16, 1)),
    "a check": checked,
    "reshape": lambda x: x.reshape(len(x), -1),
    "a function": Backward.apply,
}


LAYOUTS = {"usual": X, "channels last": LAST, "permuted": PERMUTED, "sliced": SLICED}
CASES = [("view", layout) for layout in LAYOUTS] + [
    (way, "channels last") for way in FLATTENED if way != "view"
]


@pytest.fixture(params=CASES, ids=" ".join)
def case(request):
    torch.manual_seed(0)
    way, layout = request.param
    return Vgg(FLATTENED[way]).eval(), LAYOUTS[layout]


@pytest.fixture
def model(case):
    return case[0]


@pytest.fixture
def x(case):
    return case[1]


@pytest.fixture
def reference():
    torch.manual_seed(0)
    return Vgg(FLATTENED["reshape"]).eval()


def test_evaluation(model, x, reference):
    for attack in (
        PGD,
        gx.FGSM(8 / 255),
        gx.PGD(0.5, steps=2, norm="l2"),
        gx.Square(8 / 255, queries=5),
    ):
        ours = gx.evaluate(model, (x, Y), attack, n=12)
        theirs = gx.evaluate(reference, (x.contiguous(), Y), attack, n=12)
        assert ours.clean_correct == theirs.clean_correct
        assert (ours.robust_mask == theirs.robust_mask).all()


def test_from_images(model, x, reference):
    net, plain = gx.Network(model, x), gx.Network(reference, X)
    ours, theirs = net.alpha(x, Y, PGD), plain.alpha(x.contiguous(), Y, PGD)
    for name, alpha in theirs.items():
        torch.testing.assert_close(ours[name], alpha, rtol=1e-3, atol=1e-6)
    calibration = net.calibrate(x, Y, PGD)
    view = net.calibrated(calibration, refit=x)
    plan = view.budget(macs=0.7)
    built = view.build(plan, batchnorm=x)
    with torch.no_grad():
        assert torch.isfinite(built(X)).all()


def test_latency_and_export(model, x, tmp_path):
    net = gx.Network(model, x)
    plan = net.budget(macs=0.7)
    net.measure_latency()
    gx.export(net.build(plan), plan, tmp_path / "out", example=x, onnx=False)
    gx.restore(tmp_path / "out", model)


@pytest.mark.parametrize("half", [False, True])
def test_training(model, x, half, monkeypatch):
    monkeypatch.setattr(amp, "_cpu_has_bfloat16", lambda: half)
    for settings in ({"method": "standard"}, {"method": "pgd", "eps": 0.02, "steps": 1},
                     {"method": "trades", "eps": 0.02, "steps": 1}):  # fmt: skip
        trained = gx.train(model, (x, Y), epochs=1, lr=0.01, batch_size=12, amp=True, **settings)
        assert all(p.is_contiguous() for p in trained.parameters())
        with torch.no_grad():
            assert torch.isfinite(trained(X)).all()


@pytest.mark.parametrize("half", [False, True])
def test_training_of_plans(half, monkeypatch):
    monkeypatch.setattr(amp, "_cpu_has_bfloat16", lambda: half)
    model = Vgg(FLATTENED["view"]).eval()
    net = gx.Network(model, LAST)
    gx.finetune(net, net.budget(macs=0.7), (LAST, Y), RECIPE)
    gx.cstar(net, (LAST, Y), RECIPE, macs=0.7)


def test_masking(x):
    report = gx.check_masking(Vgg(FLATTENED["view"]).eval(), (x, Y), PGD, n=10, queries=5)
    assert report.n == 10
