"""The agent in a lab with real pods: heard, enforced, told; frozen, thawed; ended and started again.

Leaves out what policies mean (``test_packets``) and how long it takes (``make prove WHAT=fair-contender``).
"""

import contextlib
import ipaddress
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from comparisons.ip_policy import contender, errors, model
from comparisons.lab import layout
from tests.scene import lab, wires

NAME = "p-agent"
DENY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "default"},
    "spec": {"podSelector": {"matchLabels": {"app": "two"}}},
}


def pod(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "any", "command": ["/bin/sleep", "7919"]}
    spec = {"nodeName": "node-a", "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


@pytest.fixture(scope="module")
def where() -> Iterator[lab.Lab]:
    """Bring up a lab with one node and two pods."""
    with lab.up(NAME, "--nodes", "1") as made:
        for name in ("one", "two"):
            made.kubectl("create", "-f", "-", given=json.dumps(pod(name)))
        made.kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=60s")
        yield made
    assert [] == lab.left_behind(NAME)


@contextlib.contextmanager
def net(where: lab.Lab) -> Iterator[wires.Net]:
    """Give the lab's pods as places."""
    names = layout.Lab(name=NAME).node("node-a")
    node = wires.Place(name="node-a", namespace=names.netns, node="node-a", addresses=())
    places = {}
    for each in where.pods("default"):
        addresses = tuple(ipaddress.ip_address(ip["ip"]) for ip in each["status"]["podIPs"])
        uid, name = each["metadata"]["uid"], each["metadata"]["name"]
        places[name] = wires.Place(
            name=name, namespace=names.pod_netns(uid), node="node-a", addresses=addresses, uid=uid
        )
    made = wires.Net(places=places, nodes={"node-a": node})
    made.serve((80,))
    try:
        yield made
    finally:
        made.close()


def reaches(found: wires.Net) -> bool:
    asked = wires.Probe(source="one", destination="two", protocol=model.Protocol.TCP, port=80)
    return found.probe([asked])[0] == [True]


def started(where: lab.Lab, **said: Any) -> contextlib.AbstractContextManager[contender.Agent]:
    return contender.start(layout.Lab(name=NAME).node("node-a"), where.kubeconfig, **said)


def applied(where: lab.Lab, policy: dict[str, Any]) -> str:
    return str(
        json.loads(where.kubectl("apply", "-o", "json", "-f", "-", given=json.dumps(policy)))["metadata"][
            "resourceVersion"
        ]
    )


def tables() -> str:
    names = layout.Lab(name=NAME).node("node-a")
    words = ["nsenter", f"--net={names.netns}", "nft", "list", "tables"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_a_change_is_enforced_and_told(where: lab.Lab) -> None:
    """A policy comes and goes; each is in force when the log says so, and nothing is left at the end."""
    with started(where) as agent, net(where) as found:
        assert reaches(found)
        version = applied(where, DENY)
        told = agent.wait(lambda each: (each.kind, each.version) == ("policy", version))
        assert not reaches(found)
        assert ("default", "deny", False, "difference") == (told.namespace, told.name, told.gone, told.how)
        assert 0 < told.delay_ms == pytest.approx((told.enforced_mono_ns - told.heard_mono_ns) / 1e6, abs=0.01)
        where.kubectl("delete", "netpol", "deny")
        assert "difference" == agent.wait(lambda each: each.kind == "policy" and each.gone).how
        assert reaches(found)
        assert "ipseity-policy" in tables()
        assert str(agent.pid) in (pathlib.Path("/proc") / str(agent.pid) / "status").read_text()
        assert agent.cgroup in (pathlib.Path("/proc") / str(agent.pid) / "cgroup").read_text()
    assert "ipseity-policy" not in tables()


def test_a_frozen_agent_hears_nothing(where: lab.Lab) -> None:
    """Its rules stay as they were; thawed, it makes up for it, and the delay is counted from when it read of it."""
    with started(where) as agent, net(where) as found:
        agent.freeze()
        version = applied(where, DENY)
        with pytest.raises(errors.NotReady, match="did not enforce the change that was waited for"):
            agent.wait(lambda each: each.version == version, timeout_s=0.5)
        assert reaches(found)
        agent.thaw()
        agent.wait(lambda each: each.version == version)
        assert not reaches(found)
        where.kubectl("delete", "netpol", "deny")


def test_a_new_agent_takes_over_without_a_gap(where: lab.Lab) -> None:
    """An agent that ends leaves its rules; one that comes replaces them in one transaction."""
    version = applied(where, DENY)
    with started(where) as agent, net(where) as found:
        assert not reaches(found)
        agent.stop()
        assert not reaches(found)
        with pytest.raises(errors.NotReady, match="has ended"):
            agent.wait(lambda each: each.version == version, timeout_s=0.5)
        log = pathlib.Path("/run") / f"ipseity-{NAME}-{os.getpid()}.jsonl"
        try:
            with started(where, log=log):
                assert not reaches(found)
        finally:
            log.unlink(missing_ok=True)
        assert reaches(found)
    where.kubectl("delete", "netpol", "deny")


def test_it_cannot_start(where: lab.Lab) -> None:
    """A kubeconfig that is not there is said in the log that the error names, and nothing is left."""
    node = layout.Lab(name=NAME).node("node-a")
    with (
        pytest.raises(errors.NotReady, match="has ended") as caught,
        contender.start(node, "/nonexistent/kubeconfig"),
    ):
        pass
    said = pathlib.Path(caught.value.hint.removeprefix("see ")).read_text()
    assert "kubeconfig '/nonexistent/kubeconfig': no such file" in said
    assert "ipseity-policy" not in tables()
