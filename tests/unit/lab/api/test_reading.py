"""How objects are read: selectors, ages, pod states, quality of service, names, protobuf's corners."""

import base64
import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparisons.lab.api import (
    addresses,
    columns,
    durations,
    kinds,
    names,
    pod_cells,
    protobuf,
    quality,
    selector,
    status,
)

Value = dict[str, Any]
NOW = 1_767_225_600 * 10**9


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (660, "11m"), (10800, "3h"), (11100, "3h5m"),
     (100000, "27h"), (180000, "2d2h"), (864000, "10d"), (63072000, "2y"), (-5, "0s")],
)  # fmt: skip
def test_ages(seconds: int, wanted: str) -> None:
    """As kubectl shows them."""
    assert durations.human(seconds) == wanted


def waiting(reason: str) -> Value:
    return {"name": "c", "state": {"waiting": {"reason": reason}}}


def ended(code: int, reason: str = "", **more: Any) -> Value:
    return {"name": "c", "state": {"terminated": {"exitCode": code, "reason": reason, **more}}}


RUNS: Value = {"name": "c", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("status_", "spec", "meta", "wanted"),
    [
        ({"phase": "Pending"}, {}, {}, "Pending"),
        ({"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff")]}, {}, {}, "CrashLoopBackOff"),
        ({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}, {}, {}, "Completed"),
        ({"phase": "Failed", "containerStatuses": [ended(7)]}, {}, {}, "ExitCode:7"),
        ({"phase": "Failed", "containerStatuses": [ended(137, signal=9)]}, {}, {}, "Signal:9"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, {}, "Evicted"),
        ({"phase": "Running"}, {}, {"deletionTimestamp": "x"}, "Terminating"),
        ({"phase": "Pending", "initContainerStatuses": [RUNS]}, {"initContainers": [{"name": "c"}]}, {}, "Init:0/1"),
        ({"initContainerStatuses": [ended(1, "Error")]}, {"initContainers": [{"name": "c"}]}, {}, "Init:Error"),
        ({"phase": "Running", "initContainerStatuses": [ended(0)]}, {"initContainers": [{"name": "c"}]}, {}, "Running"),
    ],
)
def test_pod_states(status_: Value, spec: Value, meta: Value, wanted: str) -> None:
    """The one word that sums a pod up."""
    assert pod_cells.state({"metadata": meta, "spec": {"containers": [], **spec}, "status": status_}, NOW) == wanted


def test_sidecars_count_as_containers() -> None:
    """In READY."""
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]}
    ready = {
        "containerStatuses": [{"name": "a", "ready": True}],
        "initContainerStatuses": [{"name": "s", "ready": True}],
    }
    assert pod_cells.ready({"metadata": {}, "spec": spec, "status": ready}, NOW) == "2/2"


@given(st.sampled_from(kinds.ALL))
def test_any_object_has_cells(kind: kinds.Kind) -> None:
    """Also one that has only what validation asks for."""
    template = {"spec": {"containers": []}}
    value = {"kind": kind.kind, "metadata": {"name": "x"}, "spec": {"containers": [], "template": template}}
    value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    cells = [column.cell(value, NOW) for column in columns.of(kind)]
    assert all(isinstance(cell, str | int) for cell in cells)


RESOURCES = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("containers", "wanted"),
    [
        ([{}], "BestEffort"),
        ([{"resources": {"requests": {"cpu": "1"}}}], "Burstable"),
        ([{"resources": RESOURCES}], "Guaranteed"),
        ([{"resources": RESOURCES}, {}], "Burstable"),
    ],
)
def test_quality_of_service(containers: list[Value], wanted: str) -> None:
    """Guaranteed only if every container is."""
    assert quality.of_service({"containers": containers}) == wanted


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(LABELS, st.sampled_from("abc"), st.sets(st.sampled_from("xyz"), min_size=1))
def test_selectors_and_their_opposites(labels: dict[str, str], key: str, values: set[str]) -> None:
    """A label is in, or not in; it exists, or does not. Text and object form agree."""
    value = {"metadata": {"labels": labels}}
    listed = ",".join(sorted(values))
    assert selector.labels(f"{key} in ({listed})")(value) is not selector.labels(f"{key} notin ({listed})")(value)
    assert selector.labels(key)(value) is not selector.labels(f"!{key}")(value)
    for operator, text in (("In", "in"), ("NotIn", "notin")):
        expressions = [{"key": key, "operator": operator, "values": sorted(values)}]
        assert selector.matches({"matchExpressions": expressions}, labels) is selector.labels(
            f"{key} {text} ({listed})"
        )(value)


@given(st.text(max_size=60))
def test_any_selector_is_read_or_refused(text: str) -> None:
    """And never crashes."""
    assert _code(lambda: selector.labels(text)({"metadata": {}})) in {200, 400}


@given(st.binary(max_size=200))
def test_any_protobuf_is_read_or_refused(body: bytes) -> None:
    """A header is no excuse to crash."""
    for prefix in (b"", protobuf.MAGIC, protobuf.MAGIC + b"\n\x0f\n\x02v1\x12\tNamespace\x12"):
        assert _code(functools.partial(protobuf.decode, prefix + body)) in {200, 400}


def _code(work: Callable[[], object]) -> int:
    try:
        work()
    except status.Refused as refused:
        return refused.code
    return 200


def test_a_namespace_in_protobuf() -> None:
    """As kubectl 1.36 sent it."""
    body = base64.b64decode("azhzAAoPCgJ2MRIJTmFtZXNwYWNlEh0KFQoFc2hvcDISABoAIgAqADIAOABCABIAGgIKABoAIgA=")
    found = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop2"}, "spec": {}, "status": {}}
    assert protobuf.decode(body) == found


@pytest.mark.parametrize("good", ["a", "a-b", "a1", "a" * 63])
def test_labels(good: str) -> None:
    """And what is none."""
    assert names.label(good) == ""
    for bad in (good + "-", "-" + good, good.upper(), good + "." + good, "a" * 64, ""):
        assert names.label(bad)


def test_generated_names_stay_labels() -> None:
    """Also for a long prefix."""
    assert names.label(names.generated("x" * 80 + "-")) == ""


def test_dual_stack_addresses() -> None:
    """One of each family if asked for; a wish from outside of the range is refused; nothing is given twice."""
    ranges = addresses.Ranges()
    used: list[Value] = []
    for _ in range(23):
        made: Value = {"spec": {"type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack"}}
        assert addresses.assign(ranges, made, used) == []
        used.append(made)
    given_ = [ip for each in used for ip in each["spec"]["clusterIPs"]]
    assert len(set(given_)) == 46
    assert used[0]["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    outside: Value = {"spec": {"type": "ClusterIP", "clusterIP": "192.0.2.7"}}
    assert "not in the valid range" in addresses.assign(ranges, outside, used)[0].message
