"""PGD that drops fooled images: the same result as torchattacks' where no image is dropped."""

import pytest
import torch
import torchattacks
from torch import nn

from gdws_explorer.robust import pgd
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.data_checks import is_correct


class Linear(nn.Module):
    """Two classes; the score of the second grows with every pixel."""

    def forward(self, x):
        total = x.flatten(1).mean(1)
        return torch.stack([torch.full_like(total, 0.5), total], 1)


X, Y = torch.full((6, 1, 4, 4), 0.2), torch.zeros(6, dtype=torch.int64)
ALL = torch.ones(6, dtype=torch.bool)


def test_chunks_are_the_true_places():
    mask = torch.tensor([True, False, True, True])
    assert [each.tolist() for each in pgd.chunks(mask, 2)] == [[0, 2], [3]]
    assert pgd.chunks(~mask & mask, 2) == ()


@pytest.mark.parametrize("eps", [0.1, 0.5])
def test_a_linear_network_falls_when_the_ball_reaches_the_boundary(eps):
    attack = PGD(eps, steps=4, random_start=False)
    found = pgd.still_correct(Linear(), attack, X, Y, ALL, 4, is_correct)
    assert found.tolist() == [eps < 0.3] * 6


def test_only_remaining_images_are_attacked():
    remaining = torch.tensor([True, False] * 3)
    seen = []

    class Counting(Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    attack = PGD(0.1, steps=2, random_start=False)
    found = pgd.still_correct(Counting(), attack, X, Y, remaining, 2, is_correct)
    assert torch.equal(found, remaining)
    assert seen == [2] * 3 + [1] * 3


def test_fooled_images_leave_unless_examples_are_collected():
    attack, sizes = PGD(0.5, steps=5, step_size=0.4, random_start=False), []

    class Counting(Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    pgd.still_correct(Counting(), attack, X, Y, ALL, 6, is_correct)
    assert len(sizes) == 2
    sizes.clear()
    examples = X.clone()
    pgd.still_correct(Counting(), attack, X, Y, ALL, 6, is_correct, examples)
    assert len(sizes) == 6
    assert not is_correct(Linear()(examples), Y).any()
    torch.testing.assert_close(examples, torch.full_like(X, 0.7))  # all steps, to the corner


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_last_iterate_is_torchattacks(net, data, norm):
    model, (x, y) = net.eval().requires_grad_(False), data
    attack = PGD(0.05, steps=3, norm=norm)
    examples = x.clone()
    torch.manual_seed(0)
    everything = torch.ones(len(x), dtype=torch.bool)
    correct = pgd.still_correct(model, attack, x, y, everything, 60, is_correct, examples)
    torch.manual_seed(0)
    theirs = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[norm](
        model, eps=attack.eps, alpha=attack.step_size, steps=attack.steps
    )(x, y)
    torch.testing.assert_close(examples[correct], theirs[correct])
