"""The machinery of the controllers and their pure decisions: queue, crash, scheduling, victims, slices, cache."""

import asyncio
import contextlib
from typing import Any

import pytest

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, endpoints, pods, replicasets, running, scheduling, workqueue

Value = dict[str, Any]


async def test_a_key_waits_once() -> None:
    """However often it is added; in the order of arrival."""
    queue = workqueue.Queue()
    for name in ("a", "b", "a"):
        queue.add(("", name))
    assert [await queue.next(), await queue.next()] == [("", "a"), ("", "b")]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.next(), 0.01)


async def test_failures_wait_longer() -> None:
    """Until a success."""
    queue = workqueue.Queue()
    delays = [queue.failed(("", "a")) for _ in range(20)]
    assert delays[:3] == [0.05, 0.1, 0.2]
    assert delays[-1] == workqueue.LONGEST_DELAY_S
    queue.succeeded(("", "a"))
    assert queue.failed(("", "a")) == 0.05


async def test_the_earlier_timer_counts() -> None:
    """A key that is due soon is not put off."""
    queue = workqueue.Queue()
    queue.add_later(("", "a"), 60)
    queue.add_later(("", "a"), 0.01)
    queue.add_later(("", "a"), 60)
    assert await asyncio.wait_for(queue.next(), 5) == ("", "a")


class Crashing:
    """A controller that fails at its first key."""

    name = "crashing"

    def __init__(self) -> None:
        self.looks = 0
        self.recovered = asyncio.Event()

    def keys(self, _kind: kinds.Kind, value: Value, *, gone: bool) -> list[cache.Key]:
        if "odd" in value["metadata"]["name"]:
            raise KeyError("spec")
        return [cache.key_of(value)]

    async def reconcile(self, _key: cache.Key) -> None:
        self.looks += 1
        if self.looks == 1:
            raise ZeroDivisionError
        self.recovered.set()


class Told:
    """A cache that is told by hand."""

    def __init__(self) -> None:
        self.handlers: list[cache.Handler] = []

    def on_change(self, handler: cache.Handler) -> None:
        self.handlers.append(handler)

    def following(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    async def until_synced(self) -> None:
        pass

    def drop_doubtful(self) -> None:
        pass


class Silent:
    """Where nobody says anything."""

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_crashed_controller_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged, started again, and looks at the same key; an object that it cannot read does no harm."""
    monkeypatch.setattr(running, "RESTART_S", 0.01)
    controller, told = Crashing(), Told()
    assembled = type("Assembled", (), {"known": told, "controllers": [controller], "events": Silent()})()
    gone = False
    async with running.running(assembled):
        for name in ("odd", "even"):
            told.handlers[0](kinds.NODE, {"metadata": {"name": name}}, gone)
        await asyncio.wait_for(controller.recovered.wait(), 5)
    said = capsys.readouterr().out
    assert "controller failed, starting again" in said
    assert "controller cannot read an object" in said


def node(name: str, *, ready: str = "True", unschedulable: bool = False, **labels: str) -> Value:
    """Return a node."""
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": unschedulable}, "status": status}


def test_the_node_with_the_fewest_pods() -> None:
    """Among those that are ready, not cordoned, and match."""
    nodes = [
        node("a", zone="x"),
        node("b", zone="x"),
        node("c"),
        node("d", ready="False"),
        node("e", unschedulable=True),
    ]
    pod: Value = {"metadata": {}, "spec": {}}
    assert scheduling.choose(pod, nodes, {}) == "a"
    assert scheduling.choose(pod, nodes, {"a": 1}) == "b"
    assert scheduling.choose(pod, nodes, {"a": 2, "b": 2, "c": 1}) == "c"
    pod["spec"]["nodeSelector"] = {"zone": "x"}
    assert scheduling.choose(pod, nodes, {"a": 3, "b": 2}) == "b"
    pod["spec"]["nodeSelector"] = {"zone": "y"}
    assert scheduling.choose(pod, nodes, {}) is None


def pod(
    name: str, ip: str = "", *, ready: bool = False, phase: str = "Running", port: int = 8080, **meta: Any
) -> Value:
    """Return a pod."""
    status: Value = {"phase": phase, "podIPs": [{"ip": each} for each in ip.split()]}
    status["conditions"] = [{"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:10Z"}]
    metadata = {"name": name, "namespace": "n", "uid": f"u-{name}", "creationTimestamp": "2026-01-01T00:00:00Z", **meta}
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]
    return {"metadata": metadata, "spec": {"nodeName": "a", "containers": containers}, "status": status}


def test_victims() -> None:
    """Who does no work goes first, then the youngest."""
    old = pod("old", ready=True)
    young = pod("young", ready=True, creationTimestamp="2026-01-02T00:00:00Z")
    unready, pending = pod("unready"), pod("pending", phase="Pending")
    found = replicasets.victims([old, young, unready, pending], 3)
    assert [each["metadata"]["name"] for each in found] == ["pending", "unready", "young"]


def service(**spec: Any) -> Value:
    """Return a Service."""
    ports = [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    spec = {"ports": ports, "ipFamilies": ["IPv4", "IPv6"], **spec}
    return {"metadata": {"name": "web", "namespace": "n", "uid": "s"}, "spec": spec}


def test_slices() -> None:
    """One for each family and set of ports; ended pods are left out, terminating ones are not ready."""
    found = endpoints.slices(
        service(),
        [
            pod("a", "10.0.0.1 fd00::1", ready=True),
            pod("b", "10.0.0.2", ready=True, port=9090),
            pod("c", "10.0.0.3", ready=True, deletionTimestamp="2026-01-01T00:00:00Z"),
            pod("d", "10.0.0.4", ready=True, phase="Succeeded"),
            pod("e", ""),
        ],
    )
    shown = [
        (each["addressType"], each["ports"][0]["port"], [point["addresses"][0] for point in each["endpoints"]])
        for each in found
    ]
    assert shown == [
        ("IPv4", 8080, ["10.0.0.1", "10.0.0.3"]),
        ("IPv4", 9090, ["10.0.0.2"]),
        ("IPv6", 8080, ["fd00::1"]),
    ]
    assert found[0]["endpoints"][1]["conditions"] == {"ready": False, "serving": True, "terminating": True}


def test_a_service_without_pods_has_empty_slices() -> None:
    """One for each family, so that a client sees that there is nobody."""
    assert [each["endpoints"] for each in endpoints.slices(service(), [])] == [[], []]


def test_availability() -> None:
    """A pod counts when it has been ready for long enough."""
    now_wall_ns = 1_767_225_617 * 10**9  # 2026-01-01T00:00:17Z
    assert pods.available_in_s(pod("a", ready=True), 0, now_wall_ns) == 0
    assert pods.available_in_s(pod("a", ready=True), 7, now_wall_ns) == 0
    assert pods.available_in_s(pod("a", ready=True), 10, now_wall_ns) == 3
    assert pods.available_in_s(pod("a"), 0, now_wall_ns) is None


def test_equal_templates_have_equal_hashes() -> None:
    """Whatever the order of their keys; in letters that spell nothing."""
    one, two = {"a": 1, "b": [2]}, {"b": [2], "a": 1}
    assert pods.template_hash(one) == pods.template_hash(two) != pods.template_hash({"a": 1})
    assert len(pods.template_hash(one)) == 10


def known_pod(version: int, uid: str = "u", **more: Any) -> Value:
    """Return a pod of some version."""
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid, "resourceVersion": str(version), **more}}


def test_the_cache_knows_what_was_written() -> None:
    """At once; a watch that is behind does not undo it; a new object of the name replaces the old one."""
    known = cache.Cache(None, [kinds.POD])  # type: ignore[arg-type]  # nothing is asked of the connection
    seen: list[tuple[str, bool]] = []
    known.on_change(lambda _kind, value, gone: seen.append((value["metadata"]["resourceVersion"], gone)))
    known.learn(kinds.POD, known_pod(7, ownerReferences=[{"uid": "o"}]))
    assert len(known.owned("o")) == 1
    known._apply(kinds.POD, known_pod(5), gone=False)
    assert known.get(kinds.POD, ("n", "p"))["metadata"]["resourceVersion"] == "7"
    known._apply(kinds.POD, known_pod(9, uid="v"), gone=False)
    assert known.owned("o") == []
    known._apply(kinds.POD, known_pod(8), gone=True)
    assert known.get(kinds.POD, ("n", "p"))["metadata"]["uid"] == "v"
    assert seen == [("7", False), ("9", False), ("8", True)]


def test_what_no_watch_confirms_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that was made and gone before a list could tell."""
    known = cache.Cache(None, [kinds.POD])  # type: ignore[arg-type]  # nothing is asked of the connection
    monkeypatch.setattr(cache, "BELIEVED_S", -1.0)
    known.learn(kinds.POD, known_pod(7))
    known.drop_doubtful()
    assert known.get(kinds.POD, ("n", "p")) is None


def test_what_was_written_and_deleted_is_no_longer_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write made it and another one took it away, or one of its name took its place, before a watch told of it."""
    known = cache.Cache(None, [kinds.POD])  # type: ignore[arg-type]  # nothing is asked of the connection
    monkeypatch.setattr(cache, "BELIEVED_S", -1.0)
    known.learn(kinds.POD, known_pod(7))
    known.unlearn(kinds.POD, known_pod(7))
    known.learn(kinds.POD, known_pod(8, uid="v"))
    known._apply(kinds.POD, known_pod(9, uid="w"), gone=False)
    known.drop_doubtful()
    assert {"w"} == set(known.uids)
