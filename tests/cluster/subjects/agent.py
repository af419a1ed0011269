"""The agent: names for both ends of what our workloads do, from this cluster's own nodes, cgroups and runtime."""

import json
import re
from typing import Any, Final

from ipseity.installing import manifests
from tests.cluster import checks, ground, record, workloads
from tests.cluster.subjects import identity

Json = dict[str, Any]

_PORT: Final = 9478
_METRIC: Final = "ipseity_flow_connections_opened_total"
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SEEN_S: Final = 90.0
"""For a flow to be counted and shown: drains are at most 15 s apart; then a pod that asks has to start."""


async def _asked(on: ground.Ground, *paths: str, keep: tuple[str, ...] = ("",)) -> dict[str, tuple[int, str]]:
    """Ask every agent from a pod, as Prometheus would; by address and path."""
    hosts = [each["status"]["podIP"] for each in await on.pods(manifests.NAMESPACE, "ipseity-agent")]
    urls = [f"http://{f'[{host}]' if ':' in host else host}:{_PORT}{path}" for host in hosts for path in paths]
    environ = {"URLS": json.dumps(urls), "KEEP": json.dumps(keep)}
    said = await identity.played(on, workloads.once(on.given, on.plain, "fetches", "fetch", environ))
    return {url: (status, text) for url, (status, text) in json.loads(said).items()}


@checks.check(
    "agent/ready",
    "every agent shows metrics and probes, and nothing else",
    "install/agents",
    "server/namespaces",
)
async def ready(on: ground.Ground) -> str:
    """From a pod; its API is on a socket of the node only."""
    found = await _asked(on, "/metrics", "/readyz", "/flows", keep=("ipseity_build_info", '"'))
    wanted = {"/metrics": 200, "/readyz": 200, "/flows": 404}
    wrong = [
        f"{url}: {status} {text[:300]}" for url, (status, text) in found.items()
        if wanted["/" + url.rpartition("/")[2]] != status
    ]  # fmt: skip
    if wrong or not found:
        hint = f"kubectl -n {manifests.NAMESPACE} logs -l app=ipseity-agent -c agent; NetworkPolicies"
        raise record.Failed("\n".join(wrong) or "no agent has an address", hint=hint)
    return f"{len(found) // len(wanted)} agents"


async def series(on: ground.Ground) -> list[tuple[dict[str, str], float]]:
    """Give our workloads' connections as the agents have counted them: labels and value."""
    found = await _asked(on, "/metrics", keep=(on.meshed,))
    lines = [line for _, text in found.values() for line in text.splitlines() if line.startswith(_METRIC)]
    return [(dict(_LABEL.findall(line)), float(line.rpartition(" ")[2])) for line in lines]


def connections(found: list[tuple[dict[str, str], float]]) -> float:
    """Add up connections from client to web."""
    ends = {"source_workload": "client", "destination_workload": "web"}
    return sum(value for labels, value in found if ends.items() <= labels.items())


@checks.check(
    "agent/names", "it names both ends of our flows, by the kernel's evidence", "agent/ready", "identity/workloads"
)
async def names(on: ground.Ground) -> str:
    """From the cgroup of the socket: driver, runtime and layout of this very cluster."""
    seen: list[tuple[dict[str, str], float]] = []

    async def holds() -> bool:
        seen[:] = await series(on)
        return connections(seen) > 0

    async def why() -> list[str]:
        named = ((labels["source_workload"], labels["destination_workload"]) for labels, _ in seen)
        named = ((labels["source_workload"], labels["destination_workload"]) for labels, _ in seen)
        ends = sorted({f"{source or '?'} -> {destination or '?'}" for source, destination in named})
        return [f"flows of {on.meshed}: {', '.join(ends) or 'none'}"]

    hint = (
        f"kubectl -n {manifests.NAMESPACE} exec ds/ipseity-agent -c agent -- ipseity check --node; are cgroups of "
        "containers below the one that the agent watches (setting cgroup_root)?"
    )
    await on.until(holds, "the agents count connections from client to web", limit_s=_SEEN_S, why=why, hint=hint)
    ends = {"source_workload": "client", "destination_workload": "web"}
    evidence = {labels["source_evidence"] for labels, _ in seen if ends.items() <= labels.items()}
    if not evidence & {"kernel"}:
        raise record.Failed(f"the caller is known by {', '.join(sorted(evidence))}, not by the kernel", hint=hint)
    on.notes["connections"] = connections(seen)
    return f"{connections(seen):.0f} connections client -> web, evidence {', '.join(sorted(evidence))}"


CHECKS: Final = (ready, names)
