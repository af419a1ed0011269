"""What an observation found, as ``results/observed/results.json`` holds it: the page is made from this alone.

Here because the file outlives the cluster's moment, and others may read it: the classes are the schema. Fields are
added, never changed. Times are RFC 3339, UTC. Leaves out how it was found and how it looks.
"""

from typing import Any, Final, Literal

import msgspec

VERSION: Final = 1
Refusal = Literal[
    "address_reuse", "unnamed", "no_identity", "port_hidden", "behind_service", "only_failed", "host_network",
    "no_label", "udp", "too_many",
]  # fmt: skip


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that is not known is refused."""


class Seen(_Strict, frozen=True, kw_only=True):
    """How much of something was seen, and when."""

    flows: int
    """Intervals in which two ends had to do with one another, as the end that saw more of them counts."""
    connections: int
    first: str
    last: str


class Misnamed(_Strict, frozen=True, kw_only=True):
    """One workload that an address took for somebody else, in one way."""

    end: Literal["source", "destination"]
    was: str
    said: str
    reason: str
    addresses: tuple[str, ...]
    peers: tuple[str, ...]
    seen: Seen


class Misjudged(_Strict, frozen=True, kw_only=True):
    """What a policy in force would have said of a connection whose address named the wrong pod."""

    outcome: Literal["lets_in", "keeps_out"]
    was: str
    said: str
    other: str
    """The other end."""
    end: Literal["source", "destination"]
    port: str
    policy: str
    rule: int
    """The first is 0; -1: none of its rules admits it."""
    direction: str
    reason: str
    seen: Seen


class Idle(_Strict, frozen=True, kw_only=True):
    """A policy, or one rule of it, that does nothing."""

    policy: str
    what: Literal["no_pod", "no_peer", "no_flow"]
    """It selects no pod; its rule's peers are no pod; no flow that was seen needs the rule."""
    direction: str = ""
    rule: int = -1
    text: str = ""
    """The selector."""


class Bare(_Strict, frozen=True, kw_only=True):
    """A namespace with pods and no NetworkPolicy."""

    namespace: str
    pods: int
    callers: tuple[str, ...]
    """Who was seen calling into it from other namespaces."""


class Caller(_Strict, frozen=True, kw_only=True):
    """One caller of a suggested rule, with what it rests on."""

    namespace: str
    account: str
    workload: str
    ports: tuple[str, ...]
    evidence: tuple[str, ...]
    """Of caller and server, as in ``kernel/handshake``; ``ip`` is an address that did not change hands."""
    misnamed: int
    """Of its flows: how many an address would have taken for somebody else's."""
    seen: Seen


class Suggestion(_Strict, frozen=True, kw_only=True):
    """The policies that one workload's flows suggest."""

    namespace: str
    workload: str
    kind: str
    callers: tuple[Caller, ...]
    identity: dict[str, Any] | None
    """An AuthorizationPolicy that only audits."""
    network: dict[str, Any] | None
    """A NetworkPolicy."""
    notes: tuple[str, ...] = ()


class Refused(_Strict, frozen=True, kw_only=True):
    """A rule that is not suggested although flows ask for it."""

    caller: str
    target: str
    port: str
    reason: Refusal
    why: str
    """With the address and its owners, where it is about those."""
    seen: Seen


class Observed(_Strict, frozen=True, kw_only=True):
    """``results.json``."""

    version: Literal[1] = 1
    made: str
    command: str
    nodes: tuple[str, ...]
    first: str
    last: str
    records: int
    unreadable: int
    unreadable_why: str = ""
    lost: int
    pods: int
    policies: int
    checked: int
    """Ends of which kernel or handshake and a look-up of the address both had something to say."""
    wrong: int
    misnamed: tuple[Misnamed, ...]
    judged: int
    """Flows with a misnamed end that the policies could be asked about."""
    unjudged: dict[str, int]
    """Those that could not, by the reason."""
    misjudged: tuple[Misjudged, ...]
    idle: tuple[Idle, ...]
    bare: tuple[Bare, ...]
    suggestions: tuple[Suggestion, ...]
    refused: tuple[Refused, ...]
