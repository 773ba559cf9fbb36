"""Networks whose scores for an image depend on the other images of its batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gdws_explorer as gx
from gdws_explorer.robust.batch_dependence import NOTE, depends_on_batch
from gdws_explorer.robust.report import Report

X = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 4


class Net(nn.Module):
    """A small network with a step between its features and its scores."""

    def __init__(self, step=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
        self.step = step or nn.Identity()

    def forward(self, x):
        return self.fc(self.step(self.conv(x).relu()).mean((2, 3)))


class Step(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def batchnorm(x):
    return F.batch_norm(x, None, None, training=True)


def by_hand(x):
    return (x - x.mean(0)) / (x.std(0) + 1e-3)


def attention(x):
    rows = x.flatten(1)
    return x + (rows @ rows.T / 10).softmax(1).matmul(rows).view_as(x)


def weakly(x):
    return x + 0.05 * x.mean(0)


def largest(x):
    return x / x.amax((0, 2, 3), keepdim=True)


class InTraining(nn.BatchNorm2d):
    """A BatchNorm that normalises with the batch in eval mode too."""

    def forward(self, x):
        self.training = True
        return super().forward(x)


DEPENDENT = [batchnorm, by_hand, attention, weakly]
INDEPENDENT = {
    "plain": lambda: Net(),
    "frozen BatchNorm": lambda: Net(nn.BatchNorm2d(6)),
    "instance norm": lambda: Net(nn.InstanceNorm2d(6)),
    "random": lambda: Net(Step(lambda x: x + 0.3 * torch.rand_like(x))),
    "dropout": lambda: Net(Step(lambda x: F.dropout(x, 0.5, training=True))),
    "half precision": lambda: Net().to(torch.bfloat16),
    "constant": lambda: Net(Step(lambda x: x * 0)),
    "not finite": lambda: Net(Step(lambda x: x / 0)),
}


def looked_at(model, x):
    with torch.no_grad():
        return depends_on_batch(model, x, model(x))


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("function", DEPENDENT)
def test_dependence_is_found(function, n):
    assert looked_at(Net(Step(function)).eval(), X[:n])


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("make", INDEPENDENT.values(), ids=INDEPENDENT)
def test_nothing_is_found_where_there_is_none(make, n):
    model = make().eval()
    x = X[:n].to(next(model.parameters()).dtype)
    state = torch.get_rng_state()
    with torch.no_grad():
        scores = model(x)
        torch.set_rng_state(state)
        assert not depends_on_batch(model, x, scores)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dependence_is_found_in_other_precisions(dtype):
    assert looked_at(Net(Step(by_hand)).eval().to(dtype), X.to(dtype))
    assert looked_at(Net(Step(largest)).eval().to(dtype), X.to(dtype))


@pytest.mark.parametrize("function", [largest, lambda x: x * len(x)])
def test_dependence_on_a_maximum_and_on_the_size_is_found(function):
    assert looked_at(Net(Step(function)), X)


def test_a_model_of_one_batch_size_is_left_alone():
    model = Net(Step(lambda x: x.reshape(12, 6, 6, 6)))
    assert not looked_at(model, X)


@pytest.mark.parametrize("make", [lambda: Net(InTraining(6)), lambda: Net(Step(attention))])
def test_it_is_said_in_the_report(make):
    model = make()
    for attack in (None, gx.PGD(8 / 255, steps=1)):
        report = gx.evaluate(model, (X, Y), attack)
        assert report.batch_dependent
        assert report.note == NOTE
        assert str(report).endswith(f"; note: {NOTE}")
        assert Report.from_dict(report.to_dict()).batch_dependent
    report = gx.check_masking(model, (X, Y), gx.PGD(8 / 255, steps=1), n=12, queries=5)
    assert report.note == NOTE
    assert str(report).endswith(f"note: {NOTE}")


def test_it_is_not_said_of_others():
    report = gx.evaluate(Net(), (X, Y), gx.PGD(8 / 255, steps=1))
    assert report.note is None
    assert not report.batch_dependent
    assert "note" not in str(report)


def test_one_look_in_an_evaluation():
    """It takes two images more than the evaluation itself."""
    seen = []
    gx.evaluate(Net(Step(lambda x: seen.append(len(x)) or x)), (X, Y), batch_size=4)
    assert sorted(seen) == [2, 4, 4, 4]
    seen.clear()
    gx.evaluate(Net(Step(lambda x: seen.append(len(x)) or x)), (X, Y), batch_size=1)
    assert seen == [1] * 12
