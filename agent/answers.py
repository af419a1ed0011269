"""What the API answers, from the agent's state: the adapter between ``api`` (HTTP) and the parts that know.

Here because ``api`` decides nothing and ``app`` only wires. Runs in the event loop, between two ticks, so that what it
reads is of one piece.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import msgspec

from agent import (
    api,
    clock,
    differences,
    exposition,
    flowjson,
    health,
    metrics,
    mismatchjson,
    model,
    ownership,
    pipeline,
    tenure,
    verdicts,
    walltime,
)

_KINDS: Final = {model.Pod: model.Kind.POD, model.Service: model.Kind.SERVICE, model.Node: model.Kind.NODE}
_METHODS: Final[dict[str, mismatchjson.Method]] = {"ip": "ip", "ip_read": "ip_read", "handshake": "handshake"}
_STUCK_S: Final = 60.0
"""Four times the longest interval between drains."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswers:
    """Implements ``api.Answers``."""

    node_name: str
    line: Callable[[], pipeline.Pipeline]
    flows: metrics.FlowMetrics
    now_health: Callable[[], health.Health]
    last_tick_ns: Callable[[], int]
    """Boot time of the last drain; 0 before the first."""
    synced: Callable[[], bool]

    def metrics(self, *, openmetrics: bool) -> Iterable[bytes]:
        """Give the scrape, in pieces."""
        return exposition.pieces(self.flows, health.families(self.now_health(), self.flows), openmetrics=openmetrics)

    def health(self) -> api.Report:
        """Alive is who drains."""
        behind_s = (clock.boot_ns() - self.last_tick_ns()) / 1e9 if self.last_tick_ns() else 0.0
        return api.Report(ok=behind_s < _STUCK_S, detail={"last_drain_seconds_ago": round(behind_s, 1)})

    def readiness(self) -> api.Report:
        """Ready is who has drained once and has read the API's lists."""
        drained, synced = self.last_tick_ns() > 0, self.synced()
        return api.Report(ok=drained and synced, detail={"drained": drained, "kubernetes_synced": synced})

    def owners(self, address: model.IpAddress, at_wall_ns: int | None) -> flowjson.Owners:
        """Tell who owned an address, and when."""
        now = clock.now()
        return flowjson.Owners(
            address=str(address),
            time=walltime.text(at_wall_ns if at_wall_ns is not None else now.wall_ns),
            node_name=self.node_name,
            owners=tuple(_owner(held, now) for held in self.line().owners.history(address)),
        )

    def mismatches(self) -> mismatchjson.Mismatches:
        """Tell who was misnamed by an address, and how much was checked."""
        now, line = clock.now(), self.line()
        line.differences.close(line.lookup)
        return mismatchjson.Mismatches(
            node_name=self.node_name,
            time=walltime.text(now.wall_ns),
            checked=_checked(self.flows),
            mismatches=tuple(_line(each, now) for each in line.differences.lines()),
            left_out=line.differences.evicted,
        )

    def debug(self) -> Mapping[str, object]:
        """Give the agent's own state."""
        now = self.now_health()
        owners = self.line().owners
        return {
            "version": now.version,
            "kernel": now.kernel,
            "edges": now.edges,
            "drops": dict(now.drops),
            "watch_staleness_seconds": dict(now.watch_staleness_s),
            "programs": dict(now.programs_attached),
            "objects": len(owners.objects),
            "cgroups": len(owners.lives.by_id),
            "ownership_version": owners.version,
        }


def _owner(held: ownership.Held, now: clock.Now) -> flowjson.Owner:
    evidence = (
        model.Evidence.KERNEL
        if held.source is tenure.Source.KERNEL or held.proven_from_ns is not None
        else model.Evidence.IP
    )
    owner = held.owner
    pod = owner if isinstance(owner, model.Pod) else None
    return flowjson.Owner(
        kind=_KINDS[type(owner)],
        evidence=evidence,
        start_time=_text(held.from_ns or None, now),
        end_time=_text(held.until_ns, now),
        proven_start_time=_text(held.proven_from_ns, now),
        proven_end_time=_text(held.proven_until_ns, now),
        namespace="" if isinstance(owner, model.Node) else owner.namespace,
        name=owner.name,
        workloads=(flowjson.Workload(name=pod.workload or pod.name, kind=pod.workload_kind),) if pod else (),
        service_account=pod.service_account if pod else "",
        uid=owner.uid,
    )


def _text(boot_ns: int | None, now: clock.Now) -> str:
    return walltime.text(now.wall_of(boot_ns)) if boot_ns is not None else ""


def _checked(totals: metrics.FlowMetrics) -> tuple[mismatchjson.Checked, ...]:
    wrong: dict[tuple[str, str], dict[verdicts.Mismatch, int]] = {}
    for (end, reason, method), count in totals.mismatches():
        if count:
            wrong.setdefault((end, method), {})[verdicts.Mismatch(reason)] = count
    rows = [
        {"end": end, "method": method, "checked": count, "mismatches": wrong.get((end, method), {})}
        for (end, method), count in totals.checked()
    ]
    return tuple(msgspec.convert(rows, list[mismatchjson.Checked]))


def _line(line: differences.Line, now: clock.Now) -> mismatchjson.Line:
    key, until_ns = line.key, line.until_boot_ns
    window: Literal["closed", "open", "none"] = "none" if not line.passes else "open" if until_ns is None else "closed"
    ended_ns = now.boot_ns if until_ns is None else until_ns
    return mismatchjson.Line(
        end="local" if key.end == "local" else "remote",
        method=_METHODS[key.method],
        reason=key.reason,
        address=key.address,
        was=flowjson.answer(key.was),
        said="nobody" if key.said == model.NOBODY else flowjson.answer(key.said),
        start_time=_text(line.first_boot_ns, now),
        time=_text(line.last_boot_ns, now),
        flows=line.flows,
        opened=line.opened,
        moved_bytes=line.moved_bytes,
        peers=line.peers,
        window=window,
        window_us=0 if window == "none" else max(0, ended_ns - line.first_boot_ns) // 1_000,
    )
