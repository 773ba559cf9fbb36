"""torch's number of threads, asked for by several at once."""

import threading

import torch

from gdws_explorer.utils.threads import SMALL_BATCH, one_thread, threads_for, torch_threads


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


def test_none_leaves_the_number_as_it_is():
    usual = torch.get_num_threads()
    with torch_threads(None):
        assert torch.get_num_threads() == usual
    with one_thread(), torch_threads(None):
        assert torch.get_num_threads() == 1


def test_interleaved_blocks_of_several_threads_leave_no_trace():
    """Each thread has two blocks, one in the other; they begin and end in mixed order."""
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    wrong, barrier = [], threading.Barrier(3)

    def work(numbers):
        for _ in range(20):
            barrier.wait(30)
            outer, inner = numbers
            with torch_threads(outer):
                with torch_threads(inner):
                    wrong.extend([] if torch.get_num_threads() == inner else [inner])
                wrong.extend([] if torch.get_num_threads() == outer else [outer])

    threads = [threading.Thread(target=work, args=(pair,)) for pair in ((1, 3), (3, 1), (4, 2))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        assert _now() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)


def test_small_batches_take_one_thread():
    usual = torch.get_num_threads()
    assert threads_for(SMALL_BATCH) == 1
    assert threads_for(SMALL_BATCH + 1) == usual
