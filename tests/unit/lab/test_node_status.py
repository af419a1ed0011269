"""A pod's status, and what a node that starts again reads from it. Leaves out sending it."""

import dataclasses
from typing import Any

from comparisons.lab import lifecycle, recall, status

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}], "restartPolicy": "Always"},
}
SECOND_NS = 10**9
RUNNING = lifecycle.Running(id="cafe", started_wall_ns=3 * SECOND_NS, started_s=0)
ENDED = lifecycle.Terminated(
    id="beef", exit_code=3, reason="Error", started_wall_ns=0, finished_wall_ns=5 * SECOND_NS, finished_s=0, ran_s=5
)
DONE = dataclasses.replace(ENDED, exit_code=0, reason="Completed")


def facts(*states: lifecycle.State, **changes: Any) -> status.Facts:
    """Facts with these states of the init and the main container."""
    containers = tuple(
        dataclasses.replace(it, state=state, ready=isinstance(state, lifecycle.Running), started=True)
        for it, state in zip(lifecycle.containers(POD), states, strict=True)
    )
    ips = {
        "host_ips": ("172.30.0.2",),
        "ips": ("10.7.0.2", "fd00::2"),
        "qos": "BestEffort",
        "started_wall_ns": SECOND_NS,
    }
    return dataclasses.replace(status.Facts(pod=POD, containers=containers, **ips), **changes)


def conditions(found: dict[str, Any]) -> dict[str, str]:
    """Conditions by type."""
    return {it["type"]: it["status"] for it in found["conditions"]}


def test_pending_running_over() -> None:
    """The phases of a pod's life."""
    assert status.phase(facts(RUNNING, lifecycle.Waiting())) == "Pending"
    assert status.phase(facts(DONE, lifecycle.Waiting())) == "Pending"
    assert status.phase(facts(DONE, RUNNING)) == "Running"
    assert status.phase(facts(DONE, ENDED)) == "Running"
    assert status.phase(facts(DONE, ENDED, over="Failed")) == "Failed"


def test_running_pod() -> None:
    """All four conditions hold; addresses of both families are told."""
    found = status.status(facts(DONE, RUNNING), 9 * SECOND_NS)
    assert set(conditions(found).values()) == {"True"}
    assert found["podIPs"] == [{"ip": "10.7.0.2"}, {"ip": "fd00::2"}]
    main = found["containerStatuses"][0]
    assert main["containerID"] == "runc://cafe"
    assert main["state"] == {"running": {"startedAt": "1970-01-01T00:00:03Z"}}


def test_terminal_pod_keeps_its_addresses() -> None:
    """As on a real cluster, although somebody else may have them by now."""
    found = status.status(facts(DONE, DONE, over="Succeeded"), 0)
    assert found["podIP"] == "10.7.0.2"
    assert conditions(found)["Ready"] == "False"


def test_back_off_is_a_waiting_state() -> None:
    """The end is the last state then; without back-off it is the present one."""
    entry = dataclasses.replace(lifecycle.containers(POD)[1], state=ENDED, backoff_s=20, restarts=2)
    found = status.container(entry, "Always")
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert "terminated" in status.container(entry, "Never")["state"]


def test_time_stamps_move_only_with_the_answer() -> None:
    """And the conditions of others stay as they are."""
    foreign = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "x"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "then"}
    pod = {**POD, "status": {"conditions": [foreign]}}
    found = status.status(facts(DONE, RUNNING, pod=pod, sent=(ready,)), 9 * SECOND_NS)["conditions"]
    stamps = {it["type"]: it["lastTransitionTime"] for it in found}
    assert stamps["Ready"] == "then"
    assert stamps["ContainersReady"] == "1970-01-01T00:00:09Z"
    assert foreign in found


def test_readiness_gate_keeps_a_pod_unready() -> None:
    """Until its condition is true."""
    gated = {**POD, "spec": {**POD["spec"], "readinessGates": [{"conditionType": "x/y"}]}}
    found = conditions(status.status(facts(DONE, RUNNING, pod=gated), 0))
    assert (found["Ready"], found["ContainersReady"]) == ("False", "True")
    opened = {**gated, "status": {"conditions": [{"type": "x/y", "status": "True"}]}}
    assert conditions(status.status(facts(DONE, RUNNING, pod=opened), 0))["Ready"] == "True"


def test_node_that_starts_again_knows_what_ran() -> None:
    """What ran has ended with the node before; restarts go on from where they were."""
    written = status.status(facts(DONE, RUNNING), 0)
    written["containerStatuses"][0]["restartCount"] = 4
    init, main = recall.containers({**POD, "status": written}, 7 * SECOND_NS)
    assert isinstance(init.state, lifecycle.Terminated)
    assert init.state.exit_code == 0
    assert isinstance(main.state, lifecycle.Terminated)
    assert (main.state.exit_code, main.state.reason, main.restarts) == (137, "ContainerStatusUnknown", 4)
    assert recall.phase({**POD, "status": {"phase": "Failed"}}) == "Failed"
    assert recall.phase(POD) == ""
