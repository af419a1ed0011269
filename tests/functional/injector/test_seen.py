"""What a person sees of a mesh, by the commands that a person types: check, edges, stat, and the agents' records.

Left out: what is judged on facts that are not at hand here (tests/unit/injector/seeing, tests/unit/agent/test_mesh.py).
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scene import agent, lab, mesh

SETTLED_S = 30.0
BARE = """
apiVersion: v1
kind: Pod
metadata: {name: legacy, namespace: shop, annotations: {ipseity.io/inject: enabled}}
spec: {hostNetwork: true, containers: [{name: app, image: none, command: [sleep, infinity]}]}
---
apiVersion: ipseity.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: odd, namespace: shop}
spec:
  targetRefs: [{kind: Pod, selector: {matchLabels: {"a b": web}}}]
  action: ALLOW
"""


@pytest.fixture(scope="module")
def where() -> Iterator[mesh.Mesh]:
    """Bring up a client and a server in the mesh on two nodes, and one beside it."""
    with mesh.up("ci-seen") as up:
        text = mesh.namespace("shop")
        text += mesh.server("shop", "client", node="node-a") + "---" + mesh.server("shop", "web", node="node-b")
        text += "---" + mesh.server("shop", "plain", node="node-b", inject=False)
        up.apply(text)
        up.ready("shop", "client", "web", "plain")
        yield up
    assert [] == lab.left_behind("ci-seen")


def asked(where: mesh.Mesh, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours on the host, with the lab's kubeconfig."""
    command = [str(mesh.COMMAND), *words, "--kubeconfig", str(where.lab.kubeconfig)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def checked(where: mesh.Mesh) -> tuple[int, dict[str, dict[str, Any]]]:
    """Check the mesh: exit code, and the last finding of each name."""
    done = asked(where, "check", "--mesh", "-o", "json")
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)}


def test_a_mesh_that_is_well(where: mesh.Mesh) -> None:
    """Every row, the webhook tried for real; as a part of the whole check too, since this cluster has a mesh."""

    def connected() -> bool:
        return checked(where)[1]["proxies"]["text"].startswith("2 connected")

    mesh.wait_until(connected, SETTLED_S, "the control plane says how its proxies are")
    code, found = checked(where)
    assert 0 == code
    well = ("identity", "webhook", "clocks", "proxies", "injection", "policies")
    assert {**dict.fromkeys(well, "ok"), "protocols": "warn"} == {name: each["status"] for name, each in found.items()}
    assert "shop/web:7000" in found["protocols"]["text"]  # a port called "bytes", which says nothing
    assert found["webhook"]["text"].startswith("answers")
    assert "\nwebhook" in asked(where, "check").stdout


def test_what_is_wrong_is_said_with_what_to_do(where: mesh.Mesh) -> None:
    """A pod that could not be injected, a policy that is none; and a webhook that nobody asks any more."""
    where.kubectl("apply", "--validate=false", "-f", "-", given=BARE)
    try:
        code, found = checked(where)
        assert (0, "warn", "warn") == (code, found["injection"]["status"], found["policies"]["status"])
        assert (
            "shop/legacy is annotated but not injected: the pod uses the host's network" in found["injection"]["text"]
        )
        assert "AuthorizationPolicy shop/odd: " in found["policies"]["text"]
        where.kubectl("delete", "mutatingwebhookconfiguration", "ipseity")
        code, found = checked(where)
        assert (1, "fail", True) == (code, found["webhook"]["status"], bool(found["webhook"]["hint"]))
    finally:
        where.kubectl("delete", "--ignore-not-found", "-f", "-", given=BARE)


def test_edges_and_stat_from_the_host(where: mesh.Mesh) -> None:
    """Which has no way to a pod's address: the API server has."""
    caller = where.pod("shop", "client")
    for target in ("web", "plain"):
        where.call("shop", caller, "every", target)
    found = asked(where, "edges", "-n", "shop", "-o", "json")
    assert ("", 0) == (found.stderr, found.returncode)
    seen = {(each["source"], each["destination"], each["port"]): each for each in json.loads(found.stdout)["edges"]}
    spiffe = "spiffe://cluster.local/ns/shop/sa/"
    secured, plain = seen["shop/client", "shop/web", "9090"], seen["shop/client", "shop/plain", "9090"]
    assert ("mTLS", f"{spiffe}client", f"{spiffe}web") == (
        secured["secured"], secured["sourceIdentity"], secured["destinationIdentity"]
    )  # fmt: skip
    assert ("plain", True) == (plain["secured"], plain["why"].startswith("not injected: shop/plain-"))
    with where.calling("shop", caller, "every", "web") as call:
        rows = json.loads(asked(where, "stat", "-n", "shop", "--window", "6", "-o", "json").stdout)["workloads"]
        mesh.result(call)
    (web,) = [row for row in rows if row["workload"] == "shop/web"]
    assert (1, 1.0) == (web["read"], web["successRate"])
    assert web["latencyMs"]["p50"] <= web["latencyMs"]["p95"] <= web["latencyMs"]["p99"]


def test_the_agents_records_say_what_is_secured(where: mesh.Mesh) -> None:
    """Of the sockets between pods, on both nodes; of those that lead to a pod's own proxy, nothing."""
    with lab.agents(where.lab, "--min-interval-s", "0.2") as agents:
        for source, target in (("client", "web"), ("client", "plain"), ("plain", "web")):
            where.call("shop", where.pod("shop", source), "every", target)
        servers = [word for each in agents.values() for word in ("--server", f"unix://{each.socket}")]

        def told() -> set[tuple[str, str, int, str]]:
            done = subprocess.run(
                [str(mesh.COMMAND), "observe", *servers, "-n", "shop", "--protocol", "tcp", "-o", "json"],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            return {
                (row["source"]["name"], row["destination"]["name"], row["port"], "+".join(row["tls"]))
                for row in json.loads(done.stdout)
            }

        wanted = {
            ("client", "web", 9090, "mtls"),
            ("client", "web", 15006, "mtls"),
            ("client", "plain", 9090, "none"),
            ("plain", "web", 15006, "none"),
            ("client", "client", 15001, ""),
        }
        agent.wait_until(lambda: wanted <= told(), SETTLED_S, "what secures each edge is told")
        assert "mtls" not in {tls for source, target, _, tls in told() if "plain" in {source, target}}
