"""Checks of images, labels and scores."""

import numpy as np
import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.robust.data_checks import (
    check_data,
    check_logits,
    data_fingerprint,
    is_correct,
)

X, Y = torch.rand(6, 1, 3, 3), torch.arange(6) % 3


def test_arrays_and_small_integers_are_taken():
    images, labels = check_data((X.numpy(), Y.numpy().astype(np.uint8)))
    assert torch.equal(images, X)
    assert (labels.dtype, labels.tolist()) == (torch.int64, Y.tolist())


def test_arrays_of_other_byte_orders_are_taken_and_copied():
    given, classes = X.numpy().astype(">f4"), Y.numpy().astype(">u2")
    images, labels = check_data((given, classes))
    assert torch.equal(images, X)
    assert torch.equal(labels, Y)
    own = X.numpy().copy()
    images, _ = check_data((own, Y))
    own[:] = 0  # a job may still read the images
    assert torch.equal(images, X)
    assert torch.equal(check_data((list(X), list(Y)))[0], X)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (X, "data is Tensor; expected a pair"),
        ((X[0], Y), "expected four dimensions"),
        ((X[:0], Y[:0]), "there are no images"),
        ((X[..., :0], Y), "expected pixels in them"),
        ((X.to_sparse(), Y), "the images are a sparse"),
        ((X, torch.eye(6)), "one-hot"),
        (((255 * X).to(torch.uint8), Y), "the images are uint8"),
        ((X / 0, Y), "NaN or infinite"),
        ((2 * X + 1, Y), r"expected \[0, 1\]"),
        ((X, Y[:5]), "the labels have shape"),
        ((X, Y.float()), "the labels are float32"),
        ((X, Y - 1), "a label is -1"),
        ((["a"], Y), "four dimensions|an array of numbers"),
    ],
)
def test_what_attacks_would_take_without_an_error_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        check_data(data)


def test_scores_are_a_row_per_image_and_reach_every_label():
    scores = torch.rand(6, 3)
    assert check_logits(scores, Y) is scores
    for wrong, words in (
        (scores[:5], r"shape \(5, 3\)"),
        ((scores,), "tuple"),
        (scores[:, :2], "a label is 2, but the model has 2 classes"),
    ):
        with pytest.raises(DataError, match=words):
            check_logits(wrong, Y)


def test_a_row_that_is_not_finite_is_wrong():
    scores = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, float("nan")], [0.0, float("inf")]])
    assert is_correct(scores, torch.ones(4, dtype=torch.int64)).tolist() == [True] + [False] * 3


def test_a_fingerprint_is_of_shapes_and_values():
    first = data_fingerprint(X, Y)
    assert first == data_fingerprint(X.double().numpy(), Y.tolist())
    assert len({first, data_fingerprint(X.flip(0), Y), data_fingerprint(X, Y.flip(0))}) == 3
