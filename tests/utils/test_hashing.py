"""Fingerprints of tensors and text."""

import hashlib

import torch

from gdws_explorer.utils.hashing import Digest

X = torch.arange(6.0).reshape(2, 3)


def digest(**named):
    return Digest("begin").tensors(named).hex


def test_text_alone_is_a_sha256():
    made = Digest("a")
    made.text("b")
    assert made.hex == hashlib.sha256(b"ab").hexdigest()


def test_name_type_shape_and_values_count():
    assert digest(x=X) == digest(x=X.clone()) == Digest("begin").tensors([("x", X)]).hex
    others = [digest(y=X), digest(x=X.double()), digest(x=X.reshape(3, 2)), digest(x=X + 1)]
    assert len({digest(x=X), *others}) == 5


def test_memory_layout_and_other_objects_do_not_count():
    assert digest(x=X.t().contiguous().t()) == digest(x=X)
    assert digest(x=X, note="text", n=3) == digest(x=X)
    assert digest(x=X.requires_grad_()) == digest(x=X.detach())
