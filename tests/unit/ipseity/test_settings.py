"""One dataclass, three sources. Leaves out any program's own settings."""

import dataclasses
import ipaddress
import pathlib
from typing import Any

import click
import pytest
from click import testing

from ipseity import settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A setting of each kind."""

    name: str = settings.field("here", "A name.")
    limit: int = settings.field(7, "A limit.", minimum=1, maximum=99)
    share: float = settings.field(0.5, "A share.", minimum=0)
    on: bool = settings.field(default=True, doc="A switch.")
    where: pathlib.Path = settings.field(pathlib.Path("/tmp"), "A place.", metavar="DIR")
    maybe: str | None = settings.field(None, "Perhaps.")
    level: str = settings.field("info", "A level.", choices=("info", "debug"))
    networks: tuple[Network, ...] = settings.field((), "Networks.")
    shared: int = settings.field(1, "What somebody else says too.", maximum=9, also="THEIR_NUMBER")


def load(flags: dict[str, Any] | None = None, **environ: str) -> Example:
    return settings.load(Example, flags or {}, {f"IPSEITY_{key}": value for key, value in environ.items()})


def test_a_flag_beats_the_environment_which_beats_the_default() -> None:
    """A flag that was not given is None."""
    assert ("here", "env", "flag") == (
        load().name,
        load({"name": None}, NAME="env").name,
        load({"name": "flag"}, NAME="env").name,
    )


def test_somebody_elses_variable_comes_after_ours() -> None:
    """And is the one that is named, if it is wrong."""
    theirs = {"THEIR_NUMBER": "3"}
    assert 3 == settings.load(Example, {}, theirs).shared
    assert 5 == settings.load(Example, {}, {**theirs, "IPSEITY_SHARED": "5"}).shared
    assert 7 == settings.load(Example, {"shared": 7}, theirs).shared
    with pytest.raises(settings.SettingError, match="THEIR_NUMBER: '30' is out of range"):
        settings.load(Example, {}, {"THEIR_NUMBER": "30"})


def test_every_kind_of_value_is_read() -> None:
    """Text from the environment becomes what the field says."""
    read = load(LIMIT="42", SHARE="1e-3", ON="no", WHERE="/x", MAYBE="m", NETWORKS="10.0.0.0/8, fd00::/8,")
    assert (42, 0.001, False, pathlib.Path("/x"), "m") == (read.limit, read.share, read.on, read.where, read.maybe)
    assert (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")) == read.networks
    assert load(MAYBE="").maybe is None


@pytest.mark.parametrize(
    ("variable", "value", "reason", "hint"),
    [
        ("LIMIT", "many", "is not a whole number", "use a whole number from 1 to 99"),
        ("LIMIT", "100", "is out of range", "use a whole number from 1 to 99"),
        ("SHARE", "-1", "is out of range", "use a number, at least 0"),
        ("ON", "maybe", "is not yes or no", "use yes or no"),
        ("LEVEL", "loud", "is not one of the choices", "use one of: info, debug"),
        ("NETWORKS", "10.0.0.1/8", "is not a comma-separated list where each is a network in CIDR form", "use a comma"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_a_remedy(variable: str, value: str, reason: str, hint: str) -> None:
    """Variable, value, reason and what to write instead."""
    with pytest.raises(settings.SettingError) as raised:
        load(**{variable: value})
    assert f"IPSEITY_{variable}: {value!r} {reason}" == str(raised.value)
    assert raised.value.hint.startswith(hint)


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    """Whoever typed it did not type a variable."""
    with pytest.raises(settings.SettingError, match=r"^--limit: 'x' is not"):
        load({"limit": "x"})


def test_a_setting_without_default_must_be_given() -> None:
    """The message names both ways to give it."""

    @dataclasses.dataclass(frozen=True)
    class Strict:
        token: str

    with pytest.raises(settings.SettingError, match="IPSEITY_TOKEN: '' is not set") as raised:
        settings.load(Strict, {}, {})
    assert "give --token or set IPSEITY_TOKEN" == raised.value.hint
    assert "t" == settings.load(Strict, {}, {"IPSEITY_TOKEN": "t"}).token


def test_a_type_that_settings_do_not_know_is_a_defect() -> None:
    """It is found by whoever declares it, not by a user."""

    @dataclasses.dataclass(frozen=True)
    class Odd:
        thing: dict[str, str] | int = 3

    with pytest.raises(TypeError, match="settings know no union"):
        settings.load(Odd, {"thing": "x"}, {})


@click.command()
@settings.click_options(Example)
def example(**flags: object) -> None:
    """Print what was loaded."""
    loaded = settings.load(Example, flags, {"IPSEITY_LIMIT": "9"})
    click.echo(f"{loaded.limit} {loaded.on} {loaded.where}")


def test_the_command_line_has_an_option_per_setting() -> None:
    """Flag, variable, default and meaning stand side by side."""
    help_text = " ".join(testing.CliRunner().invoke(example, ["--help"]).output.split())
    for part in ("--limit N", "A limit.", "IPSEITY_LIMIT; default: 7", "--on / --no-on", "default: on", "--where DIR"):
        assert part in help_text
    assert "default: none" in help_text


def test_flags_arrive_and_what_is_not_given_comes_from_elsewhere() -> None:
    """Through click."""
    assert "9 False /y\n" == testing.CliRunner().invoke(example, ["--no-on", "--where", "/y"]).output
