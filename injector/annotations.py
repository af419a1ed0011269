"""What users may write in ``config.ipseity.io/*``: read strictly, and refused with the values that are allowed.

Here because the webhook refuses a bad value and the cluster picture acts on a good one, and both must read alike.
A new annotation is a field of ``ProxyConfig``, a row of ``TABLE`` and a row in the manual. Leaves out
``names.INJECT``: whether to inject at all is ``webhook.decide``'s.
"""

import dataclasses
import difflib
import enum
import fractions
import functools
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from injector import errors, names

_MAX_PORT: Final = 65_535
_MAX_ENTRIES: Final = 64
"""Of one list of ports: arbitrary, but far above what anybody writes, and far below what nftables takes."""
_MAX_UID: Final = 2**31 - 2
"""Kubernetes: runAsUser is at most 2147483647; the last one is nobody's on systems that count it as -1."""
_MAX_CONCURRENCY: Final = 64
_MAX_QUOTED: Final = 80
_QUANTITY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([numkMGTPE]|[KMGTPE]i)?")
_IMAGE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@+-]{0,511}")
_SCALE: Final = {
    "": fractions.Fraction(1),
    **{suffix: fractions.Fraction(1, 1000**power) for power, suffix in enumerate("mun", start=1)},
    **{suffix: fractions.Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": fractions.Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/, without exponents."""

DEFAULT_OPAQUE_PORTS: Final = frozenset({21, 22, 25, 110, 143, 587, 3306, 3307, 4444, 5432, 6379, 9300, 11211})
"""Where the server speaks first, or where looking for HTTP is of no use: FTP, SSH, SMTP, POP3, IMAP, submission, MySQL
(and Galera's 4444), PostgreSQL, Redis, Elasticsearch's transport, memcached. Linkerd's list, and the mail and login
protocols of the same kind."""


class InboundMode(enum.StrEnum):
    """What a workload does with connections where no AuthorizationPolicy speaks."""

    PERMISSIVE = "permissive"
    """Meshed or not, anybody."""
    STRICT = "strict"
    """Anybody meshed; plaintext is refused."""
    DENY = "deny"
    """Nobody, unless a policy admits."""
    AUDIT = "audit"
    """Anybody; what ``strict`` and the policies would refuse is logged and counted."""


class OutboundMode(enum.StrEnum):
    """What a workload's proxy does with destinations that are not meshed."""

    PERMISSIVE = "permissive"
    STRICT = "strict"
    """Plaintext is refused."""


class LogLevel(enum.StrEnum):
    """Envoy's ``--log-level``."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
    OFF = "off"


class PullPolicy(enum.StrEnum):
    """Kubernetes' ``imagePullPolicy``."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """Everything that annotations may say about one pod's proxy. Ports in host order; "" is "nobody said"."""

    skip_inbound_ports: frozenset[int] = frozenset()
    """The pod's own ports that are not redirected to its proxy."""
    skip_outbound_ports: frozenset[int] = frozenset()
    """Destination ports that are not redirected to the pod's proxy."""
    opaque_ports: frozenset[int] = DEFAULT_OPAQUE_PORTS
    """Ports of the pod where bytes are carried as they are. A value replaces the default list."""
    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    """Kubernetes quantities of the proxy container."""
    log_level: LogLevel = LogLevel.WARNING
    uid: int = names.PROXY_UID
    """User and group of the proxy; never 0."""
    native: bool = True
    """An init container with ``restartPolicy: Always`` (Kubernetes 1.29 and later), else an ordinary container."""
    concurrency: int = 1
    """Envoy's worker threads."""
    image: str = ""
    image_pull_policy: PullPolicy | None = None
    inbound: InboundMode = InboundMode.PERMISSIVE
    outbound: OutboundMode = OutboundMode.PERMISSIVE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """How one annotation is read."""

    field: str
    """Of ProxyConfig."""
    read: Callable[[str], object]
    """Raises ValueError for what is not allowed."""
    allowed: str
    live: bool = False
    """Acts on pods that run already; the others shape the pod and are fixed when it is made."""


def parse(pod: Mapping[str, str], namespace: Mapping[str, str]) -> ProxyConfig:
    """Read the annotations of a pod that is being made, and of its namespace; the pod's own win, key by key.

    Raises errors.InvalidAnnotation for an unknown key below ``names.CONFIG_PREFIX`` and for a value not allowed.
    """
    found: dict[str, object] = {}
    for where, said in (("namespace", namespace), ("pod", pod)):
        for key, value in said.items():
            if key.startswith(names.CONFIG_PREFIX) and not (where == "namespace" and key in pod):
                annotation = _known(key, where)
                found[annotation.field] = _value(annotation, key, value, where)
    _check_limits(found)
    return ProxyConfig(**found)  # type: ignore[arg-type]  # the table gives each field what it asks for


def of_running(pod: Mapping[str, str], namespace: Mapping[str, str]) -> ProxyConfig:
    """Read the annotations of an injected pod: of its namespace only those count that act on running pods.

    The webhook has copied the others onto the pod, and what the namespace says later does not change the pod.
    Raises errors.InvalidAnnotation.
    """
    acting = {key for key, annotation in TABLE.items() if annotation.live}
    return parse(pod, {key: value for key, value in namespace.items() if key in acting})


def fixed(namespace: Mapping[str, str], pod: Mapping[str, str]) -> dict[str, str]:
    """Give the annotations of a namespace that must be copied onto a pod, because they shape it."""
    shaping = {key for key, annotation in TABLE.items() if not annotation.live}
    return {key: value for key, value in namespace.items() if key in shaping and key not in pod}


def quantity(text: str) -> fractions.Fraction:
    """Return the number that a Kubernetes quantity stands for. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return fractions.Fraction(match[1].rstrip(".")) * _SCALE[match[2] or ""]


def spell_ports(ports: frozenset[int]) -> str:
    """Write ports as they are written in annotations, runs as ranges: ``25,587,6000-6999``."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][-1] + 1:
            runs[-1][1:] = [port]
        else:
            runs.append([port])
    return ",".join("-".join(map(str, run)) for run in runs)


@functools.lru_cache(maxsize=1024)  # whole namespaces share one text, and then one set
def read_ports(text: str) -> frozenset[int]:
    """Read ``25,587,6000-6999``; empty is no port. Raises ValueError."""
    entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(text)
    found: set[int] = set()
    for entry in entries:
        first, dash, last = (part.strip() for part in entry.partition("-"))
        low = _whole(first, 1, _MAX_PORT)
        found.update(range(low, _whole(last, low, _MAX_PORT) + 1) if dash else (low,))
    return frozenset(found)


def _whole(text: str, minimum: int, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and minimum <= int(text) <= maximum):
        raise ValueError(text)
    return int(text)


def _between(minimum: int, maximum: int) -> Callable[[str], int]:
    return lambda text: _whole(text, minimum, maximum)


def _switch(text: str) -> bool:
    return {"enabled": True, "disabled": False}[text]


def _amount(text: str) -> str:
    if quantity(text) <= 0:
        raise ValueError(text)
    return text


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(text)
    return text


def _choice(field: str, choices: type[enum.StrEnum], *, live: bool = False) -> Annotation:
    return Annotation(field=field, read=choices, allowed=", ".join(choices), live=live)


_PORTS: Final = f"ports and ranges from 1 to {_MAX_PORT} with commas, such as 25,6000-6999; at most {_MAX_ENTRIES}"
_CPU: Final = "a quantity above 0, such as 100m or 2"
_MEMORY: Final = "a quantity above 0, such as 64Mi"
TABLE: Final[Mapping[str, Annotation]] = MappingProxyType(
    {
        names.CONFIG_PREFIX + key: annotation
        for key, annotation in {
            "skip-inbound-ports": Annotation(field="skip_inbound_ports", read=read_ports, allowed=_PORTS),
            "skip-outbound-ports": Annotation(field="skip_outbound_ports", read=read_ports, allowed=_PORTS),
            "opaque-ports": Annotation(field="opaque_ports", read=read_ports, allowed=_PORTS, live=True),
            "proxy-cpu-request": Annotation(field="cpu_request", read=_amount, allowed=_CPU),
            "proxy-cpu-limit": Annotation(field="cpu_limit", read=_amount, allowed=_CPU),
            "proxy-memory-request": Annotation(field="memory_request", read=_amount, allowed=_MEMORY),
            "proxy-memory-limit": Annotation(field="memory_limit", read=_amount, allowed=_MEMORY),
            "proxy-log-level": _choice("log_level", LogLevel),
            "proxy-uid": Annotation(field="uid", read=_between(1, _MAX_UID), allowed=f"1 to {_MAX_UID}"),
            "proxy-native-sidecar": Annotation(field="native", read=_switch, allowed="enabled, disabled"),
            "proxy-concurrency": Annotation(
                field="concurrency", read=_between(1, _MAX_CONCURRENCY), allowed=f"1 to {_MAX_CONCURRENCY}"
            ),
            "proxy-image": Annotation(field="image", read=_image, allowed="an image reference, such as name:tag"),
            "proxy-image-pull-policy": _choice("image_pull_policy", PullPolicy),
            "inbound-policy": _choice("inbound", InboundMode, live=True),
            "outbound-policy": _choice("outbound", OutboundMode, live=True),
        }.items()
    }
)
"""Every annotation there is, by its full name."""


def _known(key: str, where: str) -> Annotation:
    if key in TABLE:
        return TABLE[key]
    near = difflib.get_close_matches(key, TABLE, n=1, cutoff=0.0)
    raise errors.InvalidAnnotation(
        f"unknown annotation {key[:_MAX_QUOTED]} on the {where}: the nearest one there is: {near[0]}",
        hint=f"there are: {', '.join(TABLE)}",
    )


def _value(annotation: Annotation, key: str, value: str, where: str) -> object:
    try:
        return annotation.read(value)
    except (ValueError, KeyError) as error:
        raise errors.InvalidAnnotation(
            f"annotation {key} on the {where}: value {value[:_MAX_QUOTED]!r} is not allowed; "
            f"allowed: {annotation.allowed}",
            hint=f"allowed: {annotation.allowed}",
        ) from error


def _check_limits(found: Mapping[str, object]) -> None:
    """Refuse a request above its limit: the API server would, in words that do not name the annotation."""
    for kind in ("cpu", "memory"):
        request, limit = found.get(f"{kind}_request"), found.get(f"{kind}_limit")
        if isinstance(request, str) and isinstance(limit, str) and quantity(request) > quantity(limit):
            key = f"{names.CONFIG_PREFIX}proxy-{kind}-request"
            raise errors.InvalidAnnotation(
                f"annotation {key}: value {request!r} is not allowed; allowed: at most the limit, {limit}",
                hint=f"allowed: at most the limit, {limit}",
            )
