"""HTTPRoute and GRPCRoute as values: which requests a rule is about, and what becomes of them.

One shape for both kinds, since a gRPC call is an HTTP request: what only one of them can say is empty in the other.
Here because attaching, ordering and Envoy's configuration must read a route alike. Leaves out the reading
(``reading``), and to which Services and clients a route applies (``attach``).
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

GROUP: Final = "gateway.networking.k8s.io"
SERVICE: Final = "Service"


class Kind(enum.StrEnum):
    """The kinds of routes that are acted on."""

    HTTP = "HTTPRoute"
    GRPC = "GRPCRoute"

    @property
    def plural(self) -> str:
        """As it is in the URL."""
        return f"{self.lower()}s"

    @property
    def path(self) -> str:
        """All of them, of every namespace."""
        return f"/apis/{GROUP}/v1/{self.plural}"


class PathKind(enum.StrEnum):
    """How a path is compared."""

    EXACT = "Exact"
    PREFIX = "PathPrefix"
    """By whole elements: ``/a`` is a prefix of ``/a/b`` and not of ``/ab``."""
    REGEX = "RegularExpression"
    """RE2, of the whole path."""


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A text that must be found."""

    value: str
    regex: bool = False
    """RE2, of the whole text."""


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """A header or query parameter that must be there."""

    name: str
    """A header's in lower case."""
    text: Text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A request is meant when all of it holds."""

    path: tuple[PathKind, str] | None = None
    """Of HTTPRoute; None: any."""
    method: str = ""
    """Of HTTP; empty: any."""
    headers: tuple[Named, ...] = ()
    query: tuple[Named, ...] = ()
    service: Text | None = None
    """Of GRPCRoute: ``package.Service``; None: any."""
    call: Text | None = None
    """Of GRPCRoute: the method; None: any."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """What is done to headers, first removed, then set and added; names as they were written."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


UNCHANGED: Final = Headers()


@dataclasses.dataclass(frozen=True, slots=True)
class NewPath:
    """What a path becomes."""

    value: str
    prefix: bool
    """Only the prefix that the match is about is replaced; else the whole path."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """The client is sent elsewhere; what is not said is as in the request."""

    scheme: str = ""
    hostname: str = ""
    path: NewPath | None = None
    port: int | None = None
    status: int = 302


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """The server is asked for something else than the client asked for."""

    hostname: str = ""
    path: NewPath | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A backend, as it is written."""

    group: str
    kind: str
    namespace: str
    name: str
    port: int | None

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.kind} {self.namespace}/{self.name}{port}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a share of the requests goes."""

    reference: Reference
    weight: int = 1
    request: Headers = UNCHANGED
    response: Headers = UNCHANGED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Where copies of a share of the requests go; nobody waits for the answers."""

    reference: Reference
    numerator: int = 100
    denominator: int = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What is tried again."""

    codes: tuple[int, ...] = ()
    """Statuses; a connection that breaks without an answer is tried again in any case."""
    attempts: int = 1
    """Beyond the first one."""
    backoff_s: float | None = None
    """Before the first of them, at most; None: the proxy's own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of the requests that any of the matches means."""

    matches: tuple[Match, ...] = (Match(),)
    request: Headers = UNCHANGED
    response: Headers = UNCHANGED
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    backends: tuple[Backend, ...] = ()
    request_s: float | None = None
    """How long the whole may take, with all attempts; None or 0: as long as it likes."""
    backend_s: float | None = None
    """How long each attempt may take; None or 0: as long as it likes."""
    retry: Retry | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A Service that the route wants to apply to."""

    namespace: str
    name: str
    port: int | None
    """None: every port."""
    section: str
    """The name of a port; empty: every port."""
    error: str = ""
    """Why the reference cannot be read; empty: it was. Then the other fields are what could be, and empty."""
    written: Mapping[str, Any] = dataclasses.field(compare=False)
    """As it is in the spec: the status repeats it."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route that can be acted on."""

    kind: Kind
    namespace: str
    name: str
    created: str
    """RFC 3339, of Kubernetes: text that sorts by time."""
    parents: tuple[Parent, ...]
    rules: tuple[Rule, ...]
    broken: tuple[str, ...] = ()
    """Of each rule that cannot be acted on: why. It is among the rules all the same, with its matches and nothing else:
    what it means fails."""
    size: int = 0
    """Bytes: what every proxy has to hold for each port, about. Each match counts itself and all of its rule."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a namespace allows routes of other namespaces to send to it: a ReferenceGrant, without all else it says."""

    namespace: str
    senders: frozenset[tuple[str, str]]
    """Kind and namespace of routes."""
    services: frozenset[str] | None
    """Names; None: every Service."""

    def allows(self, kind: str, namespace: str, to: Reference) -> bool:
        """Say whether routes of a kind and namespace may send to a Service."""
        known = self.namespace == to.namespace and (kind, namespace) in self.senders
        return known and (self.services is None or to.name in self.services)
