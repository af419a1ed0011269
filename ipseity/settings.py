"""Configuration from one frozen dataclass: flag > environment (``IPSEITY_<FIELD>``) > default.

Here because every program is configured the same way, and the same declaration makes ``--help``. Leaves out
configuration files (the twelve-factor way) and anything about what a setting means: that is the dataclass's.

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        max_edges: int = settings.field(65_536, "Edges kept in the kernel's table.", minimum=1)
"""

import dataclasses
import ipaddress
import pathlib
import types
import typing
from collections.abc import Callable, Collection, Mapping

import click

PREFIX = "IPSEITY_"
T = typing.TypeVar("T")
Command = typing.TypeVar("Command", bound=Callable[..., object])
_METAVARS = {int: "N", float: "SECONDS"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class SettingError(Exception):
    """A setting cannot be used. ``hint`` says what to write instead."""

    def __init__(self, variable: str, value: object, remedy: str, *, reason: str = "cannot be used") -> None:
        super().__init__(f"{variable}: {value!r} {reason}")
        self.variable = variable
        self.value = value
        self.hint = remedy


def field(  # noqa: PLR0913  # a declaration: every argument is one column of the documentation
    default: object,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    also: str = "",
) -> typing.Any:
    """Declare one setting; ``doc`` is its line in ``--help``.

    ``also`` is a variable of somebody else's that says the same; ours wins.
    """
    metadata = {"help": doc, "minimum": minimum, "maximum": maximum, "choices": choices, "metavar": metavar}
    metadata["also"] = also
    return dataclasses.field(default=default, metadata=metadata)


def load(cls: type[T], flags: Mapping[str, object], environ: Mapping[str, str]) -> T:
    """Build ``cls``. ``flags`` maps field names to what the command line gave; None means not given.

    Raises SettingError, naming the flag or the variable that was at fault.
    """
    values: dict[str, object] = {}
    for each, hint in _fields(cls):
        given = flags.get(each.name)
        variable = PREFIX + each.name.upper()
        if given is not None:
            values[each.name] = _parse(flag_name(each.name), given, hint, each.metadata)
        elif variable in environ:
            values[each.name] = _parse(variable, environ[variable], hint, each.metadata)
        elif each.metadata.get("also") in environ:
            also = each.metadata["also"]
            values[each.name] = _parse(also, environ[also], hint, each.metadata)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise SettingError(variable, "", f"give {flag_name(each.name)} or set {variable}", reason="is not set")
    return cls(**values)


def click_options(cls: type, *, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a click command one option per field of ``cls``; each arrives under the field's name, None if not given.

    ``without`` are fields that the command has already, from another dataclass.
    """
    left_out = frozenset(without)

    def decorate(command: Command) -> Command:
        for each, hint in reversed(_fields(cls)):
            if each.name not in left_out:
                command = _option(each, hint)(command)
        return command

    return decorate


def flag_name(field_name: str) -> str:
    """``max_edges`` -> ``--max-edges``."""
    return "--" + field_name.replace("_", "-")


def _fields(cls: type) -> list[tuple[dataclasses.Field[typing.Any], object]]:
    hints = typing.get_type_hints(cls)
    return [(each, hints[each.name]) for each in dataclasses.fields(cls)]


def _option(each: dataclasses.Field[typing.Any], hint: object) -> Callable[[Command], Command]:
    name = flag_name(each.name)
    if hint is bool:
        name = f"{name}/--no-{name.removeprefix('--')}"
    also = each.metadata.get("also")
    variables = f"{PREFIX}{each.name.upper()}" + (f", {also}" if also else "")
    return click.option(
        name,
        each.name,
        default=None,
        type=bool if hint is bool else str,  # parsed by load(), so that flag and variable fail in the same words
        metavar=each.metadata.get("metavar") or _METAVARS.get(typing.cast("type", hint)),
        help=f"{each.metadata.get('help', '')}  [{variables}; default: {_shown(each.default)}]",
    )


def _shown(default: object) -> str:
    match default:
        case bool():
            return "on" if default else "off"
        case None | "" | ():
            return "none"
        case tuple():
            return ",".join(str(item) for item in default)
        case dataclasses.MISSING:
            return "required"
        case _:
            return str(default)


def _parse(name: str, given: object, hint: object, limits: Mapping[str, typing.Any]) -> object:
    try:
        value = _convert(given, hint)
    except ValueError as error:
        raise SettingError(name, given, _remedy(hint, limits), reason=f"is not {_noun(hint)}") from error
    choices = limits.get("choices") or ()
    if choices and value not in choices:
        raise SettingError(name, given, _remedy(hint, limits), reason="is not one of the choices")
    low, high = limits.get("minimum"), limits.get("maximum")
    if isinstance(value, int | float) and ((low is not None and value < low) or (high is not None and value > high)):
        raise SettingError(name, given, _remedy(hint, limits), reason="is out of range")
    return value


def _convert(given: object, hint: object) -> object:
    """Turn text (or an already typed value from a caller) into what the annotation asks for. Raises ValueError."""
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        parts = given if isinstance(given, tuple | list) else [part.strip() for part in str(given).split(",")]
        return tuple(_convert(part, item) for part in parts if part != "")
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _convert_union(given, typing.get_args(hint))
    if hint is bool:
        return given if isinstance(given, bool) else _boolean(str(given))
    if hint in (int, float, str, pathlib.Path):
        return typing.cast("Callable[[object], object]", hint)(given)
    raise TypeError(f"settings know no type {hint!r}")


def _convert_union(given: object, members: tuple[object, ...]) -> object:
    if types.NoneType in members:
        rest = [member for member in members if member is not types.NoneType]
        return None if given in ("", None) else _convert(given, rest[0])
    if set(members) == {ipaddress.IPv4Network, ipaddress.IPv6Network}:
        return ipaddress.ip_network(str(given))
    raise TypeError(f"settings know no union of {members!r}")


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _noun(hint: object) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a comma-separated list where each is {_noun(typing.get_args(hint)[0])}"
    if isinstance(hint, types.UnionType):
        rest = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return "a network in CIDR form" if rest[0] is ipaddress.IPv4Network else _noun(rest[0])
    names = {int: "a whole number", float: "a number", bool: "yes or no"}
    return names.get(typing.cast("type", hint), "usable text")


def _remedy(hint: object, limits: Mapping[str, typing.Any]) -> str:
    if limits.get("choices"):
        return f"use one of: {', '.join(limits['choices'])}"
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None and high is not None:
        return f"use {_noun(hint)} from {low} to {high}"
    if low is not None:
        return f"use {_noun(hint)}, at least {low}"
    return f"use {_noun(hint)}"
