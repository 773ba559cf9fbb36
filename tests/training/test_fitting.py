"""The loop: what it hands out, what it holds out, and going on after it was killed."""

import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from gdws_explorer.errors import Cancelled, DataError, TrainingError
from gdws_explorer.robust import PGD, evaluate
from gdws_explorer.training import EpochRecord, Recipe, fit, train_state
from gdws_explorer.training import amp as precisions

FAST = Recipe(method="fast", eps=0.1, epochs=3, lr=0.05, batch_size=12, average=0.9)
HELD = {"method": "pgd", "eps": 0.1, "steps": 2, "epochs": 4, "batch_size": 12, "validation": 0.25}


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for the power failure."""


def weights(model):
    return torch.cat([each.flatten().double() for each in model.state_dict().values()])


def killed_after(number):
    def after(epoch):
        if epoch.number == number + 1:
            raise Killed

    return after


# -- going on ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["standard", "pgd", "trades", "fast"])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_stopped_training_goes_on_to_the_same_weights(net, data, tmp_path, method, schedule):
    recipe = Recipe(
        method=method, schedule=schedule, eps=0.1, steps=2, epochs=3, lr=0.05, batch_size=12,
        average=0.9, validation=0.25,
    )  # fmt: skip
    whole = fit(net, data, recipe)
    file = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        fit(net, data, recipe, checkpoint=file, after_epoch=killed_after(1))
    torch.rand(3)  # the generator's state is the checkpoint's, not the caller's
    again = fit(net, data, recipe, checkpoint=file)
    assert torch.equal(weights(whole.model), weights(again.model))
    assert [e.number for e in again.history] == [1, 2, 3]
    assert [e.loss for e in again.history] == [e.loss for e in whole.history]
    assert [e.validation for e in again.history] == [e.validation for e in whole.history]
    assert again.best == whole.best
    third = fit(net, data, recipe, checkpoint=file)  # a finished one is not trained again
    assert third.history == again.history
    assert torch.equal(weights(third.model), weights(again.model))


SCRIPT = """
import sys, torch
from torch import nn
from gdws_explorer.training import Recipe, fit
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2),
                    nn.Flatten(), nn.Linear(4 * 36, 4))
x, y = torch.rand(48, 1, 8, 8), torch.arange(48) % 4
recipe = Recipe(method="fast", eps=0.1, epochs=3, lr=0.05, batch_size=8, average=0.9)
def progress(done, known):
    if sys.argv[2] == "wait" and known.epoch == 2 and known.step % 6 == 4:
        print("in the second epoch", flush=True)
        sys.stdin.read()
def weights(file):
    model = fit(net, (x, y), recipe, checkpoint=file, progress=progress).model
    return torch.cat([v.flatten().double() for v in model.state_dict().values()])
assert torch.equal(weights(sys.argv[1]), weights(None))
print("the same")
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path, root):
    def start(how):
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(file), how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip

    file = tmp_path / "killed.safetensors"
    with start("wait") as first:
        assert first.stdout.readline() == "in the second epoch\n"
        os.kill(first.pid, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    with safe_open(file, "pt") as written:
        assert int(written.get_tensor("steps")) == 6  # one epoch, and not the steps after it
    assert start("on").communicate()[0] == "the same\n"


def test_a_checkpoint_of_something_else_is_refused_by_name(net, data, tmp_path):
    file = tmp_path / "run.safetensors"
    fit(net, data, FAST, checkpoint=file)
    before = file.read_bytes()
    x, y = data
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    for model, images, recipe, word in (
        (other, data, FAST, "network"),
        (net, (x.flip(0), y), FAST, "data"),
        (net, data, Recipe(**{**FAST.to_dict(), "lr": 0.06}), r"recipe lr 0\.05 there, 0\.06 here"),
    ):
        with pytest.raises(TrainingError, match=f"another training .*{word}"):
            fit(model, images, recipe, checkpoint=file)
    with pytest.raises(TrainingError, match=r"about ratio None there, 4 here"):
        fit(net, data, FAST, checkpoint=file, about={"ratio": 4})
    with pytest.raises(TrainingError, match=r"augment None there, .*lambda"):
        fit(net, data, FAST, checkpoint=file, augment=lambda x: x)
    assert file.read_bytes() == before


def test_too_little_disk_loses_nothing(net, data, tmp_path, monkeypatch):
    file = tmp_path / "run.safetensors"
    usage = namedtuple("usage", "total used free")
    free = [10**9, 10**9, 10]  # before the first epoch, after it, after the second
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, free.pop(0)))
    steps = []
    with pytest.raises(TrainingError, match="MB left") as caught:
        fit(net, data, FAST, checkpoint=file, progress=lambda _, known: steps.append(known.step))
    assert steps[-1] == 8
    assert isinstance(caught.value.trained, nn.Module)  # the second epoch is in here
    monkeypatch.undo()
    again = fit(net, data, FAST, checkpoint=file)
    assert torch.equal(weights(again.model), weights(fit(net, data, FAST).model))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10))
    with pytest.raises(TrainingError, match="MB left"):  # before anything is trained
        fit(net, data, FAST, checkpoint=tmp_path / "new", progress=lambda *_: pytest.fail("step"))


def test_extra_state_is_saved_and_put_back(net, data, tmp_path):
    class Dual:
        def __init__(self):
            self.value = torch.zeros(2)

        def capture(self):
            return {"u": self.value}

        def restore(self, held):
            self.value = held["u"].clone()

    def run(stop, file):
        dual = Dual()

        def after(epoch):
            dual.value = dual.value + epoch.number * torch.tensor([1.0, 10.0])
            if epoch.number == stop:
                raise Killed

        made = fit(
            net, data, FAST, after_epoch=after, extra=dual, checkpoint=file,
            penalty=lambda model: model[8].weight.square().sum() * (1 + dual.value[0]),
        )  # fmt: skip
        return weights(made.model), dual.value

    whole, dual = run(None, None)
    assert dual.tolist() == [6, 60]
    file = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        run(2, file)
    again, dual = run(None, file)
    assert dual.tolist() == [6, 60]
    assert torch.equal(whole, again)
    assert not torch.equal(whole, weights(fit(net, data, FAST).model))


# -- what it hands out -------------------------------------------------------------------------


def test_a_penalty_pulls(net, data):
    recipe = Recipe(epochs=3, lr=0.05, batch_size=12)
    pulled = fit(net, data, recipe, penalty=lambda model: 5 * model[0].weight.square().sum())
    assert pulled.model[0].weight.norm() < 0.5 * fit(net, data, recipe).model[0].weight.norm()


def test_after_epoch_may_change_the_network(net, data):
    seen = []

    def after(epoch):
        seen.append((epoch.number, epoch.epochs, epoch.entry.steps, epoch.model.training))
        with torch.no_grad():
            epoch.model[8].bias.fill_(7.0)

    recipe = Recipe(epochs=2, lr=1e-6, batch_size=12)
    made = fit(net, data, recipe, after_epoch=after)
    assert seen == [(1, 2, 4, True), (2, 2, 8, True)]
    assert torch.equal(made.model[8].bias, torch.full((4,), 7.0))
    assert not torch.equal(net[8].bias, made.model[8].bias)


def test_what_happened_is_counted(net, data):
    known = []
    made = fit(
        net, data, Recipe(**HELD, average=0.9), progress=lambda done, each: known.append(each)
    )
    assert [each.number for each in made.history] == [1, 2, 3, 4]
    for entry in made.history:
        assert (entry.seen, entry.attack_steps) == (36, 2)
        assert 0 <= entry.correct <= 36
        assert math.isfinite(entry.loss)
        assert entry.validation.n == 12
        assert entry.validation.attack == PGD(0.1, 10)
        assert EpochRecord.from_dict(entry.to_dict()) == entry
        low, high = entry.validation.robust_interval
        assert low <= entry.validation.robust_correct / 12 <= high
    assert known[0].last is None
    assert known[-1].last == made.history[-2]
    assert [each.step for each in known] == list(range(1, 13))
    with pytest.raises(DataError, match="cannot be read"):
        EpochRecord.from_dict({"number": 1})


def test_the_best_epoch_is_returned(net, data):
    """The last epochs are spoilt on purpose, so the best one is known."""

    def after(epoch):
        if epoch.number >= 2:
            with torch.no_grad():
                epoch.model[8].weight.zero_()

    recipe = Recipe(**{**HELD, "lr": 0.05, "epochs": 5})
    made = fit(net, data, recipe, after_epoch=after)
    ranks = [entry.validation.rank for entry in made.history]
    assert made.best == max(range(1, 6), key=lambda number: (ranks[number - 1], number))
    assert made.best < 5
    stopped = fit(net, data, Recipe(**{**HELD, "lr": 0.05, "epochs": 5, "patience": 1}),
                  after_epoch=after)  # fmt: skip
    assert len(stopped.history) == stopped.best + 1 < 5


def test_held_out_images_are_not_learned_from(net, data):
    seen = []

    def note(x):
        seen.append(x)
        return x

    fit(net, data, Recipe(**HELD), augment=note)
    learned = {tuple(image.flatten().tolist()) for batch in seen for image in batch}
    assert len(learned) == 36
    with pytest.raises(DataError, match="leaves none to learn from"):
        fit(net, (data[0][:1], data[1][:1]), Recipe(epochs=1, validation=0.5))


def test_crops_are_the_recipes_and_other_augmentation_the_callers(net, data):
    wide = (torch.rand(24, 1, 32, 32), torch.arange(24) % 4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def trained(**how):
        return weights(fit(model, wide, Recipe(epochs=1, batch_size=8, **how)).model)

    assert not torch.equal(trained(), trained(augment=True))
    small = Recipe(epochs=1, batch_size=12)
    crops = Recipe(epochs=1, batch_size=12, augment=True)
    assert torch.equal(weights(fit(net, data, small).model), weights(fit(net, data, crops).model))


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_and_keeps_the_good_epochs(net, data, tmp_path):
    file = tmp_path / "run.safetensors"
    turn = []

    def penalty(model):
        turn.append(1)
        return torch.tensor(math.nan if len(turn) == 11 else 0.0)

    with pytest.raises(TrainingError) as caught:
        fit(net, data, FAST, penalty=penalty, checkpoint=file)
    words = str(caught.value)
    assert "loss became nan at step 11 of 12 (epoch 3, batch 3)" in words
    assert f"weights of epoch 2 are kept in {file}" in words
    assert "smaller learning rate than 0.05" in words
    two = []
    fit(net, data, FAST, after_epoch=lambda e: two.append(weights(e.answer)))
    assert torch.equal(weights(caught.value.trained), two[1])
    assert torch.equal(weights(fit(net, data, FAST, checkpoint=file).model), two[2])


@pytest.mark.parametrize("method", ["standard", "fast"])
def test_weights_that_the_last_step_spoils_are_found(net, data, method):
    recipe = Recipe(method=method, eps=0.1, epochs=2, lr=1e38, batch_size=48, weight_decay=0.5)
    with pytest.raises(TrainingError, match=r"became .*train again with a smaller learning rate"):
        fit(net, data, recipe, penalty=lambda model: 1e38 * model[0].weight.sum())


def test_cancel_within_a_batch(net, data, trace, same):
    before, stop, calls = trace(net), threading.Event(), []

    def cancelled():
        calls.append(1)
        return len(calls) > 3  # inside the first batch's attack

    with pytest.raises(Cancelled):
        fit(net, data, Recipe(method="pgd", eps=0.1, epochs=1), cancel=cancelled,
            progress=lambda *_: stop.set())  # fmt: skip
    assert not stop.is_set()
    assert same(before, trace(net))


def test_mixed_precision_where_the_device_has_it(net, data, monkeypatch):
    monkeypatch.setattr(precisions, "_cpu_has_bfloat16", lambda: True)
    recipe = Recipe(method="pgd", eps=0.1, steps=2, epochs=12, lr=0.05, batch_size=12, amp=True)
    mixed = fit(net, data, recipe)
    assert mixed.precision == "bfloat16"
    assert all(each.dtype == torch.float32 for each in mixed.model.parameters())
    assert mixed.model[0].weight.is_contiguous()
    assert evaluate(mixed.model, data).clean > 0.9
    plain = fit(net, data, replace(recipe, amp=False))
    assert not torch.equal(weights(mixed.model), weights(plain.model))


def test_float16_scales_its_gradients_and_goes_on(net, data, tmp_path, monkeypatch):
    monkeypatch.setattr(train_state, "half_of", lambda device: torch.float16)
    recipe = Recipe(method="pgd", eps=0.1, steps=2, epochs=3, lr=0.05, batch_size=12, amp=True)
    whole = fit(net, data, recipe)
    assert whole.precision == "float16"
    file = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        fit(net, data, recipe, checkpoint=file, after_epoch=killed_after(2))
    with safe_open(file, "pt") as written:
        assert written.get_tensor("scaler.scale") > 1
    assert torch.equal(weights(fit(net, data, recipe, checkpoint=file).model), weights(whole.model))


def test_without_the_instructions_it_stays_in_float32(net, data, monkeypatch):
    monkeypatch.setattr(precisions, "_cpu_has_bfloat16", lambda: False)
    recipe = Recipe(epochs=1, batch_size=12)
    plain, asked = fit(net, data, recipe), fit(net, data, replace(recipe, amp=True))
    assert asked.precision == "float32"
    assert torch.equal(weights(plain.model), weights(asked.model))
