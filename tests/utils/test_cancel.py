"""Requests to stop, in every form."""

import threading

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.utils.cancel import CancellableModel, stop_if, stop_requested


def test_no_request():
    assert not stop_requested(None)
    stop_if(None)
    stop_if(lambda: False)
    stop_if(threading.Event())


def test_an_event_and_a_function_are_requests():
    event = threading.Event()
    event.set()
    for cancel in (event, event.is_set, lambda: True):
        assert stop_requested(cancel)
        with pytest.raises(Cancelled):
            stop_if(cancel)


def test_a_model_stops_before_its_next_forward_pass():
    event, passes = threading.Event(), []
    model = CancellableModel(nn.Flatten(), event, lambda: passes.append(event.is_set()))
    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(model(x), x.flatten(1))
    event.set()
    with pytest.raises(Cancelled):
        model(x)
    assert passes == [False]


def test_a_model_without_parameters_has_a_device():
    assert next(CancellableModel(nn.Flatten()).parameters()).device.type == "cpu"
