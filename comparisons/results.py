"""What a comparison found, as the two files per scenario hold it: ``env.json`` and ``results.json``.

Here because the report is made from these alone, and others may read them: the classes are the schema, and a file that
does not fit is refused with the place where it does not. Fields are added, never changed. Leaves out how it was found
(``campaign``) and how it looks (``report``).
"""

import os
import pathlib
from typing import Annotated, Final, Literal, TypeVar

import msgspec

VERSION: Final = 1
ENOUGH_RUNS: Final = 20
"""Below this a claim is not shown, however the runs came out."""

Count = Annotated[int, msgspec.Meta(ge=0)]
T = TypeVar("T")
Outcome = Literal["right", "lets_in", "keeps_out"]
Expected = Literal["right", "lets_in", "keeps_out", "may_let_in"]
"""``may_let_in``: nothing decides it. Shown by one run that lets in, since that is what no guarantee means."""


class ResultsError(Exception):
    """Results that cannot be read or written. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that is not known is refused: it would be a claim that nobody shows."""


class Span(_Strict, frozen=True, kw_only=True):
    """One stretch of a lane of the picture. Milliseconds since the run's window could begin."""

    lane: str
    """``owner``: who had the address. ``belief``: whom the contender took it for. ``link``: what was cut."""
    text: str
    from_ms: float
    to_ms: float


class Mark(_Strict, frozen=True, kw_only=True):
    """Something that was done."""

    at_ms: float
    text: str


class Packet(_Strict, frozen=True, kw_only=True):
    """One attempt."""

    at_ms: float
    who: str
    entitled: bool
    passed: bool


class Timeline(_Strict, frozen=True, kw_only=True):
    """One run as a picture."""

    run: Count
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    packets: tuple[Packet, ...] = ()


class Run(_Strict, frozen=True, kw_only=True):
    """One run against one contender."""

    number: Count
    outcome: Outcome
    """``lets_in``: somebody who was not entitled passed, for longer than is tolerated. ``keeps_out``: the opposite."""
    plan: dict[str, float | int | str]
    """What the seed decided: the same seed gives the same."""
    attempts: Count
    entitled: Count
    passed: Count
    false_allows: Count
    false_denies: Count
    denied_as: dict[str, Count] = {}
    """What the callers of ``false_denies`` saw, with how often: a status, or an error's name (``TimeoutError``)."""
    window_ms: float
    """From when it could begin to the last attempt that passed although it was not entitled; 0 if none did."""
    closed: bool
    """Whether one that was sent after that one was refused. If not, the window was still open when the run ended."""
    lag_ms: float
    """From when it could begin to the last entitled attempt that was refused; 0 if none was."""
    named_right: Count = 0
    named_wrong: Count = 0
    unnamed: Count = 0
    """Attempts that passed, by whether the contender named the caller's account."""


class Entry(_Strict, frozen=True, kw_only=True):
    """One contender in one scenario."""

    contender: str
    runs: tuple[Run, ...] = ()
    picture: Timeline | None = None
    without: str = ""
    """Why there are no runs, if there are none."""


class Parameter(_Strict, frozen=True, kw_only=True):
    """Something that the scenario sets on purpose, with what justifies it."""

    name: str
    value: float | int | str
    unit: str = ""
    because: str


class Source(_Strict, frozen=True, kw_only=True):
    """Who has reported this."""

    text: str
    url: str = ""


class Scenario(_Strict, frozen=True, kw_only=True):
    """``results.json``."""

    version: Literal[1] = 1
    name: str
    title: str
    question: str
    claim: str
    column: Literal["address", "identity", "both"]
    """Whose weakness it is about: the address's, the identity's, or neither's alone."""
    published: str = ""
    """The window that others have published."""
    sources: tuple[Source, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    tolerance_ms: float = 0.0
    """How long a change may take to reach everybody; a shorter window or refusal that ended is no fault."""
    expect: dict[str, Expected]
    """By contender: the claim, so that it can be checked. Written before the run."""
    lesson: str = ""
    entries: tuple[Entry, ...] = ()


class Usage(_Strict, frozen=True, kw_only=True):
    """What one contender cost at one load."""

    contender: str
    pods: Count
    """Callers on the node, each with its share of the rate."""
    rate: float
    """Requests a second that were asked for."""
    answered: float
    """Requests a second that were answered."""
    failed: Count
    p50_ms: float
    p99_ms: float
    cpu_ms_per_s: dict[str, float]
    """By part: milliseconds of CPU a second while the load ran, from its cgroup or its process."""
    memory_mb: dict[str, float]
    """By part, at the end of the load: what the cgroup holds that is not file pages."""


class Contender(_Strict, frozen=True, kw_only=True):
    """Who took part."""

    name: str
    title: str
    what: str
    lanes: Count = 0
    """Runs side by side; 0: not known."""


class Environment(_Strict, frozen=True, kw_only=True):
    """``env.json``: where and with what it was found."""

    version: Literal[1] = 1
    seed: int
    runs: Count
    started: str
    took_s: float
    """All of it, over interruptions."""
    cpu_s: float = 0.0
    """Processor time of the labs and of who played in them; 0: not measured."""
    busy_s: float = 0.0
    """Processor time of the whole machine meanwhile: much more than ``cpu_s`` is other work. 0: not measured."""
    lanes: Count = 0
    """Runs side by side at the most; 0: not known."""
    kernel: str
    machine: str
    cores: Count
    versions: dict[str, str]
    contenders: tuple[Contender, ...]
    command: str


class Costs(_Strict, frozen=True, kw_only=True):
    """``results/cost/results.json``."""

    version: Literal[1] = 1
    usages: tuple[Usage, ...] = ()


def write(path: pathlib.Path, value: msgspec.Struct) -> None:
    """Write JSON whole or not at all."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value), indent=1).decode())


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all: what is there under its name is never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}", hint="nothing half-written was left; free some space"
        ) from error


def read(path: pathlib.Path, kind: type[T]) -> T:
    """Read what ``write`` wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}", hint="ipseity compare writes it") from error
    except msgspec.DecodeError as error:
        raise ResultsError(f"{path} does not hold results: {error}", hint="remove it and run it again") from error
