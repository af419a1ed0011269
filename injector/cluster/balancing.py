"""What a Service may say of how clients choose among its endpoints: annotations below ``names.BALANCER_PREFIX``.

    said, complaints = balancing.read({"balancer.ipseity.io/failure-accrual": "consecutive"})

Here because the picture of the cluster must hold what proxies act on. Names, defaults and meaning of failure accrual
are Linkerd's (reference/circuit-breaking), so what is known of it there holds here. A value that cannot be read is as
if it were not there: it says so, and disturbs no other. Leaves out what Envoy makes of it (``discovery.clusters``).
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from injector import names

_DURATION: Final = re.compile(r"([0-9]{1,5}(d|h|m|s|ms)){1,4}")
_PART: Final = re.compile(r"([0-9]+)(d|h|ms|m|s)")
_SECONDS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Linkerd's units; several in a row as in GEP-2257."""
_RATIO: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")
_MAX_RATIO: Final = 100.0
"""Linkerd's."""
_MAX_S: Final = 3600.0
"""Of a duration; arbitrary, but proxies refuse their whole configuration for one that is too long."""
_MAX_COUNT: Final = 2**31 - 1
_MAX_QUOTED: Final = 80
_ACCRUAL: Final = "failure-accrual"
_CONSECUTIVE: Final = "consecutive"


class Policy(enum.StrEnum):
    """Which endpoint is next. Envoy's that need no key of a request."""

    LEAST_REQUEST = "least-request"
    """Of two at random, the one with fewer requests under way."""
    ROUND_ROBIN = "round-robin"
    RANDOM = "random"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accrual:
    """An endpoint that fails several times in a row is left alone for a while. Linkerd's defaults."""

    max_failures: int = 7
    min_penalty_s: float = 1.0
    max_penalty_s: float = 60.0
    jitter_ratio: float = 0.5
    """Of a penalty, added at random."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Balancing:
    """What holds for one Service. Limits are for each client's proxy and each port; None: none."""

    policy: Policy = Policy.LEAST_REQUEST
    accrual: Accrual | None = None
    max_connections: int | None = None
    max_pending_requests: int | None = None
    """That wait for a connection."""
    max_requests: int | None = None
    """Under way at once."""


DEFAULT: Final = Balancing()
_USUAL: Final = Accrual()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """How one annotation is read."""

    field: str
    read: Callable[[str], object]
    """Raises ValueError for what is not allowed."""
    allowed: str
    of_accrual: bool = False


def duration_s(text: str) -> float:
    """Read a duration above 0 and of at most an hour, in seconds. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(text)
    found = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not 0 < found <= _MAX_S:
        raise ValueError(text)
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_COUNT)) and 1 <= int(text) <= _MAX_COUNT):
        raise ValueError(text)
    return int(text)


def _ratio(text: str) -> float:
    if not _RATIO.fullmatch(text) or float(text) > _MAX_RATIO:
        raise ValueError(text)
    return float(text)


_NUMBER: Final = f"a number from 1 to {_MAX_COUNT}"
_TIME: Final = "a duration above 0 and of at most 1h, such as 500ms, 10s or 1m30s"


def _accrual(name: str, field: str, read: Callable[[str], object], allowed: str) -> tuple[str, Annotation]:
    return f"{_ACCRUAL}-{_CONSECUTIVE}-{name}", Annotation(field=field, read=read, allowed=allowed, of_accrual=True)


TABLE: Final[Mapping[str, Annotation]] = MappingProxyType(
    {
        names.BALANCER_PREFIX + key: annotation
        for key, annotation in (
            (_ACCRUAL, Annotation(field="accrual", read={_CONSECUTIVE: Accrual}.__getitem__, allowed=_CONSECUTIVE)),
            _accrual("max-failures", "max_failures", _count, _NUMBER),
            _accrual("min-penalty", "min_penalty_s", duration_s, _TIME),
            _accrual("max-penalty", "max_penalty_s", duration_s, _TIME),
            _accrual("jitter-ratio", "jitter_ratio", _ratio, "a number from 0.0 to 100.0"),
            ("load-balancing", Annotation(field="policy", read=Policy, allowed=", ".join(Policy))),
            *(
                (key, Annotation(field=key.replace("-", "_"), read=_count, allowed=_NUMBER))
                for key in ("max-connections", "max-pending-requests", "max-requests")
            ),
        )
    }
)
"""Every annotation there is, by its full name."""


def read(said: Mapping[str, str]) -> tuple[Balancing, tuple[str, ...]]:
    """Read the annotations of a Service, of which others are passed over; gives also what is wrong with them, sorted.

    Never raises.
    """
    found: dict[str, Any] = {}
    accrual: dict[str, Any] = {}
    complaints = []
    for key in sorted(each for each in said if each.startswith(names.BALANCER_PREFIX)):
        annotation = TABLE.get(key)
        if annotation is None:
            near = difflib.get_close_matches(key, TABLE, n=1, cutoff=0.0)[0]
            complaints.append(f"unknown annotation {key[:_MAX_QUOTED]}: the nearest one there is: {near}")
            continue
        try:
            value = annotation.read(said[key])
        except (ValueError, KeyError):
            complaints.append(
                f"annotation {key}: value {said[key][:_MAX_QUOTED]!r} is not allowed and is ignored; "
                f"allowed: {annotation.allowed}"
            )
            continue
        (accrual if annotation.of_accrual else found)[annotation.field] = value
    if accrual and "accrual" not in found:
        switch = f"{names.BALANCER_PREFIX}{_ACCRUAL}"
        complaints.append(f"annotations {switch}-{_CONSECUTIVE}-* say nothing without {switch}: {_CONSECUTIVE}")
    elif "accrual" in found:
        found["accrual"] = _whole(accrual, complaints)
    return Balancing(**found), tuple(complaints)


def _whole(said: Mapping[str, Any], complaints: list[str]) -> Accrual:
    """Put failure accrual together; what contradicts itself, or is too long together, is ignored."""
    made = Accrual(**said)
    prefix = f"{names.BALANCER_PREFIX}{_ACCRUAL}-{_CONSECUTIVE}"
    if made.min_penalty_s > made.max_penalty_s:
        complaints.append(
            f"annotations {prefix}-min-penalty ({made.min_penalty_s:g} s) and {prefix}-max-penalty "
            f"({made.max_penalty_s:g} s): the least is above the most, and both are ignored"
        )
        made = dataclasses.replace(made, min_penalty_s=_USUAL.min_penalty_s, max_penalty_s=_USUAL.max_penalty_s)
    if made.jitter_ratio * made.min_penalty_s > _MAX_S:
        complaints.append(
            f"annotations {prefix}-jitter-ratio ({made.jitter_ratio:g}) and {prefix}-min-penalty "
            f"({made.min_penalty_s:g} s): together more than 1h, and the ratio is ignored"
        )
        made = dataclasses.replace(made, jitter_ratio=_USUAL.jitter_ratio)
    return made
