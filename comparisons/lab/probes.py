"""Probes: what a container's probes ask, how often, and what so many answers in a row mean.

Here because readiness decides who gets a Service's traffic and liveness who is restarted. Pure: asking is
``prober``'s. Leaves out gRPC health checks: such a probe only connects to its port.
"""

import dataclasses
import enum
from typing import Any

Json = dict[str, Any]


class Purpose(enum.Enum):
    """What a probe decides; the value is its field in the container."""

    STARTUP = "startupProbe"
    READINESS = "readinessProbe"
    LIVENESS = "livenessProbe"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe with the API's defaults filled in."""

    purpose: Purpose
    action: Json
    """The probe as written: exactly one of exec, httpGet, tcpSocket, grpc."""
    initial_delay_s: float
    period_s: float
    timeout_s: float
    successes: int
    failures: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Equal answers in a row."""

    ok: bool = False
    count: int = 0


def probe(container: Json, purpose: Purpose) -> Probe | None:
    """Return a container's probe for a purpose, if it has one."""
    written = container.get(purpose.value)
    if not written:
        return None
    return Probe(
        purpose=purpose,
        action=written,
        initial_delay_s=float(written.get("initialDelaySeconds") or 0),
        period_s=float(written.get("periodSeconds") or 10),
        timeout_s=float(written.get("timeoutSeconds") or 1),
        successes=int(written.get("successThreshold") or 1),
        failures=int(written.get("failureThreshold") or 3),
    )


def judge(it: Probe, tally: Tally, *, ok: bool) -> tuple[Tally, bool | None]:
    """Count one more answer. The verdict is None until there were enough equal ones in a row."""
    tally = Tally(ok=ok, count=tally.count + 1 if tally.ok == ok else 1)
    enough = tally.count >= (it.successes if ok else it.failures)
    return tally, ok if enough else None


def port(action: Json, container: Json) -> int:
    """Return a probe's port, by number or by the name of one of the container's ports. ValueError: there is none."""
    written = action.get("port")
    if isinstance(written, int) or str(written).isdigit():
        return int(str(written))
    for it in container.get("ports") or ():
        if it.get("name") == written:
            return int(it["containerPort"])
    raise ValueError(f"container {container['name']!r} has no port {written!r}")
