"""Networks without a gradient are refused by everything that needs one, in our own words."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def scores(self, x):
        return self.fc(torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3)))

    def forward(self, x):
        return self.scores(x)


class NoGrad(Plain):
    @torch.no_grad()
    def forward(self, x):
        return self.scores(x)


class Inference(Plain):
    @torch.inference_mode()
    def forward(self, x):
        return self.scores(x)


class InferenceBackbone(Plain):
    def forward(self, x):
        with torch.inference_mode():
            x = torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))
        return self.fc(x)


class DetachedInput(Plain):
    def forward(self, x):
        return self.scores(x.detach())


class DetachedScores(Plain):
    def forward(self, x):
        return self.scores(x).detach()


X, Y = torch.rand(8, 3, 10, 10, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 5
DATA = (X, Y)
METHODS = ["pgd", "trades", "fast"]
ATTACKS = [
    gx.FGSM(0.02),
    gx.PGD(0.02, 1),
    gx.PGD(0.2, 1, norm="l2"),
    gx.APGD(0.02, 2),
    gx.APGD(0.02, 2, loss="dlr"),
    gx.APGD(0.02, 2, targeted=True),
    gx.FAB(0.02, 2),
]


@pytest.mark.parametrize(
    "kind", [NoGrad, Inference, InferenceBackbone, DetachedInput, DetachedScores]
)
def test_what_needs_a_gradient_says_that_there_is_none(kind):
    model = kind()
    with torch.no_grad():  # attacks skip images that are wrong without attack
        y = model(X).argmax(1)
    asks = [
        *(lambda a=attack: gx.evaluate(model, (X, y), a) for attack in ATTACKS),
        *(lambda a=attack: a.bind(model)(X, y) for attack in ATTACKS),
        lambda: gx.evaluate(model, (X, y), gx.AutoAttack(0.02)),
        lambda: gx.Network(model, X[:1]).alpha(X, y),
        lambda: gx.Network(model, X[:1]).calibrate(X),
        lambda: gx.Network(model, X[:1]).calibrate(X, y, gx.PGD(0.02, 1)),
        lambda: gx.check_masking(model, (X, y), gx.PGD(0.02, 1), n=8, queries=3),
        *(lambda m=m: gx.train(model, DATA, method=m, eps=0.02, epochs=1) for m in METHODS),
    ]
    for ask in asks:
        with pytest.raises(gx.ModelError, match=r"scores carry no gradient.*remove that, or use"):
            ask()
    assert gx.evaluate(model, (X, y), gx.Square(0.02, 3)).clean == 1


@pytest.mark.parametrize("kind", [NoGrad, Inference, InferenceBackbone, DetachedScores])
def test_standard_training_needs_a_gradient_too(kind):
    with pytest.raises(gx.ModelError, match="scores carry no gradient"):
        gx.train(kind(), DATA, epochs=1)


def test_standard_training_needs_no_gradient_of_the_images():
    gx.train(DetachedInput(), DATA, epochs=1)
