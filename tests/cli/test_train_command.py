"""`gdws-explorer train`: progress, files, folders that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.bench import digits


def test_train_shows_progress_and_writes_into_the_given_folder(here, monkeypatch, capsys):
    asked = {}

    def short(plain, out, progress, **_more):
        asked.update(plain=plain, out=out)
        progress(0.5, 1.25)
        progress(1.0, 0.75)
        return gx.evaluate(digits.untrained(), (torch.rand(20, 1, 8, 8), torch.arange(20) % 10))

    monkeypatch.setattr(digits, "train_digits", short)
    assert cli.main(["train", "digits", "--plain", "--out", "again"]) == 0
    assert asked == {"plain": True, "out": Path("again")}
    assert list(here.joinpath("again").iterdir()) == []  # the probe is gone
    out, err = capsys.readouterr()
    assert "digits-plain.safetensors and .json written" in out
    assert "n 20" in out
    assert "training digits-plain" in err


def test_train_finds_out_first_that_it_cannot_write(monkeypatch, one_sentence):
    monkeypatch.setattr(digits, "train_digits", lambda *_: pytest.fail("it trained"))
    assert "cannot be written" in one_sentence("train", "digits", "--out", "/proc/gdws")
