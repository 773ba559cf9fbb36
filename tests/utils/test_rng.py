"""Random numbers that no other thread can take."""

import threading

import pytest
import torch

from gdws_explorer.utils import rng
from gdws_explorer.utils.rng import RngStream, exclusive_rng

CPU = torch.device("cpu")


def test_a_stream_goes_on_where_it_left_off_and_leaves_no_trace():
    before = torch.get_rng_state()
    stream = RngStream(CPU, 3)
    with stream.drawing():
        first = torch.rand(4)
    torch.rand(7)
    after = torch.get_rng_state()
    with stream.drawing():
        second = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(before)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(8), torch.cat([first, second]))


def test_who_has_them_may_ask_again_and_others_wait():
    inside, out = threading.Event(), threading.Event()
    drawn = []

    def other():
        inside.wait(30)
        with exclusive_rng(CPU):
            assert out.is_set()
            torch.manual_seed(1)
            drawn.append(torch.rand(2))

    thread = threading.Thread(target=other)
    thread.start()
    with exclusive_rng(CPU):
        torch.manual_seed(1)
        inside.set()
        with exclusive_rng(CPU):
            torch.rand(5)
        mine = torch.rand(2)
        out.set()
    thread.join(30)
    assert torch.equal(drawn[0], mine), "both drew alone, from the same seed"


def test_who_is_interrupted_while_waiting_keeps_nobody_waiting(monkeypatch):
    """As Ctrl-C in a cell while a measurement draws."""
    line = rng._FairLock()
    inside, out = threading.Event(), threading.Event()

    def hold():
        with line:
            inside.set()
            out.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(30)
    with monkeypatch.context() as patch:
        patch.setattr(line._changed, "wait", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), line:
            raise AssertionError("nobody else has it")
    out.set()
    holder.join(30)
    came = threading.Event()

    def next_one():
        with line:
            came.set()

    threading.Thread(target=next_one, daemon=True).start()
    assert came.wait(30)
