"""Forward passes in lockstep: what they show, in which order, and how they end."""

import threading

import pytest
import torch
from torch import nn

from gdws_explorer.network.calibration.lockstep import SUM, LockstepForward


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.second = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.second(x) + x


@pytest.fixture
def model():
    return Residual().eval()


@pytest.fixture
def batches():
    return [torch.rand(n, 2, 4, 4) for n in (3, 2, 1)]


def stops(forward):
    found = []
    while (stop := forward.step()) is not None:
        found.append(stop)
    return found


def test_inputs_before_and_outputs_after(model, batches):
    named = {"first": model.first, "second": model.second}
    with torch.no_grad():
        firsts = [model.first(x) for x in batches]
    with LockstepForward(model, batches, named, {}) as forward:
        before = stops(forward)
    with LockstepForward(model, batches, {}, named) as forward:
        after = stops(forward)
    assert [name for name, _ in before] == [name for name, _ in after] == ["first", "second"]
    for x, first, taken, given in zip(batches, firsts, before[0][1], after[0][1], strict=True):
        torch.testing.assert_close(taken, x)
        torch.testing.assert_close(given, first)
    for first, taken in zip(firsts, before[1][1], strict=True):
        torch.testing.assert_close(taken, torch.relu(first))


def test_a_change_at_a_stop_is_seen_by_all_batches(model, batches):
    with LockstepForward(
        model, batches, {"first": model.first}, {"second": model.second}
    ) as forward:
        assert forward.step()[0] == "first"
        with torch.no_grad():
            model.first.weight.zero_()
            model.first.bias.fill_(1.0)
        _, outputs = forward.step()
    with torch.no_grad():
        for x, out in zip(batches, outputs, strict=True):
            torch.testing.assert_close(out, model.second(torch.ones_like(x)))


def test_the_other_branch_is_shown_at_a_sum(model, batches):
    second = {"second": model.second}
    with LockstepForward(model, batches, second, {}, sums=["second"]) as forward:
        (before, inputs), (at_sum, others) = stops(forward)
    assert (before, at_sum) == ("second", SUM + "second")
    for x, other in zip(inputs, others, strict=True):
        torch.testing.assert_close(other, x)


def test_leaving_early_leaves_nothing_behind(model, batches):
    threads = threading.active_count()
    with LockstepForward(model, batches, {"first": model.first}, {}) as forward:
        forward.step()
    assert threading.active_count() == threads
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_error_of_the_model_is_raised_by_the_step(model, batches):
    batches[1] = torch.rand(1, 5, 4, 4)
    with (
        pytest.raises(RuntimeError, match="channels"),
        LockstepForward(model, batches, {}, {"first": model.first}) as forward,
    ):
        forward.step()
