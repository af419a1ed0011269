"""The answer of ``/mismatches``: what was checked, what was wrong, and who was misnamed, one JSON object per agent.

Here because scripts read it, and ``ipseity mismatches`` does. Shaped as the flow record is (``flowjson``): what has its
default value is left out, fields are added, never changed. Leaves out the look (``mismatches``).
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from agent import flowjson, verdicts

Count = Annotated[int, msgspec.Meta(ge=0)]
Method = Literal["ip", "ip_read", "handshake"]


class _Format(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out has its default value."""


class Checked(_Format, frozen=True):
    """What became of one method's answers for one end, since counting began."""

    end: Literal["local", "remote"]
    method: Method
    checked: Count
    mismatches: dict[verdicts.Mismatch, Count] = {}
    """By reason."""


class Line(_Format, frozen=True):
    """One way of being wrong about one owner of one address."""

    end: Literal["local", "remote"]
    method: Method
    reason: verdicts.Mismatch
    address: str
    was: flowjson.Answer
    said: flowjson.Answer | Literal["nobody"]
    start_time: flowjson.Time
    """When the first flow began that was misnamed."""
    time: flowjson.Time
    """When the last one ended."""
    flows: Count
    """Drained edges."""
    opened: Count = 0
    moved_bytes: Count = 0
    peers: tuple[str, ...] = ()
    """Workloads at the other end; the first 8."""
    window: Literal["closed", "open", "none"] = "none"
    """Whether the look-up has stopped naming that one; ``none``: no news can put it right."""
    window_us: Count = 0
    """From ``start_time`` to the news that put it right, or as long as it has been wrong."""


class Mismatches(_Format, frozen=True):
    """One agent's answer."""

    node_name: str
    time: flowjson.Time
    checked: tuple[Checked, ...] = ()
    mismatches: tuple[Line, ...] = ()
    """Those that were seen last at the end."""
    left_out: Count = 0
    """Lines that made room for others."""


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Mismatches)


def encode(answer: Mismatches) -> bytes:
    """Write one object, without a line end."""
    return _encoder.encode(answer)


def decode(text: bytes) -> Mismatches:
    """Read an answer. Raises msgspec.DecodeError."""
    return _decoder.decode(text)


def document(answers: Sequence[Mismatches]) -> str:
    """Write the answers of several agents as one JSON array."""
    return msgspec.json.format(_encoder.encode(answers), indent=2).decode()
