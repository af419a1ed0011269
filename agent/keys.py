"""The cluster's handshake keys: what a Secret or a file must look like, and how a key is replaced under load.

Here because a MAC is worth as much as its key, and because the order in which many nodes learn a new one decides
whether any connection loses its evidence. Pure. Leaves out Kubernetes (``keysecret``) and the kernel (``handshake``).

    current               signs, and is believed
    current, next         the new key is believed everywhere before anybody signs with it
    current, previous     the old key is believed until nobody signs with it any more
"""

import base64
import binascii
import dataclasses
import enum
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

KEY_BYTES: Final = 16
"""SipHash-2-4 takes a key of 128 bits."""
CURRENT, NEXT, PREVIOUS = "current", "next", "previous"
NAMES: Final = (CURRENT, NEXT, PREVIOUS)
SETTLE_S: Final = 60.0
"""How long every agent is given to have heard of a step. A watch tells within a second; one whose connection is dead is
noticed after 30 s and opened anew. Arbitrary: twice that."""


class Unusable(ValueError):  # noqa: N818  # it reads as what happened
    """The keys cannot be used. The text never has any of a key in it; ``hint`` is what to do about it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What is known: ``current`` signs; the others are believed too."""

    current: bytes = dataclasses.field(repr=False)
    next: bytes = dataclasses.field(default=b"", repr=False)
    previous: bytes = dataclasses.field(default=b"", repr=False)

    def for_kernel(self) -> tuple[bytes, ...]:
        """Give the one that signs, then the one that is believed besides: the next before the previous."""
        second = self.next or self.previous
        return (self.current, second) if second else (self.current,)

    def named(self) -> dict[str, str]:
        """Give the fingerprint of each key there is, by name."""
        return {name: fingerprint(key) for name in NAMES if (key := getattr(self, name))}


def fingerprint(key: bytes) -> str:
    """Name a key without telling it: 8 hexadecimal digits, equal on every node that has the same key."""
    return hashlib.sha256(b"ipseity handshake key\0" + key).hexdigest()[:8]


def from_secret(data: Mapping[str, str]) -> Keys:
    """Read a Secret's ``data``, base64 as the API has it. Raises Unusable."""
    hint = "ipseity handshake init makes a good one, where there is none"
    if not data.get(CURRENT):
        raise Unusable(f"the Secret has no key {CURRENT!r}", hint=hint)
    found = {}
    for name in NAMES:
        try:
            raw = base64.b64decode(data.get(name) or "", validate=True)
        except (binascii.Error, ValueError):
            raise Unusable(f"key {name!r} of the Secret is not base64", hint=hint) from None
        if raw and len(raw) != KEY_BYTES:
            raise Unusable(f"key {name!r} of the Secret has {len(raw)} bytes, not {KEY_BYTES}", hint=hint)
        found[name] = raw
    return Keys(**found)


def to_secret(known: Keys) -> dict[str, str]:
    """Write a Secret's ``data``."""
    return {name: base64.b64encode(key).decode() for name in NAMES if (key := getattr(known, name))}


def from_text(text: str) -> Keys:
    """Read a file: one key a line in hexadecimal digits; the first signs, a second is believed too. Raises Unusable."""
    hint = f"write {2 * KEY_BYTES} hexadecimal digits a line: openssl rand -hex {KEY_BYTES}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not 1 <= len(lines) <= 2:
        raise Unusable(f"the file has {len(lines)} keys, not one or two", hint=hint)
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            raw = bytes.fromhex(line)
        except ValueError:
            raise Unusable(f"key {number} in the file is not hexadecimal", hint=hint) from None
        if len(raw) != KEY_BYTES:
            raise Unusable(f"key {number} in the file has {len(raw)} bytes, not {KEY_BYTES}", hint=hint)
        found.append(raw)
    return Keys(current=found[0], previous=found[1] if len(found) > 1 else b"")


class Step(enum.Enum):
    """One step of a rotation: one write of the Secret."""

    ANNOUNCE = "announce"
    """A new key is made; all learn to believe it."""
    SWITCH = "switch"
    """All sign with it; the old one is still believed."""
    DROP = "drop"
    """The old one is believed no more."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next step, and when it may be taken."""

    step: Step
    wait_s: float
    """Until every agent has heard of the last step; 0: now."""

    @property
    def due(self) -> bool:
        """Whether the step may be taken now."""
        return self.wait_s <= 0


def plan(known: Keys, *, since_step_s: float, settle_s: float = SETTLE_S) -> Plan:
    """Work out the next step from what the Secret has. ``since_step_s``: how long ago it was last changed."""
    wait_s = max(0.0, settle_s - since_step_s)
    if known.previous:  # also one that somebody has left there beside a next one: the kernel believes two
        return Plan(step=Step.DROP, wait_s=wait_s)
    if known.next:
        return Plan(step=Step.SWITCH, wait_s=wait_s)
    return Plan(step=Step.ANNOUNCE, wait_s=0.0)


def after(known: Keys, step: Step, fresh: bytes) -> Keys:
    """Give the keys as they are after a step; ``fresh`` is a new random key, used by ANNOUNCE alone."""
    match step:
        case Step.ANNOUNCE:
            return Keys(current=known.current, next=fresh)
        case Step.SWITCH:
            return Keys(current=known.next, previous=known.current)
        case Step.DROP:
            return Keys(current=known.current, next=known.next)


_SAYS: Final = {
    Step.ANNOUNCE: "1 of 3: make a new key, which every agent learns to believe",
    Step.SWITCH: "2 of 3: sign with the new key; the old one is still believed",
    Step.DROP: "3 of 3: drop the old key; what it signed is believed no more",
}


def describe(known: Keys, made: Plan) -> Iterator[str]:
    """Say where a rotation stands, and what is next."""
    yield "keys: " + ", ".join(f"{name} {mark}" for name, mark in known.named().items())
    yield f"next step, {_SAYS[made.step]}"
    if not made.due:
        yield f"not yet: every agent must have heard of the last step; wait {made.wait_s:.0f} s"
