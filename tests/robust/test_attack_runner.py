"""The attacks of an evaluation on one batch: the order, the noise, and little memory."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import ModelError
from gdws_explorer.robust.attack_runner import AttackRunner
from gdws_explorer.robust.attacks import FGSM, PGD, Square
from gdws_explorer.robust.data_checks import is_correct

STAGES = (FGSM(0.1), PGD(0.2, steps=3), Square(0.2, queries=5))


@pytest.fixture
def model(net):
    return net.eval().requires_grad_(False)


def test_every_attack_leaves_no_more_images_than_the_one_before(model, data):
    x, y = data
    clean, robust = AttackRunner(model, STAGES, 60).run(x, y, seed=0, start=0)
    assert torch.equal(clean, is_correct(model(x), y))
    assert robust.shape == (3, len(x))
    for before, after in zip([clean, *robust], robust, strict=False):
        assert not (after & ~before).any()


def test_without_attacks_there_is_the_clean_result_alone(model, data):
    clean, robust = AttackRunner(model, (), 60).run(*data, seed=0, start=0)
    assert robust.shape == (0, len(clean))


def test_the_noise_is_that_of_seed_and_batch(model, data):
    x, y = data
    attack = (PGD(0.02, steps=1),)

    def examples(seed, start):
        made = x.clone()
        AttackRunner(model, attack, 60).run(x, y, seed, start, made)
        return made

    assert torch.equal(examples(0, 0), examples(0, 0))
    assert not torch.equal(examples(0, 0), examples(1, 0))
    assert not torch.equal(examples(0, 0), examples(0, 60))


def test_examples_are_what_fooled_the_network(model, data):
    x, y = data
    examples = x.clone()
    clean, robust = AttackRunner(model, STAGES, 60).run(x, y, 0, 0, examples)
    plain = AttackRunner(model, STAGES, 60).run(x, y, 0, 0)
    assert torch.equal(robust, plain[1])
    assert torch.equal(is_correct(model(examples), y)[clean], robust[-1][clean])
    assert float((examples - x).abs().max()) <= 0.2 + 1e-6


class SmallMemory(nn.Module):
    def __init__(self, model, most):
        super().__init__()
        self.model, self.most = model, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("no room")
        return self.model(x)


def test_half_as_many_images_where_memory_runs_out(model, data):
    runner = AttackRunner(SmallMemory(model, 10).eval(), STAGES[:2], 48)
    whole = AttackRunner(model, STAGES[:2], 48)
    assert whole.note is None
    found, expected = runner.run(*data, 0, 0), whole.run(*data, 0, 0)
    assert all(map(torch.equal, found, expected))
    assert runner.note == "out of memory: 6 images at a time instead of 48"


def test_an_error_of_another_kind_is_raised_at_once(model, data):
    with pytest.raises(ModelError, match="not enough memory for a single image"):
        AttackRunner(SmallMemory(model, 0), (), 8).run(*data, 0, 0)
    x, y = data
    with pytest.raises(RuntimeError, match="shape"):
        AttackRunner(model, (), 8).run(x[:, :, :3, :3], y, 0, 0)
