"""torch's number of threads, asked for by several at once."""

import threading

import torch

from gdws_explorer.utils.threads import torch_threads


def _now():
    """What a thread that is made now begins with."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_blocks_that_overlap_leave_the_number_as_it_was():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        entered, leave = threading.Event(), threading.Event()

        def other():
            with torch_threads(1):
                entered.set()
                leave.wait(30)

        with torch_threads(1):
            thread = threading.Thread(target=other)
            thread.start()
            assert entered.wait(30)
        leave.set()
        thread.join(30)
        assert _now() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)


def test_a_block_within_a_block_gives_back_the_outer_number():
    usual = torch.get_num_threads()
    with torch_threads(2):
        with torch_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == usual
