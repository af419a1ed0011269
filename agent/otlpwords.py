"""What flows are called in OpenTelemetry: attributes of ends, of label sets, and of the agent itself.

Here because logs and metrics must call one thing by one name, or nobody can go from a curve to its connections. Names
are those of the semantic conventions where there is one; an end's have ``source.`` or ``destination.`` before them;
what only we know begins with ``ipseity.``. ``docs/otlp.md`` has the list. Leaves out how messages are made of them
(``otlplogs``, ``otlpmetrics``).
"""

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from agent import catalogue, flowjson, model, verdicts

SCOPE: Final = "ipseity.agent"
SIDES: Final = ("source", "destination")
_OF_END: Final = {
    "namespace": "k8s.namespace.name",
    "workload": "k8s.workload.name",
    "kind": "k8s.workload.kind",
    "service_account": "k8s.serviceaccount.name",
    "evidence": "ipseity.evidence",
    "pod": "k8s.pod.name",
}
"""Labels of an end, and their attributes. The conventions have a name for each kind of workload (``k8s.job.name``); by
eight names for each of two ends nobody can group, so there is one."""
OF_LABEL: Final = {
    **{f"{side}_{label}": f"{side}.{name}" for side in SIDES for label, name in _OF_END.items()},
    "port": "destination.port",
    "protocol": "network.transport",
    "direction": "ipseity.direction",
    "cause": "error.type",
}
"""Prometheus' labels of flows, and their attributes."""
_UNITS: Final = {"bytes": "By", "seconds": "s", "segments": "{segment}"}
_IN_THE_NAME: Final = ("bytes", "seconds")
"""Units that a receiver which speaks Prometheus puts at the end of a name again."""

Value = str | int | float | bool


def metric_name(metric: catalogue.Metric) -> str:
    """Name a metric so that the usual translation to Prometheus gives the name that a scrape has."""
    name = metric.name.removesuffix(f"_{metric.unit}") if metric.unit in _IN_THE_NAME else metric.name
    for start in ("ipseity_flow_", "ipseity_"):
        if name.startswith(start):
            return start.replace("_", ".") + name.removeprefix(start)
    raise ValueError(f"{metric.name} is not named like ours")


def unit(metric: catalogue.Metric) -> str:
    """Spell a unit as UCUM does; empty for what is only counted."""
    return _UNITS.get(metric.unit, "")


def attribute(name: str, value: Value) -> common_pb2.KeyValue:
    """Give one attribute."""
    match value:
        case bool():
            held = common_pb2.AnyValue(bool_value=value)
        case int():
            held = common_pb2.AnyValue(int_value=value)
        case float():
            held = common_pb2.AnyValue(double_value=value)
        case _:
            held = common_pb2.AnyValue(string_value=flowjson.readable(value))
    return common_pb2.KeyValue(key=name, value=held)


def attributes(named: Iterable[tuple[str, Value]]) -> list[common_pb2.KeyValue]:
    """Give what is not empty."""
    return [attribute(name, value) for name, value in named if value != ""]


def of_labels(names: tuple[str, ...], values: tuple[str, ...]) -> list[common_pb2.KeyValue]:
    """Give the attributes of a label set; a port is a number."""
    found: list[tuple[str, Value]] = []
    for name, value in zip(names, values, strict=True):
        number = name == "port" and value.isdecimal()
        found.append((OF_LABEL[name], int(value) if number else value))
    return attributes(found)


def end(end: model.End, side: str) -> list[common_pb2.KeyValue]:
    """Give the attributes of one end: who it is, and what that rests on."""
    pod = end.kind is model.Kind.POD
    judged = end.views.judged.ip if end.views is not None else None
    checked = judged is not None and judged.match is not verdicts.Match.UNCHECKED
    named: list[tuple[str, Value]] = [
        ("address", "" if "/" in end.address else end.address),
        ("k8s.namespace.name", end.namespace),
        ("k8s.pod.name", end.name if pod else ""),
        ("k8s.pod.uid", end.pod_uid),
        ("k8s.workload.name", end.workload or end.name),
        ("k8s.workload.kind", end.workload_kind or end.kind.value),
        ("k8s.serviceaccount.name", end.service_account),
        ("container.id", end.container_id),
        ("ipseity.kind", end.kind.value),
        ("ipseity.evidence", end.evidence.value),
        ("ipseity.reason", end.reason.value),
        ("ipseity.attribution.match", judged.match.value if judged and checked else ""),
        ("ipseity.attribution.mismatch_reason", judged.reason.value if judged and checked else ""),
        *((f"k8s.pod.label.{key}", value) for key, value in end.labels),
    ]
    return attributes((f"{side}.{name}", value) for name, value in named)


def pairs(text: str) -> dict[str, str]:
    """Read ``key=value,key=value`` with percent signs, as OpenTelemetry's variables have it."""
    found = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {key.strip(): urllib.parse.unquote(value.strip()) for key, _, value in found}


def resource(node_name: str, version: str, environ: Mapping[str, str]) -> resource_pb2.Resource:
    """Say who tells: this agent, and whatever ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` say besides."""
    said = {
        "service.name": "ipseity-agent",
        "service.version": version,
        "service.instance.id": node_name,
        "k8s.node.name": node_name,
        **pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")),
    }
    if environ.get("OTEL_SERVICE_NAME"):
        said["service.name"] = environ["OTEL_SERVICE_NAME"]
    return resource_pb2.Resource(attributes=attributes(said.items()))
