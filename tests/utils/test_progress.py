"""Progress functions in every form that users give."""

import functools
import inspect

import pytest

from gdws_explorer.typing import Progress
from gdws_explorer.utils.progress import progress_between, progress_fn

HALF = Progress(0.5, "layer3")


def needs_one(progress):
    raise NotImplementedError


class Bar:
    def __init__(self):
        self.calls = []

    def update(self, fraction):
        self.calls.append(fraction)

    def __call__(self, fraction, detail):
        self.calls.append((fraction, detail))


def test_none_reports_nothing():
    assert progress_fn(None) is None
    assert progress_between(None, 0.0, 1.0) is None


def test_a_function_of_one_argument_gets_the_progress_itself():
    calls = []
    for given in (calls.append, lambda p: calls.append(p), lambda p, name="x": calls.append(p)):
        progress_fn(given)(HALF)
    assert calls == [0.5, 0.5, 0.5]
    assert all(each.detail == "layer3" for each in calls)


def test_a_method_of_one_argument_gets_the_progress_itself():
    bar = Bar()
    progress_fn(bar.update)(HALF)
    assert bar.calls == [HALF]


def test_the_older_form_gets_fraction_and_detail():
    calls = []

    def older(fraction, detail):
        calls.append((fraction, detail))

    bar = Bar()
    for given in (
        older,
        bar,
        lambda *both: calls.append(both),
        functools.partial(lambda name, fraction, detail: calls.append((fraction, detail)), "x"),
    ):
        progress_fn(given)(HALF)
    assert calls + bar.calls == [(0.5, "layer3")] * 4
    assert not any(isinstance(fraction, Progress) for fraction, _ in calls)


def test_the_second_argument_of_the_older_form_can_be_made_from_the_detail():
    calls = []
    progress_fn(lambda fraction, loss: calls.append(loss), second=len)(HALF)
    assert calls == [len("layer3")]
    progress_fn(calls.append, second=len)(HALF)
    assert calls[-1].detail == "layer3"


def test_a_function_without_a_signature_gets_one_argument():
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(max)
    progress_fn(str)(HALF)  # a class, whose signature may be missing too
    assert progress_fn(max) is max


def test_a_part_of_longer_work_passes_its_detail_on():
    calls = []
    part = progress_between(calls.append, 0.5, 0.75)
    part(0.0)
    part(HALF)
    part(Progress(1.0))
    assert calls == [0.5, 0.625, 0.75]
    assert [each.detail for each in calls] == [None, "layer3", None]
    progress_between(calls.append, 0, 1, "attack")(0.5)
    assert calls[-1].detail == "attack"
