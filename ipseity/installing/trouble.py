"""Why something is not ready, or not gone, in the words of those who know: scheduler, kubelet, controllers.

Here because "not within 180 s" sends a person through five commands at the worst time. Pure: objects in, one line each
out. Leaves out reading them (``cluster``), and logs.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Json = Mapping[str, Any]

_MOST: Final = 5
"""Lines that are told. Arbitrary: what ails a hundred pods is told by the first."""
_LONGEST: Final = 300
_FINE: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait that are none to worry."""


def of_pods(pods: Iterable[Json], events: Iterable[Json] = ()) -> list[str]:
    """Say of each pod that is not ready why it is not. ``events`` know what its status does not: volumes, networks."""
    last = _warnings(events)
    said = []
    for each in pods:
        if why := of_pod(each):
            event = last.get(each["metadata"].get("uid", ""), "")
            told = f"pod {each['metadata']['name']}{_where(each)}: {why}"
            said.append(told if not event or event in told else f"{told}; {event}")
    return said[:_MOST] + ([f"and {len(said) - _MOST} more pods"] if len(said) > _MOST else [])


def _where(pod: Json) -> str:
    node = pod["spec"].get("nodeName")
    return f" on {node}" if node else ""


def _warnings(events: Iterable[Json]) -> dict[str, str]:
    """Give the last Warning of each object, by its uid."""
    found = [each for each in events if each.get("type") == "Warning"]
    found.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return {
        str((each.get("involvedObject") or {}).get("uid", "")): _short(
            f"{each.get('reason', '')}: {each.get('message', '')}"
        )
        for each in found
    }


def of_pod(pod: Json) -> str:
    """Say why a pod is not ready; empty: it is."""
    status = pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    if pod["metadata"].get("deletionTimestamp"):
        return "is being deleted, and its node's kubelet has not said that it is gone"
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _short(f"is on no node: {scheduled.get('message') or scheduled.get('reason', '')}")
    told = [
        why
        for key in ("initContainerStatuses", "containerStatuses")
        for each in status.get(key) or ()
        if (why := _container(each))
    ]
    if told:
        return _short("; ".join(told))
    if status.get("message"):
        return _short(f"{status.get('reason', status.get('phase', ''))}: {status['message']}")
    return _short(conditions.get("Ready", {}).get("message") or f"is {status.get('phase', 'not known to any kubelet')}")


def _container(status: Json) -> str:
    """Say what is wrong with a container; empty: nothing, or it has ended well."""
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    name = f"container {status['name']}"
    if ended.get("exitCode"):
        return f"{name} ended with {ended['exitCode']}{_said(ended)}"
    if waiting and waiting.get("reason") not in _FINE:
        before = f", after it ended with {last['exitCode']}{_said(last)}" if last else ""
        return f"{name} waits: {waiting.get('reason', '')}{_said(waiting)}{before}"
    if "running" in state and not status.get("ready", True) and last:
        return f"{name} runs again, after it ended with {last.get('exitCode')}{_said(last)}"
    if "running" in state and status.get("ready") is False:
        return f"{name} runs and is not ready"
    return ""


def _said(state: Json) -> str:
    message = " ".join(str(state.get("message") or "").split())
    return f": {message[-_LONGEST:]}" if message else ""


def of_workload(found: Json | None, events: Iterable[Json]) -> list[str]:
    """Say why a Deployment or DaemonSet gets no pods: its own conditions, and the Warning events on it and its like."""
    if found is None:
        return ["it is not there"]
    said = [
        _short(f"{each.get('reason', each['type'])}: {each.get('message', '')}")
        for each in (found.get("status") or {}).get("conditions") or ()
        if each["type"] == "ReplicaFailure" and each["status"] == "True"
    ]
    name = found["metadata"]["name"]
    for each in events:
        about = each.get("involvedObject") or {}
        ours = about.get("kind") in {"DaemonSet", "ReplicaSet", "Deployment"}
        if ours and each.get("type") == "Warning" and str(about.get("name", "")).startswith(name):
            said.append(_short(f"{each.get('reason', '')}: {each.get('message', '')}"))
    return list(dict.fromkeys(said))[:_MOST]


def of_definition(found: Json | None) -> list[str]:
    """Say what keeps a CustomResourceDefinition from going: its objects, as a rule."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    said = [_short(each.get("message", "")) for each in conditions if each["type"] == "Terminating"]
    finalizers = (found or {}).get("metadata", {}).get("finalizers") or ()
    return said + ([f"finalizers: {', '.join(finalizers)}"] if finalizers else [])


def of_namespace(found: Json | None) -> list[str]:
    """Say what keeps a namespace from going."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return [
        _short(f"{each.get('reason', '')}: {each.get('message', '')}")
        for each in conditions
        if each.get("status") == "True" and each["type"].startswith("Namespace")
    ]


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."
