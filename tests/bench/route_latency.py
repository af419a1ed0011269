"""What 50 rules of HTTPRoutes add to a request: to a Service with them, beside the same Service without.

    python -m tests.bench.route_latency     # only this part of ``make bench``

Three Services lead to one pod, from one client, through the same two sidecars. Two have no route, and differ in their
name only: what they differ in is the method's own error, printed beside. Requests go to both sides of a pair in turn,
one by one, as in ``mesh_latency``. Each of 49 rules is tried by every request and means none: paths, prefixes, regular
expressions, headers, query parameters; the last one, for everything, does. The API server takes 16 rules in one route,
so there are four.
"""

import contextlib
import dataclasses
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench import figure, mesh_stage, mesh_static
from tests.bench.mesh_stage import Way
from tests.scene import clone, mesh

ROUNDS = 9
REQUESTS = 4_000
"""By each side in a round."""
RULES, OF_ONE = 50, 16
LIMIT = 1.05
PLAIN, TWIN, ROUTED = "plain", "twin", "routed"
_MEDIAN = math.sqrt(math.pi / 2)
"""Standard error of a median, as a multiple of a mean's."""
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two Services that are asked in turn, the one of interest first."""

    stage: mesh_stage.Stage
    ratios: list[tuple[float, float]]
    """Of p50 and p99, by round."""
    measured: list[tuple[mesh_stage.Latency, mesh_stage.Latency]]

    def ask(self) -> None:
        """Measure one round."""
        one, other = self.stage.load(Way.HTTP, True, False, requests=REQUESTS)  # noqa: FBT003  # the sides of a stage
        failed = one.failed + other.failed
        if failed:
            raise RuntimeError(f"{failed} requests failed")
        self.measured.append((one, other))
        self.ratios.append((one.p50_ms / other.p50_ms, one.p99_ms / other.p99_ms))


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    with _staged() as (routed, twin):
        for _ in range(ROUNDS):
            routed.ask()
            twin.ask()
    for at, name in enumerate(("p50", "p99")):
        found, alike = ([each[at] for each in pair.ratios] for pair in (routed, twin))
        ours, theirs = (
            statistics.median(getattr(each[side], f"{name}_ms") for each in routed.measured) for side in (0, 1)
        )
        yield figure.Figure(
            name=f"{RULES} rules, {name}, of none",
            value=statistics.median(found),
            unit="x",
            limit=LIMIT,
            detail=f"+- {_error(found):.3f} ({ROUNDS} rounds); {ours:.3f} ms, without {theirs:.3f} ms; "
            f"two without: {statistics.median(alike):.3f} +- {_error(alike):.3f} x; {mesh_stage.RATE}/s",
        )


def _error(ratios: Sequence[float]) -> float:
    return _MEDIAN * statistics.stdev(ratios) / math.sqrt(len(ratios))


@contextlib.contextmanager
def _staged() -> Iterator[tuple[Pair, Pair]]:
    with mesh_stage.compiled() as program, mesh.up("bench-routes") as where:
        where.kubectl("apply", "-f", str(clone.ROOT / "deploy/crds/gateway-api"))
        where.apply(mesh.namespace(mesh_stage.NAMESPACE))
        serve = [str(program), "serve", str(mesh_static.HTTP)]
        mesh_stage.apply(where, *(_service(name) for name in (PLAIN, TWIN, ROUTED)), *_routes())
        mesh_stage.apply(where, mesh_stage.pod("server", serve, "node-b"))
        mesh_stage.apply(where, mesh_stage.pod("client", ["/bin/sleep", "infinity"], "node-a"))
        caller = where.pid(mesh_stage.one(where, "client"))
        addresses = {
            each["metadata"]["name"]: each["spec"]["clusterIP"] for each in where.get("services", mesh_stage.NAMESPACE)
        }
        _await_route(caller, addresses[ROUTED])
        mesh_stage.hasten(where)

        def pair(name: str) -> Pair:
            targets = {
                (ours, Way.HTTP): (addresses[which], mesh_static.HTTP) for ours, which in ((True, name), (False, PLAIN))
            }
            callers = dict.fromkeys((True, False), caller)
            stage = mesh_stage.Stage(mesh=where, program=program, callers=callers, targets=targets)
            return Pair(stage=stage, ratios=[], measured=[])

        yield pair(ROUTED), pair(TWIN)


def _await_route(caller: int, address: str) -> None:
    """Wait until the client's proxy has it: its first rule has no backend."""
    address = f"http://{address}:{mesh_static.HTTP}{_match(0)['path']['value']}"
    ask = f"import urllib.request as u; u.urlopen({address!r}, timeout=5)"
    until_s = time.monotonic() + mesh.READY_S
    while "500" not in mesh_stage.tried(caller, sys.executable, "-c", ask):
        if time.monotonic() > until_s:
            raise RuntimeError(f"the client's proxy has no route after {mesh.READY_S:.0f} s")


def _service(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": mesh_stage.NAMESPACE},
        "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": mesh_static.HTTP}]},
    }


def _routes() -> list[Json]:
    backends = [{"name": ROUTED, "port": mesh_static.HTTP}]
    rules = [{"matches": [_match(number)], "backendRefs": backends if number else []} for number in range(RULES - 1)]
    rules.append({"backendRefs": backends})
    parent = {"group": "", "kind": "Service", "name": ROUTED}
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": f"from-{first}", "namespace": mesh_stage.NAMESPACE},
            "spec": {"parentRefs": [parent], "rules": rules[first : first + OF_ONE]},
        }
        for first in range(0, RULES, OF_ONE)
    ]


def _match(number: int) -> Json:
    kinds: list[Json] = [
        {"path": {"type": "Exact", "value": f"/exact/{number}"}},
        {"path": {"type": "PathPrefix", "value": f"/prefix/{number}"}},
        {"path": {"type": "RegularExpression", "value": f"/user/[0-9]+/item-{number}"}},
        {"headers": [{"name": "x-tenant", "value": f"tenant-{number}"}]},
        {"headers": [{"name": "user-agent", "type": "RegularExpression", "value": f".*bot-{number}.*"}]},
        {"queryParams": [{"name": "version", "value": str(number)}], "method": "GET"},
    ]
    return kinds[number % len(kinds)]


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("usage: python -m tests.bench.route_latency, as root", file=sys.stderr)
        return 2
    tally = figure.printed(figures())
    print(f"{tally.said} ({figure.machine()})")
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main())
