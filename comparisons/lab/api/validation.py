"""Whether an object is possible: metadata, required fields, and the rules of each kind, as the causes of a 422.

Why here: the injector and the lab's users learn from the same refusals that a real cluster gives. The rules are those
of k8s.io/kubernetes/pkg/apis/*/validation that people meet; ``changes`` has what an update may not change. Leaves out
resource arithmetic, scheduling constraints, and volumes of kinds that the lab cannot mount.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from comparisons.lab.api import (
    definition_validation,
    event_validation,
    kinds,
    names,
    network_policies,
    pod_validation,
    schema_rules,
    schema_validation,
    selector,
    shapes,
    status,
    webhook_configuration,
)

Value = dict[str, Any]
Causes = Iterator[status.Cause]

MAX_ANNOTATIONS = 256 * 1024
"""Total size of all annotations: k8s.io/apimachinery/pkg/api/validation.TotalAnnotationSizeLimitB."""


def check(kind: kinds.Kind, value: Value, old: Value | None = None) -> list[status.Cause]:
    """Everything that makes it impossible; an empty list if nothing does. ``old`` is what it was before an update."""
    if kind.custom is not None:
        return [*_metadata(kind, value["metadata"]), *by_schema(kind.custom, value, old)]
    causes = [*_metadata(kind, value["metadata"]), *missing(value, kind.shape)]
    if not causes:  # the rules below may rely on what is required
        causes += BY_KIND.get(kind, _anything)(value)
    return causes


def by_schema(custom: kinds.Custom, value: Value, old: Value | None) -> list[status.Cause]:
    """Return what a custom kind's schema has against a value; its rules are asked if nothing else is wrong."""
    before = schema_validation.UNSAID if old is None else old
    return schema_validation.check(custom.schema, value, before) or list(
        schema_rules.broken(custom.schema, value, before)
    )


def _metadata(kind: kinds.Kind, meta: Value) -> Causes:
    judge = NAMES.get(kind, names.subdomain)
    if not meta.get("name"):
        yield status.required("metadata.name", "name or generateName is required")
    elif why := judge(meta["name"]):
        yield status.bad("metadata.name", meta["name"], why)
    yield from labels(meta.get("labels") or {}, "metadata.labels")
    yield from _annotations(meta.get("annotations") or {})
    yield from _owners(meta.get("ownerReferences") or [])
    for index, finalizer in enumerate(meta.get("finalizers") or []):
        if why := names.qualified(finalizer):
            yield status.bad(f"metadata.finalizers[{index}]", finalizer, why)


def labels(found: Mapping[str, str], path: str) -> Causes:
    """Keys and values of labels."""
    for key, value in found.items():
        if why := names.qualified(key):
            yield status.bad(path, key, why)
        if why := names.label_value(value):
            yield status.bad(path, value, why)


def _annotations(found: Mapping[str, str]) -> Causes:
    for key in found:
        if why := names.qualified(key.lower()):
            yield status.bad("metadata.annotations", key, why)
    if sum(len(k) + len(v) for k, v in found.items()) > MAX_ANNOTATIONS:
        yield status.Cause(
            field="metadata.annotations",
            reason="FieldValueTooLong",
            message=f"Too long: may not be more than {MAX_ANNOTATIONS} bytes",
        )


def _owners(owners: list[Value]) -> Causes:
    for index, owner in enumerate(owners):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                yield status.required(f"metadata.ownerReferences[{index}].{part}")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        yield status.bad("metadata.ownerReferences", len(owners), "only one reference can have Controller set to true")


def missing(value: Value, shape: str, path: str = "") -> Causes:
    """Return required fields that are not there, anywhere below."""
    for field in shapes.fields(shape).values():
        here = f"{path}.{field.name}" if path else field.name
        if field.name in value:
            yield from _missing_in(value[field.name], field.kind, here)
        elif field.required and field.name not in {"metadata", "status"}:
            yield status.required(here)


def _missing_in(value: Any, kind: str, path: str) -> Causes:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _missing_in(item, kind[2:], f"{path}[{index}]")
    elif isinstance(value, dict) and shapes.is_struct(kind):
        yield from missing(value, kind, path)


def _anything(_value: Value) -> Causes:
    return iter(())


def _pod(value: Value) -> Causes:
    yield from pod_validation.spec(value.get("spec") or {}, "spec")


def _workload(value: Value) -> Causes:
    spec = value["spec"]
    template = spec["template"]
    yield from _not_negative(spec, "replicas", "spec")
    yield from labels((template.get("metadata") or {}).get("labels") or {}, "spec.template.metadata.labels")
    yield from pod_validation.spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        yield status.unsupported("spec.template.spec.restartPolicy", policy, ["Always"])
    yield from _selects_template(spec)


def _stateful_set(value: Value) -> Causes:
    yield from _workload(value)
    spec = value["spec"]
    if spec["podManagementPolicy"] not in POD_MANAGEMENT:
        yield status.unsupported("spec.podManagementPolicy", spec["podManagementPolicy"], POD_MANAGEMENT)
    if spec["updateStrategy"]["type"] not in UPDATE_STRATEGIES:
        yield status.unsupported("spec.updateStrategy.type", spec["updateStrategy"]["type"], UPDATE_STRATEGIES)
    if spec.get("volumeClaimTemplates"):
        yield status.forbidden_field("spec.volumeClaimTemplates", "a lab has no volumes that outlive a pod")


POD_MANAGEMENT = ("OrderedReady", "Parallel")
UPDATE_STRATEGIES = ("OnDelete", "RollingUpdate")


def _selects_template(spec: Value) -> Causes:
    chosen = spec["selector"]
    found = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        yield status.bad("spec.selector", chosen, "empty selector is invalid for deployment")
    elif not selector.matches(chosen, found):
        yield status.bad("spec.template.metadata.labels", found, "`selector` does not match template `labels`")


def _job(value: Value) -> Causes:
    spec = value["spec"]
    for field in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds"):
        yield from _not_negative(spec, field, "spec")
    pod = spec["template"].get("spec") or {}
    yield from pod_validation.spec(pod, "spec.template.spec")
    if pod.get("restartPolicy", "Always") not in {"OnFailure", "Never"}:
        yield status.unsupported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ["OnFailure", "Never"])


def _not_negative(spec: Value, field: str, path: str) -> Causes:
    if spec.get(field, 0) < 0:
        yield status.bad(f"{path}.{field}", spec[field], "must be greater than or equal to 0")


SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def _service(value: Value) -> Causes:
    spec = value["spec"]
    if spec["type"] not in SERVICE_TYPES:
        yield status.unsupported("spec.type", spec["type"], SERVICE_TYPES)
    if spec["type"] != "ExternalName" and spec.get("clusterIP") != "None" and not spec.get("ports"):
        yield status.required("spec.ports")
    yield from labels(spec.get("selector") or {}, "spec.selector")
    yield from _service_ports(spec.get("ports") or [])


def _service_ports(ports: list[Value]) -> Causes:
    seen: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield status.required(f"{path}.name")
        elif port.get("name") and (why := names.label(port["name"])):
            yield status.bad(f"{path}.name", port["name"], why)
        yield from pod_validation.port_number(port["port"], f"{path}.port")
        yield from pod_validation.protocol(port.get("protocol", "TCP"), f"{path}.protocol")
        if (port["port"], port.get("protocol", "TCP")) in seen:
            yield status.duplicate(path, {"port": port["port"], "protocol": port.get("protocol", "TCP")})
        seen.add((port["port"], port.get("protocol", "TCP")))


DATA_LIMIT = 1024 * 1024


def _data(value: Value) -> Causes:
    entries = (value.get("data") or {}) | (value.get("binaryData") or {})
    for key in entries:
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            yield status.bad(
                f"data[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            )
    if sum(len(text) for text in entries.values()) > DATA_LIMIT:
        yield status.Cause(
            field="data", reason="FieldValueTooLong", message=f"Too long: may not be more than {DATA_LIMIT} bytes"
        )


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def _endpoint_slice(value: Value) -> Causes:
    if value["addressType"] not in ADDRESS_TYPES:
        yield status.unsupported("addressType", value["addressType"], ADDRESS_TYPES)
    for index, endpoint in enumerate(value.get("endpoints") or []):
        if not endpoint.get("addresses"):
            yield status.required(f"endpoints[{index}].addresses", "must contain at least 1 address")


def _disruption_budget(value: Value) -> Causes:
    spec = value.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield status.bad("spec", spec, "minAvailable and maxUnavailable cannot be both set")


NAMES: Mapping[kinds.Kind, Callable[[str], str]] = {
    **dict.fromkeys(kinds.ROLES, names.path_segment),
    kinds.NAMESPACE: names.label,
    kinds.SERVICE: names.label_1035,
}
BY_KIND: Mapping[kinds.Kind, Callable[[Value], Causes]] = {
    kinds.POD: _pod,
    kinds.DEPLOYMENT: _workload,
    kinds.REPLICA_SET: _workload,
    kinds.DAEMON_SET: _workload,
    kinds.JOB: _job,
    kinds.SERVICE: _service,
    kinds.CONFIG_MAP: _data,
    kinds.SECRET: _data,
    kinds.ENDPOINT_SLICE: _endpoint_slice,
    kinds.NETWORK_POLICY: network_policies.check,
    kinds.DISRUPTION_BUDGET: _disruption_budget,
    kinds.EVENT: event_validation.of_core,
    kinds.EVENT_VIEW: event_validation.of_view,
    kinds.MUTATING_WEBHOOK_CONFIGURATION: webhook_configuration.check,
    kinds.VALIDATING_WEBHOOK_CONFIGURATION: webhook_configuration.check,
    kinds.STATEFUL_SET: _stateful_set,
    kinds.CUSTOM_RESOURCE_DEFINITION: lambda value: iter(definition_validation.check(value)),
}
