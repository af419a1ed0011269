"""What a client is to do: a list of steps, as values and as JSON.

The counts that proofs use are primes, so that an accident cannot match them.
"""

import dataclasses
import enum
import json


class By(enum.IntEnum):
    """Which system call carries the bulk of the bytes: each takes another way through the kernel."""

    SEND = 0
    SENDFILE = 1
    SPLICE = 2


class End(enum.IntEnum):
    """How a connection ends."""

    CLIENT = 0
    """The client closes first."""
    SERVER = 1
    """The server closes first."""
    HALF = 2
    """The client shuts its sending side down before the server has begun to answer."""
    CLIENT_RESETS = 3
    """The client resets after everything has been acknowledged: the server sees the reset."""
    SERVER_RESETS = 4
    """The other way round."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """TCP connections, each with one request and one reply."""

    address: str
    port: int
    count: int = 1
    request_bytes: int
    """At least ``wire.HEADER.size``: the header is part of it."""
    reply_bytes: int
    by: By = By.SEND
    end: End = End.CLIENT
    mapped: bool = False
    """Reach an IPv4 address through an IPv6 socket."""
    pause_s: float = 0.0
    """Between one connection and the next."""
    held_s: float = 0.0
    """How long a connection rests after half of its request has been sent."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """TCP connections that are expected to fail; the cause is what the kernel says."""

    address: str
    port: int
    count: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Datagrams:
    """UDP datagrams, each answered before the next is sent."""

    address: str
    port: int
    count: int = 1
    request_bytes: int
    """At least ``wire.QUESTION.size``."""
    reply_bytes: int
    connected: bool = True
    """Whether the socket is connected to its peer, or names it with every datagram."""


Step = Exchange | Attempt | Datagrams
STEPS = {kind.__name__: kind for kind in (Exchange, Attempt, Datagrams)}


def dump(steps: list[Step]) -> str:
    """Return the plan as JSON."""
    return json.dumps([{"step": type(step).__name__} | dataclasses.asdict(step) for step in steps])


def load(text: str) -> list[Step]:
    """Read what ``dump`` wrote."""
    return [STEPS[row.pop("step")](**row) for row in json.loads(text)]
