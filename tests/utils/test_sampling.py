"""Seeded samples of images."""

import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.utils.sampling import balanced_sample, plain_sample


def test_classes_take_turns_and_a_sample_is_the_beginning_of_a_larger_one():
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 5)
    for n in range(1, 31):
        sample = balanced_sample(labels, n, seed=3)
        assert torch.equal(sample, balanced_sample(labels, None, seed=3)[:n])
        assert len(set(sample.tolist())) == n
    counts = labels[balanced_sample(labels, 9, seed=3)].bincount(minlength=3)
    assert counts.tolist() == [3, 3, 3]
    for n in (0, 31, True, 2.0):
        with pytest.raises(DataError, match=f"n is {n}; expected a whole number from 1 to 30"):
            balanced_sample(labels, n, seed=0)


def test_a_plain_sample_is_the_beginning_of_a_larger_one():
    whole = plain_sample(30, None, seed=3)
    assert sorted(whole.tolist()) == list(range(30))
    assert torch.equal(plain_sample(30, 9, seed=3), whole[:9])
    assert not torch.equal(plain_sample(30, 9, seed=4), whole[:9])
    for n in (0, 31, True, 2.0):
        with pytest.raises(DataError, match=f"n is {n}; expected a whole number from 1 to 30"):
            plain_sample(30, n, seed=0)
