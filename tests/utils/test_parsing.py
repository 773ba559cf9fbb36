"""Numbers that users type, as texts."""

import pytest

from gdws_explorer.errors import DataError
from gdws_explorer.utils.parsing import parse_percent, parse_radius


@pytest.mark.parametrize(
    ("text", "value"),
    [("45", 0.45), (" 45 % ", 0.45), ("0,5", 0.005), ("0", 0.0), ("100%", 1.0), ("", None)],
)
def test_percentages_are_fractions(text, value):
    assert parse_percent("clean", text) == value


@pytest.mark.parametrize("text", ["much", "-1", "101", "nan", "4 5"])
def test_other_texts_are_no_percentages(text):
    with pytest.raises(DataError, match=f"clean is '{text}'; expected per cent from 0 to 100"):
        parse_percent("clean", text)


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.15", 0.15), (" 1 / 4 ", 0.25)])
def test_radii_are_numbers_or_fractions(text, value):
    assert parse_radius("ε", text) == value


@pytest.mark.parametrize("text", ["eight", "", "8/0", "1/2/3", "8/x"])
def test_other_texts_are_no_radii(text):
    with pytest.raises(DataError, match=r"ε is '.*'; expected a number such as 0.15 or 8/255"):
        parse_radius("ε", text)
