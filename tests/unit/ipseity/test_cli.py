"""The command group: what is imported when, what a failure looks like, and the exit codes.

Leaves out every real command.
"""

import importlib.metadata
import pathlib
import subprocess
import sys

import click
import pytest

from ipseity import cli

SOURCE = '''
import click, sys
sys.modules["was_imported"] = sys
class Trouble(Exception):
    hint = "try harder"
@click.command()
def good():
    """Work.

    And more."""
@click.command()
@click.argument("code", type=int)
def answer(code):
    """Give a code."""
    return code
@click.command()
def trouble():
    raise Trouble("cannot do it: 7 is odd")
@click.command()
def defect():
    """Break."""
    raise KeyError("x")
@click.command()
def stop():
    raise KeyboardInterrupt
@click.command()
def pipe():
    raise BrokenPipeError(32, "Broken pipe")
'''


@pytest.fixture(autouse=True)
def commands(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made_up", raising=False)
    monkeypatch.delitem(sys.modules, "was_imported", raising=False)
    names = ["good", "answer", "trouble", "defect", "stop", "pipe"]
    points = [importlib.metadata.EntryPoint(name, f"made_up:{name}", cli.GROUP) for name in names]
    missing = importlib.metadata.EntryPoint("missing", "no_such_module:x", cli.GROUP)
    monkeypatch.setattr(cli.importlib.metadata, "entry_points", lambda group: [*points, missing])


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, from the source text."""
    assert cli.HOLDS == cli.run(["--help"])
    shown = capsys.readouterr().out
    assert "  good     Work.\n" in shown
    assert "  defect   Break.\n" in shown
    assert "And more" not in shown
    assert "  missing" in shown
    assert "was_imported" not in sys.modules


@pytest.mark.parametrize(("args", "code"), [(["good"], 0), (["answer", "0"], 0), (["answer", "1"], 1), (["stop"], 130)])
def test_a_command_s_answer_is_the_exit_code(args: list[str], code: int) -> None:
    """Nothing returned: it holds."""
    assert code == cli.run(args)


def test_an_error_with_a_hint_is_told_in_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever program it comes from: it is known by its hint."""
    assert cli.CANNOT_RUN == cli.run(["trouble"])
    assert "ipseity: error: cannot do it: 7 is odd\nhint: try harder\n" == capsys.readouterr().err


def test_a_defect_shows_where_it_is_and_is_not_taken_for_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 would mean "does not hold"."""
    assert cli.CANNOT_RUN == cli.run(["defect"])
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "hint: this is a defect in ipseity" in shown


@pytest.mark.parametrize("args", [["nonsense"], ["answer"], ["answer", "x"], ["--nonsense"], ["good", "--nonsense"]])
def test_wrong_use_is_2_and_says_what_would_be_right(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The message comes with the help to look at."""
    assert cli.CANNOT_RUN == cli.run(args)
    shown = capsys.readouterr().err
    assert shown.startswith("ipseity: error: ")
    assert "--help\n" in shown


def test_no_command_is_2_and_shows_the_help_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The help is no error message."""
    assert cli.run([]) == cli.CANNOT_RUN
    assert capsys.readouterr().err.startswith("Usage: ipseity ")


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """In alphabetical order."""
    cli.run(["nonsense"])
    assert "no command 'nonsense'; there are: answer, defect, good, " in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As in ``ipseity observe | head``."""
    assert cli.HOLDS == cli.run(["pipe"])


def test_main_exits_with_the_code() -> None:
    """For the console script."""
    with pytest.raises(SystemExit) as raised:
        cli.main(["answer", "1"])
    assert 1 == raised.value.code


def test_the_front_door_is_light() -> None:
    """``ipseity --help`` must not pay for what it does not need."""
    heavy = "kubernetes aiohttp numpy bcc rich structlog"
    code = f"import sys, ipseity.cli; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_the_group_is_a_click_group() -> None:
    """So that shells can complete it."""
    assert isinstance(cli.ipseity, click.Group)
