"""The commands that measure many plans, end to end."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.study.storage.store import Store

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.fc(torch.relu(self.third(x)).mean((2, 3)))


def made():
    torch.manual_seed(5)
    return Net()
"""

FAST = ("--data", "images.npz", "--attack", "fgsm", "--eps", "0.05")
MODEL = "cli_many_nets.py:made"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A user's folder, with a network's file and images in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "cli_many_nets.py").write_text(NETS)
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(20, dtype=np.uint8) % 4)
    yield tmp_path
    sys.modules.pop("cli_many_nets", None)


def told(capsys, *words: str):
    """What a command that succeeds prints as JSON."""
    assert cli.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_sweep_is_kept_and_not_measured_again(here, capsys):
    words = ("sweep", MODEL, *FAST, "--beta", "5", "--macs", "0.5,0.7", "--families", "svd,any")
    first = told(capsys, *words)
    assert len(first["records"]) == len({one["hash"] for one in first["records"]}) >= 6
    assert first["setting"]["n"] == 20
    assert set(first["front"]) <= {one["hash"] for one in first["records"]}
    assert told(capsys, *words) == first  # the times of measuring included
    assert len(Store("gdws-explorer.db")) == len(first["records"])


def test_progress_goes_to_stderr_and_a_table_to_stdout(here, capsys):
    assert cli.main(["sweep", MODEL, *FAST, "--macs", "0.5:1:3"]) == 0
    out, err = capsys.readouterr()
    assert "3/3 plans" in err
    assert "FGSM ℓ∞ ε 0.05 · n 20 · seed 0" in out
    assert "kept in gdws-explorer.db" in out


def test_a_search_screens_and_keeps_to_its_constraint(here, capsys):
    told_of = told(
        capsys, "search", MODEL, *FAST, "--evaluations", "12", "--screen-n", "10",
        "--constraint", "macs <= 80%", "--storage", "found.db",
    )  # fmt: skip
    settings = {one.n: one for one in Store("found.db").settings()}
    assert len(Store("found.db").records(settings[10])) == 12
    assert len(told_of["hypervolume"]) == 12
    kept = {one.plan.hash for one in Store("found.db").records(settings[20])}
    assert {one["hash"] for one in told_of["records"]} == kept
    assert 0 < len(kept) < 12


def test_plans_from_images(here, capsys):
    found = told(
        capsys, "sweep", MODEL, *FAST, "--macs", "0.6", "--from", "refit,data",
        "--calibration", "images.npz",
    )  # fmt: skip
    assert [one["words"].split(":")[0] for one in found["records"]] == ["refitted", "from data"]


@pytest.mark.slow
def test_worker_processes_find_the_networks_file(here, capsys):
    words = ("sweep", MODEL, *FAST, "--macs", "4")
    serial = told(capsys, *words, "--storage", "serial.db")
    many = told(capsys, *words, "--storage", "many.db", "--workers", "2")
    for one in (*serial["records"], *many["records"]):
        del one["seconds"], one["created"], one["timings"]
    assert serial["records"] == many["records"]


def _trials(path: str) -> int:
    """How many records a file has; it is only read, so that whoever makes it is not disturbed."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_ctrl_c_leaves_a_consistent_study_and_says_how_to_go_on(here, workers):
    words = [
        "sweep", "digits", "--beta", "120", "--steps", "50", "--n", "360", "--storage", "s.db",
        *workers,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(gx.__file__).parents[1])}
    command = [sys.executable, "-m", "gdws_explorer.cli", *words]
    # In a process group of its own, all of which gets the signal, as from a terminal; whoever runs
    # the tests may ignore it, and that would be inherited.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        while not _trials("s.db"):
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.05)
        # Python loses a Ctrl-C that comes in the middle of a finaliser: a hand presses again.
        for _ in range(4):
            os.killpg(running.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                said = running.communicate(timeout=45)[1]
                break
    assert running.returncode == 130
    kept = len(Store("s.db"))
    last = said.strip().splitlines()[-1]
    assert last.startswith("gdws-explorer: stopped; ")
    assert last.endswith("kept in s.db. The same command continues from there.")
    assert "Traceback" not in said
    assert 0 < kept < 100


def test_front_as_a_table_csv_json_and_page(here, capsys):
    cli.main(["sweep", MODEL, *FAST, "--macs", "6"])
    capsys.readouterr()
    whole, best = told(capsys, "front", "--all"), told(capsys, "front")
    assert len(whole["records"]) == 6
    assert [one["hash"] for one in best["records"]] == best["front"] == whole["front"]
    assert cli.main(["front", "--cost", "params", "--metric", "clean"]) == 0
    assert "records" in capsys.readouterr().out
    assert cli.main(["front", "--all", "--out", "all.csv"]) == 0
    assert len(Path("all.csv").read_text(encoding="utf-8").splitlines()) == 7
    assert cli.main(["front", "--out", "front.html"]) == 0
    page = Path("front.html").read_text(encoding="utf-8")
    assert "plotly" in page
    assert 'src="https' not in page


def test_front_as_a_picture_or_a_sentence(here, capsys, monkeypatch):
    from plotly import graph_objects as go

    cli.main(["sweep", MODEL, *FAST, "--macs", "3"])
    drawn = lambda self, kind, **size: f"a {kind}".encode()  # noqa: E731
    monkeypatch.setattr(go.Figure, "to_image", drawn)
    assert cli.main(["front", "--out", "front.svg"]) == 0
    assert Path("front.svg").read_bytes() == b"a svg"

    def fails(self, kind, **size):
        raise RuntimeError("Kaleido requires Google Chrome")

    monkeypatch.setattr(go.Figure, "to_image", fails)
    assert cli.main(["front", "--out", "front.png"]) == 2
    assert "front.png cannot be drawn (Kaleido requires Google Chrome)" in capsys.readouterr().err
    assert not Path("front.png").exists()


def test_settings_are_never_on_one_front(here, capsys):
    cli.main(["sweep", MODEL, *FAST, "--macs", "2"])
    cli.main(["sweep", MODEL, "--data", "images.npz", "--attack", "none", "--macs", "3"])
    capsys.readouterr()
    assert cli.main(["front"]) == 2
    err = capsys.readouterr().err
    assert "2 settings" in err
    assert "FGSM" in err
    assert "no attack" in err
    assert len(told(capsys, "front", "--setting", "2", "--all")["records"]) == 3
    assert cli.main(["front", "--setting", "2", "--metric", "robust"]) == 2
    assert "were not attacked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sweep", MODEL, *FAST], "a sweep needs beta=, macs= or params="),
        (["sweep", MODEL, *FAST, "--macs", "0.0001"], "cannot be met"),
        (["sweep", MODEL, *FAST, "--macs", "2", "--from", "images"], "sources is"),
        (["sweep", MODEL, *FAST, "--macs", "2", "--from", "data"], "no images to learn from"),
        (["sweep", MODEL, *FAST, "--beta", "2", "--alpha"], "no images to learn from"),
        (["search", MODEL, *FAST, "--constraint", "fast"], "cannot read the constraint 'fast'"),
        (["search", MODEL, *FAST, "--objectives", "ms,robust"], "call net.measure_latency()"),
        (["front", "nowhere.db"], "there is no file nowhere.db"),
    ],
)
def test_mistakes_are_one_sentence(here, capsys, words, says):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("gdws-explorer: ")


@pytest.mark.parametrize("values", ["much", "1:2", "0.1:0.2:1", "0:1:3", "1/0"])
def test_values_that_are_none(here, capsys, values):
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--beta", values])
    assert "is not how many, values with commas" in capsys.readouterr().err
