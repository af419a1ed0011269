"""Ways in which an address and an identity part: one TOML file each, with a drive in Python, claimed before it is run.

Here because a person adds a scenario by adding two files. ``load`` reads them all, and refuses one that does not say
what it must. Leaves out running them (``campaign``).
"""

import dataclasses
import functools
import importlib
import pathlib
import zlib
from typing import Any, Final

import msgspec

from comparisons import results

HERE: Final = pathlib.Path(__file__).parent


class ScenarioError(Exception):
    """A scenario's file cannot be used. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a TOML file says."""

    order: int
    quick: bool = False
    alone: bool = False
    drive: str
    title: str
    question: str
    claim: str
    column: str
    expect: dict[str, results.Expected]
    tolerance_ms: float = 0.0
    published: str = ""
    lesson: str = ""
    sources: tuple[results.Source, ...] = ()
    parameters: tuple[results.Parameter, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario, ready to be played."""

    told: results.Scenario
    order: int
    quick: bool
    """Whether it is among the few that ``--quick`` plays."""
    alone: bool
    """Whether it is played by itself, and in part (``Scene.alone``) a run at a time: it is a race, or it cuts off what
    all share."""
    drive: Any
    """The module with ``prepare`` and ``play``."""

    def parameter(self, name: str) -> float:
        """Give a parameter that is a number; 0 if the scenario does not set it."""
        return next((float(it.value) for it in self.told.parameters if it.name == name), 0.0)


@functools.cache
def played_with() -> str:
    """Name the programs that play and judge: what was played with others is not this comparison's."""
    sources = [*sorted(HERE.glob("*.py")), HERE.parent / "match.py"]
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in sources)):08x}"


def load(folder: pathlib.Path = HERE) -> dict[str, Scenario]:
    """Read all scenarios, in the order of the report."""
    found = [read(path) for path in sorted(folder.glob("*.toml"))]
    return {it.told.name: it for it in sorted(found, key=lambda it: (it.order, it.told.name))}


def read(path: pathlib.Path) -> Scenario:
    """Read one."""
    try:
        said = msgspec.toml.decode(path.read_bytes(), type=_File)
        fields = {
            name: getattr(said, name)
            for name in _File.__struct_fields__
            if name not in {"order", "quick", "alone", "drive"}
        }
        told = msgspec.convert({**msgspec.to_builtins(fields), "name": path.stem.replace("_", "-")}, results.Scenario)
        drive = importlib.import_module(f"comparisons.scenarios.{said.drive}")
    except (OSError, ValueError, msgspec.DecodeError, ImportError) as error:
        raise ScenarioError(f"scenario {path.name!r}: {error}", hint=f"correct {path}") from error
    return Scenario(told=told, order=said.order, quick=said.quick, alone=said.alone, drive=drive)
