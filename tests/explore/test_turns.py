"""Whoever asked first measures first."""

import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.explore.turns import Turns


def _begun(turns, work):
    """A thread that waits in the line when this returns."""
    before = len(turns._line)
    thread = threading.Thread(target=work)
    thread.start()
    while len(turns._line) == before:
        thread.join(0.005)
    return thread


def test_one_at_a_time_in_the_order_of_asking():
    turns, order = Turns(), []

    def work(name):
        with turns.turn():
            order.append(name)

    with turns.turn():
        threads = [_begun(turns, lambda n=name: work(n)) for name in range(5)]
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == list(range(5))


def test_who_asks_again_stands_behind_who_waits():
    turns, order = Turns(), []

    def guest():
        with turns.turn():
            order.append("guest")

    with turns.turn():
        thread = _begun(turns, guest)
        order.append("sweep")
    with turns.turn():
        order.append("sweep")
    thread.join(10)
    assert order == ["sweep", "guest", "sweep"]


def test_waiting_can_be_cancelled_and_leaves_the_line():
    turns, stop, ended = Turns(), threading.Event(), []

    def impatient():
        try:
            with turns.turn(stop):
                ended.append("had it")
        except gx.Cancelled:
            ended.append("left")

    with turns.turn():
        thread = _begun(turns, impatient)
        stop.set()
        thread.join(10)
    assert ended == ["left"]
    with turns.turn():
        pass


def test_an_error_passes_the_turn_on():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        1 / 0  # noqa: B018
    with turns.turn():
        pass
