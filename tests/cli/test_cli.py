"""The command line as a whole: wrong arguments, Ctrl-C, help."""

from __future__ import annotations

import pytest

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.cli import evaluate_command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: COMMAND"),
        (["evaluate", "--eps", "small"], "write 0.15 or 8/255"),
        (["evaluate", "--n", "0"], "not a whole number from 1 up"),
        (["evaluate", "--bogus"], "unrecognized arguments: --bogus"),
        (["train", "cifar"], "invalid choice: 'cifar'"),
    ],
)
def test_wrong_words_end_with_usage(capsys, words, says):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupted(_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_command, "run", interrupted)
    assert cli.main(["evaluate"]) == 130
    assert capsys.readouterr().err == "gdws-explorer: stopped.\n"


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_help_has_a_purpose_and_examples(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"  gdws-explorer {command}" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_version_and_help_from_a_shell(shell):
    assert shell("--version").stdout == f"gdws-explorer {gx.__version__}\n"
