"""The cells of a pod's row: the word that sums its state up, as ``kubectl get pods`` shows it.

After printPod of k8s.io/kubernetes/pkg/printers/internalversion. Pure.
"""

from typing import Any

from comparisons.lab.api import durations

Value = dict[str, Any]


def ready(pod: Value, _now_wall_ns: int) -> str:
    """``1/2``: containers that are ready, of all (sidecars count)."""
    status = pod.get("status") or {}
    spec = pod["spec"]
    sidecars = {each["name"] for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}
    found = sum(bool(each.get("ready")) for each in status.get("containerStatuses") or ())
    found += sum(
        bool(each.get("ready")) for each in status.get("initContainerStatuses") or () if each["name"] in sidecars
    )
    return f"{found}/{len(spec['containers']) + len(sidecars)}"


def state(pod: Value, _now_wall_ns: int) -> str:
    """Return the phase, or the reason why it is not simply that."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if "deletionTimestamp" in pod["metadata"] and phase not in {"Succeeded", "Failed"}:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return _initializing(pod, status) or _reason(status) or status.get("reason") or phase


def _initializing(pod: Value, status: Value) -> str:
    """``Init:0/1`` and its kin while init containers run; "" afterwards."""
    inits = pod["spec"].get("initContainers") or []
    sidecars = {each["name"] for each in inits if each.get("restartPolicy") == "Always"}
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        found = each.get("state") or {}
        ended = found.get("terminated")
        if (ended and ended.get("exitCode") == 0) or (each["name"] in sidecars and each.get("started")):
            continue
        if ended:
            return "Init:" + _ended(ended)
        waiting = (found.get("waiting") or {}).get("reason", "")
        return f"Init:{waiting}" if waiting not in {"", "PodInitializing"} else f"Init:{index}/{len(inits)}"
    return ""


def _reason(status: Value) -> str:
    reason, running = "", False
    for each in reversed(status.get("containerStatuses") or []):
        found = each.get("state") or {}
        if waiting := (found.get("waiting") or {}).get("reason"):
            reason = waiting
        elif ended := found.get("terminated"):
            reason = _ended(ended)
        elif "running" in found and each.get("ready"):
            running = True
    return "Running" if reason == "Completed" and running else reason


def _ended(ended: Value) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def restarts(pod: Value, now_wall_ns: int) -> str:
    """``3 (5m ago)``."""
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    count = sum(each.get("restartCount", 0) for each in found)
    ends = [(each.get("lastState") or {}).get("terminated", {}).get("finishedAt") for each in found]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({durations.since(last, now_wall_ns)} ago)" if count and last else str(count)


def ip(pod: Value, _now_wall_ns: int) -> str:
    """Return the first address."""
    return (pod.get("status") or {}).get("podIP") or "<none>"


def node(pod: Value, _now_wall_ns: int) -> str:
    """Where it runs."""
    return pod["spec"].get("nodeName") or "<none>"


def gates(pod: Value, _now_wall_ns: int) -> str:
    """``1/1`` readiness gates, or none."""
    wanted = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    conditions = (pod.get("status") or {}).get("conditions") or ()
    met = sum(each["type"] in wanted and each["status"] == "True" for each in conditions)
    return f"{met}/{len(wanted)}" if wanted else "<none>"
