"""The issuance log's lines: what was signed for whom, each holding the hash of the line before it.

Here because a certificate that nobody can account for is what an identity service must not have. The hash chain makes
a removed, changed or inserted line show; what it cannot show alone is a removed end, so the newest hash (``Head``) is
also published elsewhere (``status``) and ``verify`` takes it. Pure: bytes in, findings out; the file is ``issuelog``.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

FIRST: Final = "0" * 64
"""What the first line of all holds in place of a hash."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signed leaf. Times are seconds since the epoch."""

    time_s: int
    serial: str
    """Hexadecimal, 32 digits."""
    spiffe_id: str
    namespace: str
    pod: str
    pod_uid: str
    not_before_s: int
    not_after_s: int
    issuer: str
    """SHA-256 of the issuer's certificate."""
    anchor: str
    """SHA-256 of the anchor that it chains to."""
    trusted: tuple[str, ...] | None = None
    """SHA-256 of the anchors that the pod said it trusts; None: it did not say."""


class Line(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry in its place in the chain."""

    seq: int
    """From 1."""
    prev: str
    """SHA-256 of the line before, without its line end; ``FIRST`` in the first one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the chain ends."""

    seq: int = 0
    digest: str = FIRST

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read ``seq:digest``. Raises ValueError."""
        seq, _, digest = text.partition(":")
        if not seq.isdecimal() or not _HASH.fullmatch(digest):
            raise ValueError(f"{text!r} is not NUMBER:SHA-256")
        return cls(seq=int(seq), digest=digest)


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the chain does not hold."""

    place: int
    """Counted from 1 over all files given."""
    what: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification found."""

    lines: int
    first_seq: int
    """Above 1: older files were rotated away, so nothing is known about what was in them. 0: no lines."""
    head: Head
    breaks: tuple[Break, ...]
    """At most 100."""

    @property
    def holds(self) -> bool:
        """Nothing was removed, changed or inserted between first and last line."""
        return not self.breaks


_MAX_BREAKS: Final = 100
_decoder: Final = msgspec.json.Decoder(Line)
_encoder: Final = msgspec.json.Encoder()


def chain(head: Head, entry: Entry) -> tuple[bytes, Head]:
    """Put an entry behind the head: the line without its end, and the new head."""
    fields = msgspec.structs.asdict(entry)
    line = _encoder.encode(Line(**fields, seq=head.seq + 1, prev=head.digest))
    return line, Head(seq=head.seq + 1, digest=digest(line))


def digest(line: bytes) -> str:
    """Hash a line, without its line end."""
    return hashlib.sha256(line).hexdigest()


def read(line: bytes) -> Line:
    """Read a line. Raises ValueError."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"not a line of the issuance log: {error}") from error


def verify(lines: Iterable[bytes], published: Head | None = None) -> Verdict:
    """Walk the chain over the lines of all files, oldest first, without their ends.

    ``published`` is a head that was seen elsewhere: the chain must contain it, else its end was removed or rewritten.
    """
    head, first_seq, count = Head(), 0, 0
    breaks: list[Break] = []
    met = published is None or published.seq == 0
    for count, line in enumerate(lines, start=1):
        found, problem = _link(line, head, first=count == 1)
        if problem and len(breaks) < _MAX_BREAKS:
            breaks.append(Break(place=count, what=problem))
        seq = found.seq if found else head.seq + 1
        first_seq = first_seq or seq
        head = Head(seq=seq, digest=digest(line))
        met = met or head == published
    if published is not None and not met and (published.seq >= first_seq or not count):
        breaks.append(Break(place=count, what=f"line {published.seq} is not the one whose hash was published"))
    return Verdict(lines=count, first_seq=first_seq, head=head, breaks=tuple(breaks))


def _link(line: bytes, head: Head, *, first: bool) -> tuple[Line | None, str]:
    """Hold a line against the head before it; the first of what is left may begin anywhere."""
    try:
        found = read(line)
    except ValueError as error:
        return None, str(error)[:200]
    if first and found.seq > 1:
        return found, "" if _HASH.fullmatch(found.prev) else "its hash of the line before is none"
    if found.seq != head.seq + 1:
        return found, f"number {found.seq} follows {head.seq}"
    if found.prev != head.digest:
        return found, f"line {found.seq} does not hold the hash of the line before it"
    return found, ""


def unexpired(lines: Iterable[bytes], *, now_s: float) -> Iterator[Line]:
    """Give what is still valid, for whoever starts anew; what cannot be read is left out (``verify`` tells)."""
    for line in lines:
        try:
            found = read(line)
        except ValueError:
            continue
        if found.not_after_s > now_s:
            yield found
