"""Shared arguments and the types of their values."""

from __future__ import annotations

import argparse

import pytest

from gdws_explorer.cli import parser as shared


def parsed(add, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add(parser)
    return parser.parse_args(words)


def test_whole_numbers_begin_at_1():
    assert shared.positive_int("12") == 12
    for text in ("0", "-3", "1.5", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match="not a whole number from 1 up"):
            shared.positive_int(text)


def test_names_are_separated_by_commas():
    assert shared.names("gdws, svd,,any ") == ("gdws", "svd", "any")


def test_radii_may_be_fractions(capsys):
    assert parsed(shared.add_attack, "--eps", "8/255").eps == 8 / 255
    with pytest.raises(SystemExit):
        parsed(shared.add_attack, "--eps", "1/0")
    assert "'1/0' is not a number; write 0.15 or 8/255" in capsys.readouterr().err


def test_the_storage_may_be_an_option_or_an_argument():
    assert parsed(shared.add_storage).storage == shared.STORAGE
    assert parsed(shared.add_storage, "--storage", "a.db").storage == "a.db"
    positional = parsed(lambda parser: shared.add_storage(parser, positional=True), "b.db")
    assert positional.storage == "b.db"


def test_every_attack_of_the_help_has_its_options():
    for attack in shared.ATTACK_OPTIONS:
        assert parsed(shared.add_attack, "--attack", attack).attack == attack
