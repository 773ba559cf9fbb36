"""State strings: of this version, and of versions before."""

import pytest

import gdws_explorer as gx
from gdws_explorer.session import state_string

# Made by version 0.1: a budget, a Tucker-2 layer that is locked, a skipped one, pin B.
OLD = (
    "gx1.eNp9kEFrwzAMhf-LzqIkTZqEHHfYTjvtOMZQbMU1cR1TOymj9L9PGozddpL1-"
    "Hh6z3eYOJozjGC98yUDwjrLxl1DdBpOtjdtzz2LngJF5TDVHeamxdIMh2OLuRvQolXCxwzjHZ7-"
    "wx4IYTULWxjfwaxxb-EDIS8-pT-tFjednczZKDDTxQfPWQlnbxq0bGJzPcor73o-"
    "JyqegtI39u7so5MgVw4i79rAUiEY4xYCwrRZx-V3yxzYFL3_c7ZRt-"
    "Atf05fakFxEYVKIbNowUgXFv355e1VdE6SqjrU0kw-qK6qxzfZwWdh"
)


def test_a_string_of_version_0_1_is_restored(digits_session):
    state_string.restore(digits_session, state_string.decode(OLD))
    controls = digits_session.controls
    assert digits_session.plan.hash == "a9791ab6d08640e4"
    assert isinstance(digits_session.plan["conv4"], gx.Tucker2)
    assert "conv4" in controls.state.locked
    assert "conv6" in controls.state.skipped
    assert (controls.selected, controls.slider_meaning) == ("conv3", "rank")
    assert controls.pins == {"B": digits_session.plan}
    assert digits_session.measurements.how == (gx.FGSM(0.1), 100, 0)


def test_the_string_of_the_restored_state_is_the_same(digits_session):
    state_string.restore(digits_session, state_string.decode(OLD))
    assert state_string.encode(digits_session) == OLD


def test_other_texts_are_refused():
    for text in ("", "hello", OLD[:40], OLD.replace("gx1.", "gx2.")):
        with pytest.raises(gx.ExplorerError, match="state string"):
            state_string.decode(text)
