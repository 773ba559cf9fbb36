"""Events: one list of words, checked where they are subscribed and sent."""

from typing import get_args

import pytest

import gdws_explorer as gx
from gdws_explorer.session.events import EVENTS, Event, check_event


def test_the_words_are_those_of_the_type():
    assert get_args(Event) == EVENTS
    assert len(set(EVENTS)) == len(EVENTS)
    for event in EVENTS:
        check_event(event)


def test_another_word_is_refused_with_the_known_ones():
    with pytest.raises(gx.ExplorerError, match=r"unknown event 'plans'; expected one of plan, "):
        check_event("plans")


def test_a_session_refuses_it_at_both_ends(digits_session):
    with pytest.raises(gx.ExplorerError, match="unknown event 'desk'"):
        digits_session.subscribe(lambda event, snapshot: None, ["desk"])
    with pytest.raises(gx.ExplorerError, match="unknown event 'desk'"):
        digits_session.notify("desk")


def test_a_listener_may_choose_its_events(digits_session):
    every, chosen = [], []
    digits_session.subscribe(lambda event, snapshot: every.append(event))
    digits_session.subscribe(lambda event, snapshot: chosen.append(event), ["selection"])
    digits_session.controls.move_slider("conv4", [0.5])
    digits_session.controls.select("conv2")
    assert every == ["plan", "selection"]
    assert chosen == ["selection"]
