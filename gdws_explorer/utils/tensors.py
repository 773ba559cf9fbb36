"""Tensors inside nested arguments and results, checks of them, and tensors of other arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdws_explorer.errors import DataError


def tensors_of(given: object) -> Iterator[Tensor]:
    """Yields the tensors in an object, in lists, tuples and mappings too, in their order.

    >>> import torch
    >>> [len(t) for t in tensors_of({"a": torch.ones(2), "b": [torch.ones(3), None]})]
    [2, 3]
    """
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        for each in given.values():
            yield from tensors_of(each)
    elif isinstance(given, tuple | list):
        for each in given:
            yield from tensors_of(each)


def layer_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Returns the tensor that a layer of torch is called with, by position or as `input`."""
    given: Tensor = args[0] if args else kwargs["input"]
    return given


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds no NaN and no infinite number.

    The sum answers for nearly all tensors, in a tenth of the time of looking at each number; it
    may be infinite where the numbers are not.
    """
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def alike(given: object, expected: object, tolerance: float, *, least: float = 1.0) -> bool:
    """Whether two outputs hold the same tensors, up to a fraction of the largest number.

    tolerance : the fraction; of at least `least` more than that number. Numbers that are no
    floating-point ones must be equal.
    """
    ours, theirs = ([t.detach() for t in tensors_of(each)] for each in (given, expected))
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        return False
    for a, b in zip(ours, theirs, strict=True):
        if not (a.is_floating_point() and b.is_floating_point()):
            if not torch.equal(a, b):
                return False
            continue
        scale = float(b.abs().nan_to_num(0, 0, 0).max()) if b.numel() else 0.0
        if not torch.allclose(a, b, rtol=0, atol=tolerance * (least + scale), equal_nan=True):
            return False
    return True


def tensor_of(values: Any, what: str) -> Tensor:
    """Returns numbers as a tensor, which shares their memory where possible.

    values : a tensor, a list of tensors of one shape, or what numpy takes: arrays of any strides
    and byte order, nested lists, columns of pandas. what : a plural noun for the error.

    Raises DataError for anything without a number in every place, such as words, sparse tensors
    and masked arrays.

    >>> import numpy as np
    >>> tensor_of(np.array([1, 2], ">i8"), "the labels")
    tensor([1, 2])
    """
    if isinstance(values, list | tuple) and values and all(isinstance(v, Tensor) for v in values):
        try:
            values = torch.stack([value.detach() for value in values])
        except (RuntimeError, NotImplementedError):
            raise DataError(
                f"{what} are tensors that cannot be stacked; expected dense ones of one shape, "
                "dtype and device."
            ) from None
    if isinstance(values, Tensor):
        odd = values.is_nested or values.is_quantized or values.is_meta
        if odd or values.layout is not torch.strided:
            raise DataError(
                f"{what} are a sparse, nested or quantised tensor, or one without memory; expected "
                "a dense tensor of numbers: use to_dense(), to_padded_tensor() or dequantize()."
            )
        if values.is_floating_point() and values.element_size() == 1:
            return values.detach().float()  # torch compares no numbers of 8 bits
        return values.detach() if values.requires_grad else values
    return _tensor_of_array(values, what)


def checked_labels(labels: Any, count: int) -> Tensor:
    """Returns the labels `(count,)` of images as int64, of every integer type.

    Raises DataError for other shapes, other numbers, and labels below 0.
    """
    labels = tensor_of(labels, "the labels")
    if labels.ndim != 1 or len(labels) != count:
        hint = ""
        if labels.ndim == 2 and len(labels) == count:
            one = labels.shape[1] == 1
            hint = ": y.reshape(-1)" if one else ": y.argmax(1) makes them of one-hot rows"
        raise DataError(
            f"the labels have shape {tuple(labels.shape)} for {count} images; expected "
            f"({count},), one class index each{hint}."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(
            f"the labels are {dtype_name(labels)}; expected whole numbers, class indices: "
            "convert them to int64."
        )
    whole: Tensor = labels.to(torch.int64)  # a uint64 beyond it becomes negative
    if count and int(whole.min()) < 0:
        raise DataError(
            f"a label is {labels[whole.argmin()].item()}; expected class indices from 0 up, "
            "within int64."
        )
    return whole


def dtype_name(values: Tensor) -> str:
    """Returns the plain name of a tensor's type: `float32`, `uint8`."""
    return str(values.dtype).removeprefix("torch.")


def _tensor_of_array(values: Any, what: str) -> Tensor:
    if np.ma.is_masked(values):
        raise DataError(
            f"{what} are an array with masked values; expected a number everywhere: fill them, "
            "values.filled(0)."
        )
    kind = type(values).__name__
    try:
        array = np.array(values, copy=None, order="C")
        kind = kind if array.dtype == object and array is not values else f"{kind} of {array.dtype}"
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:  # no tensor is so exact
            array = array.astype(np.float64)
        array = array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
        return torch.from_numpy(array)
    except Exception:  # whatever an object's own conversion raises
        raise DataError(f"{what} are {kind}; expected a tensor or an array of numbers.") from None
