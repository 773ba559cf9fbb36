"""Tensors in nested arguments and results."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.utils.tensors import (
    all_finite,
    checked_labels,
    dtype_name,
    layer_input,
    tensor_of,
    tensors_of,
)

A, B, C = torch.ones(1), torch.ones(2), torch.ones(3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (A, [A]),
        (None, []),
        ([A, [B, (C,)]], [A, B, C]),
        ({"a": A, "b": {"c": C}}, [A, C]),
        (OrderedDict(logits=B, loss=None), [B]),
        (("text", 3, {1, 2}), []),
    ],
)
def test_tensors_are_found_in_their_order(given, found):
    assert [id(t) for t in tensors_of(given)] == [id(t) for t in found]


@pytest.mark.parametrize(
    ("numbers", "finite"),
    [
        ([], True),
        ([1.0, -2.0], True),
        ([3e38, 3e38], True),  # the sum is infinite
        ([1.0, float("nan")], False),
        ([float("inf"), -float("inf")], False),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_numbers(numbers, finite, dtype):
    assert all_finite(torch.tensor(numbers, dtype=dtype)) is finite


def test_integers_and_complex_numbers_are_finite():
    assert all_finite(torch.arange(3))
    assert all_finite(torch.tensor([6e4, 6e4], dtype=torch.float16))
    assert not all_finite(torch.tensor([1j, float("nan")]))


def test_arrays_share_memory_and_read_only_ones_are_copied():
    array = np.zeros((2, 3))
    tensor_of(array, "the images")[0, 0] = 1
    assert array[0, 0] == 1
    array.flags.writeable = False
    tensor_of(array, "the images")[0, 0] = 2
    assert array[0, 0] == 1
    with pytest.raises(DataError, match="the labels are dict; expected a tensor or an array"):
        tensor_of({}, "the labels")


VALUES = np.arange(24.0).reshape(2, 3, 4)
FLOATS = ("f2", "f4", "f8", "g")
INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("order", "<>")
def test_numbers_of_every_type_and_byte_order_are_taken(kind, order):
    array = VALUES.astype(order + kind)
    for given in (
        array,
        np.asfortranarray(array),
        array[::-1, :, ::-1].copy()[::-1, :, ::-1],
        np.repeat(array, 2, 1)[:, ::2],
        np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0),
    ):
        found = tensor_of(given, "the images")
        assert found.is_contiguous()
        assert found.double().tolist() == VALUES.tolist()
        assert dtype_name(found) == ("float64" if kind == "g" else np.dtype(kind).name)


def test_lists_of_tensors_are_stacked():
    rows = [torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)]
    assert torch.equal(tensor_of(rows, "the images"), torch.stack(rows))
    grown = torch.ones(2, requires_grad=True)
    assert not tensor_of([grown], "the images").requires_grad
    with pytest.raises(DataError, match="the images are tensors that cannot be stacked"):
        tensor_of([torch.ones(2), torch.ones(3)], "the images")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (torch.eye(2).to_sparse(), "are a sparse, nested or quantised tensor"),
        (
            torch.zeros(2, device="meta"),
            ".* or one without memory",
        ),
        (np.ma.array([1, 2], mask=[0, 1]), "are an array with masked values"),
        (np.array(["a"]), "are ndarray of <U1; expected a tensor or an array of numbers"),
        (np.array([1], object), "are ndarray of object; expected"),
        (np.zeros(2, "M8[s]"), r"are ndarray of datetime64\[s\]; expected"),
        ([[1, 2], [3]], "are list; expected"),
        (None, "are NoneType; expected"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(values, says):
    with pytest.raises(DataError, match=f"the labels {says}"):
        tensor_of(values, "the labels")


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("order", "<>")
def test_labels_of_every_integer_type_are_int64(kind, order):
    found = checked_labels(np.arange(3).astype(order + kind), 3)
    assert (found.dtype, found.tolist()) == (torch.int64, [0, 1, 2])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.eye(3), r"shape \(3, 3\) for 3 images; .*: y.argmax\(1\) makes them of one-hot rows"),
        (np.zeros((3, 1), int), r"shape \(3, 1\) for 3 images; .*: y.reshape\(-1\)"),
        (np.zeros(2, int), r"shape \(2,\) for 3 images; expected \(3,\), one class index each\."),
        (np.array([0, 1, 2**63], np.uint64), "a label is 9223372036854775808; expected class"),
        (np.array([0, -1, 1]), "a label is -1; expected class indices from 0 up"),
        (np.arange(3.0), "the labels are float64; expected whole numbers, .* to int64"),
        (np.array([True] * 3), "the labels are bool; expected whole numbers"),
    ],
)
def test_other_labels_are_refused(labels, says):
    with pytest.raises(DataError, match=says):
        checked_labels(labels, 3)


def test_pandas_columns_are_arrays():
    pandas = pytest.importorskip("pandas")
    assert checked_labels(pandas.Series([2, 0], dtype="uint16"), 2).tolist() == [2, 0]


def test_the_input_of_a_layer_by_position_or_by_name():
    assert layer_input((A,), {}) is A
    assert layer_input((), {"input": B}) is B
