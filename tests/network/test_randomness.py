"""Random numbers that no other thread can take."""

import threading

import torch

from gdws_explorer.network.randomness import Stream, own_randomness

CPU = torch.device("cpu")


def test_a_stream_goes_on_where_it_left_off_and_leaves_no_trace():
    before = torch.get_rng_state()
    stream = Stream(CPU, 3)
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
        with own_randomness(CPU):
            assert out.is_set()
            torch.manual_seed(1)
            drawn.append(torch.rand(2))

    thread = threading.Thread(target=other)
    thread.start()
    with own_randomness(CPU):
        torch.manual_seed(1)
        inside.set()
        with own_randomness(CPU):
            torch.rand(5)
        mine = torch.rand(2)
        out.set()
    thread.join(30)
    assert torch.equal(drawn[0], mine), "both drew alone, from the same seed"
