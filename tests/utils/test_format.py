"""Numbers, durations and errors as text."""

from __future__ import annotations

import pytest

from gdws_explorer.utils.format import (
    clock,
    duration,
    eps_text,
    first_line,
    millions,
    printable,
    some_of,
    with_interval,
)


@pytest.mark.parametrize(
    ("number", "text"), [(2_413_000, "2.41 M"), (288_000, "288 k"), (17, "17"), (-3e9, "-3 G")]
)
def test_counts_have_three_digits_and_a_unit(number, text):
    assert millions(number) == text


@pytest.mark.parametrize(("eps", "text"), [(8 / 255, "8/255"), (0.15, "0.15"), (1.0, "1")])
def test_radii_are_fractions_of_255_where_they_are_whole(eps, text):
    assert eps_text(eps) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (21, "20 s"), (120, "2 min"), (4200, "70 min"), (6600, "1 h 50 min")],
)
def test_durations_are_as_exact_as_an_estimate(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65, "1:05"), (7385, "2:03:05")])
def test_the_clock_shows_every_second(seconds, text):
    assert clock(seconds) == text


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_fraction_with_its_interval():
    assert with_interval(0.931, (0.9, 0.952)) == "93.1% (90.0% to 95.2%)"
    assert with_interval(0.5, (0.25, 0.75), digits=0) == "50% (25% to 75%)"


@pytest.mark.parametrize(
    ("name", "text"), [("Käfer 1.png", "Käfer 1.png"), ("a\udce9\n", "a\\udce9\\n")]
)
def test_names_are_one_line_that_every_terminal_prints(name, text):
    assert printable(name) == text


def test_some_of_many_names():
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert some_of(["a", "b"], 1) == "a and 1 more"
