"""`gdws-explorer search`: what it gives `gx.search`; end to end it is in test_studies.py."""

from __future__ import annotations

import pytest

import gdws_explorer as gx
from gdws_explorer import api, cli


@pytest.fixture
def given(monkeypatch, tmp_path, bench) -> dict:
    """The keywords that `gx.search` would have been called with."""
    monkeypatch.chdir(tmp_path)
    keywords: dict = {}
    found = bench.records[:2]

    def search(target, **given):
        keywords.update(given, target=target)
        return api.SearchResult(found[:1], found, (found,), (0.1, 0.2))

    monkeypatch.setattr(api, "search", search)
    return keywords


def test_options_become_keywords(given, capsys):
    words = ("--objectives", "robust,macs", "--constraint", "macs <= 80%", "--evaluations", "9")
    assert cli.main(["search", "digits", *words, "--sampler", "tpe", "--sampler-seed", "3"]) == 0
    assert given["objectives"] == ("robust", "macs")
    assert given["constraints"] == {"macs": pytest.approx(0.8)}
    assert (given["evaluations"], given["sampler"], given["sampler_seed"]) == (9, "tpe", 3)
    assert list(given["screen"]) == []
    assert isinstance(given["target"], gx.Network)
    assert "kept in gdws-explorer.db" in capsys.readouterr().out


def test_screening_is_a_cheaper_attack_on_fewer_images(given):
    cli.main(["search", "digits", "--screen-steps", "5"])
    assert list(given["screen"]) == [(gx.PGD(0.15, steps=5), 360)]
    cli.main(["search", "digits", "--screen-n", "50", "--steps", "7"])
    assert list(given["screen"]) == [(gx.PGD(0.15, steps=7), 50)]


def test_screening_needs_an_attack(given, one_sentence):
    message = one_sentence("search", "digits", "--attack", "none", "--screen-steps", "5")
    assert "--screen-steps needs an attack" in message
