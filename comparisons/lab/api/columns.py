"""The columns of each kind, as ``kubectl get`` users know them; any other kind has NAME and AGE.

After k8s.io/kubernetes/pkg/printers/internalversion. Pure: an object and the time give the cells.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import durations, event_views, kinds, pod_cells

Value = dict[str, Any]
Cell = Callable[[Value, int], Any]
NONE = "<none>"
SHOWN = 3
"""How many of a list are shown before ``+ 2 more...``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: what stands above it and what is in it."""

    name: str
    cell: Cell
    type: str = "string"
    wide: bool = False
    format: str = ""
    description: str = ""

    def definition(self) -> Value:
        """As the table says it."""
        said = {"format": "name" if self.name == "Name" else self.format, "description": self.description}
        return {"name": self.name, "type": self.type, **said, "priority": int(self.wide)}


def _at(*path: str, default: Any = NONE) -> Cell:
    def cell(value: Any, _now_wall_ns: int) -> Any:
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return default if value in (None, "") else value

    return cell


def _count(*path: str) -> Cell:
    return _at(*path, default=0)


def _age(value: Value, now_wall_ns: int) -> str:
    return durations.since(value["metadata"].get("creationTimestamp"), now_wall_ns)


def _entries(value: Value, _now_wall_ns: int) -> int:
    return len(value.get("data") or {}) + len(value.get("binaryData") or {})


def _node_status(node: Value, _now_wall_ns: int) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((each["status"] for each in conditions if each["type"] == "Ready"), "Unknown")
    word = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return word + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


ROLE = "node-role.kubernetes.io/"


def _roles(node: Value, _now_wall_ns: int) -> str:
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(ROLE) for key in labels if key.startswith(ROLE))) or NONE


def _node_address(kind: str) -> Cell:
    def cell(node: Value, _now_wall_ns: int) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((each["address"] for each in addresses if each["type"] == kind), NONE)

    return cell


def _external(service: Value, _now_wall_ns: int) -> str:
    spec = service["spec"]
    found = spec.get("externalIPs") or ([spec["externalName"]] if spec.get("externalName") else [])
    return ",".join(found) or ("<pending>" if spec.get("type") == "LoadBalancer" else NONE)


def _service_ports(service: Value, _now_wall_ns: int) -> str:
    def text(port: Value) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"

    return ",".join(text(port) for port in service["spec"].get("ports") or ()) or NONE


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _selector(value: Value, _now_wall_ns: int) -> str:
    chosen = value["spec"].get("selector") or {}
    return _labels(chosen.get("matchLabels") or {} if value["kind"] != "Service" else chosen)


def _pod_selector(value: Value, _now_wall_ns: int) -> str:
    """As metav1.FormatLabelSelector: sorted by key, equals signs first spelled as in a query."""
    chosen = value["spec"].get("podSelector") or {}
    words = [(key, f"{key}={wanted}") for key, wanted in (chosen.get("matchLabels") or {}).items()]
    for each in chosen.get("matchExpressions") or ():
        key, listed = each["key"], f"({','.join(sorted(each.get('values') or ()))})"
        forms = {"In": f"{key} in {listed}", "NotIn": f"{key} notin {listed}", "Exists": key, "DoesNotExist": f"!{key}"}
        words.append((key, forms[each["operator"]]))
    return ",".join(text for _, text in sorted(words)) or NONE


def _node_selector(value: Value, _now_wall_ns: int) -> str:
    return _labels(value["spec"]["template"]["spec"].get("nodeSelector") or {})


def _each_container(field: str) -> Cell:
    def cell(value: Value, _now_wall_ns: int) -> str:
        return ",".join(each.get(field, "") for each in value["spec"]["template"]["spec"]["containers"])

    return cell


def _of(part: Cell, whole: Cell) -> Cell:
    return lambda value, now_wall_ns: f"{part(value, now_wall_ns)}/{whole(value, now_wall_ns)}"


def _job_state(job: Value, _now_wall_ns: int) -> str:
    true = {each["type"] for each in (job.get("status") or {}).get("conditions") or () if each["status"] == "True"}
    for word in ("Complete", "Failed", "Suspended"):
        if word in true:
            return word
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _completions(job: Value, _now_wall_ns: int) -> str:
    succeeded, spec = (job.get("status") or {}).get("succeeded", 0), job["spec"]
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallel = spec.get("parallelism", 1)
    return f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"


def _job_duration(job: Value, now_wall_ns: int) -> str:
    status = job.get("status") or {}
    if "startTime" not in status:
        return ""
    end_wall_ns = clock.parse(status["completionTime"]) if "completionTime" in status else now_wall_ns
    return durations.human((end_wall_ns - clock.parse(status["startTime"])) // 10**9)


def _few(found: list[str], unset: str) -> str:
    more = f" + {len(found) - SHOWN} more..." if len(found) > SHOWN else ""
    return ",".join(found[:SHOWN]) + more if found else unset


def _slice_ports(value: Value, _now_wall_ns: int) -> str:
    return _few([str(each.get("port", "*")) for each in value.get("ports") or ()], "<unset>")


def _slice_endpoints(value: Value, _now_wall_ns: int) -> str:
    return _few([ip for each in value.get("endpoints") or () for ip in each["addresses"]], "<unset>")


def _last_seen(event: Value, now_wall_ns: int) -> str:
    return durations.since(
        event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"], now_wall_ns
    )


def _first_seen(event: Value, now_wall_ns: int) -> str:
    return durations.since(event.get("firstTimestamp") or event.get("eventTime"), now_wall_ns)


def _about(event: Value, _now_wall_ns: int) -> str:
    about = event.get("involvedObject") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _source(event: Value, _now_wall_ns: int) -> str:
    source = event.get("source") or {}
    parts = (source.get("component") or event.get("reportingComponent", ""), source.get("host", ""))
    return ", ".join(part for part in parts if part)


NAME = Column(name="Name", cell=_at("metadata", "name"))
AGE = Column(name="Age", cell=_age)
GENERIC = (NAME, AGE)
_TEMPLATE = (
    Column(name="Containers", cell=_each_container("name"), wide=True),
    Column(name="Images", cell=_each_container("image"), wide=True),
    Column(name="Selector", cell=_selector, wide=True),
)


def _number(name: str, *path: str) -> Column:
    return Column(name=name, cell=_count(*path), type="integer")


_WEBHOOKS = Column(name="Webhooks", cell=lambda value, _now: len(value.get("webhooks") or ()), type="integer")


def _wide(name: str, cell: Cell) -> Column:
    return Column(name=name, cell=cell, wide=True)


BY_KIND: Mapping[kinds.Kind, tuple[Column, ...]] = {
    kinds.POD: (
        NAME,
        Column(name="Ready", cell=pod_cells.ready),
        Column(name="Status", cell=pod_cells.state),
        Column(name="Restarts", cell=pod_cells.restarts),
        AGE,
        _wide("IP", pod_cells.ip),
        _wide("Node", pod_cells.node),
        _wide("Nominated Node", _at("status", "nominatedNodeName")),
        _wide("Readiness Gates", pod_cells.gates),
    ),
    kinds.NODE: (
        NAME,
        Column(name="Status", cell=_node_status),
        Column(name="Roles", cell=_roles),
        AGE,
        Column(name="Version", cell=_at("status", "nodeInfo", "kubeletVersion", default="")),
        _wide("Internal-IP", _node_address("InternalIP")),
        _wide("External-IP", _node_address("ExternalIP")),
        _wide("OS-Image", _at("status", "nodeInfo", "osImage", default="<unknown>")),
        _wide("Kernel-Version", _at("status", "nodeInfo", "kernelVersion", default="<unknown>")),
        _wide("Container-Runtime", _at("status", "nodeInfo", "containerRuntimeVersion", default="<unknown>")),
    ),
    kinds.SERVICE: (
        NAME,
        Column(name="Type", cell=_at("spec", "type")),
        Column(name="Cluster-IP", cell=_at("spec", "clusterIP")),
        Column(name="External-IP", cell=_external),
        Column(name="Port(s)", cell=_service_ports),
        AGE,
        _wide("Selector", _selector),
    ),
    kinds.DEPLOYMENT: (
        NAME,
        Column(name="Ready", cell=_of(_count("status", "readyReplicas"), _count("spec", "replicas"))),
        _number("Up-to-date", "status", "updatedReplicas"),
        _number("Available", "status", "availableReplicas"),
        AGE,
        *_TEMPLATE,
    ),
    kinds.REPLICA_SET: (
        NAME,
        _number("Desired", "spec", "replicas"),
        _number("Current", "status", "replicas"),
        _number("Ready", "status", "readyReplicas"),
        AGE,
        *_TEMPLATE,
    ),
    kinds.STATEFUL_SET: (
        NAME,
        Column(name="Ready", cell=_of(_count("status", "readyReplicas"), _count("spec", "replicas"))),
        AGE,
        *_TEMPLATE[:2],
    ),
    kinds.CUSTOM_RESOURCE_DEFINITION: (
        NAME,
        Column(name="Created At", cell=_at("metadata", "creationTimestamp"), type="date"),
    ),
    kinds.DAEMON_SET: (
        NAME,
        _number("Desired", "status", "desiredNumberScheduled"),
        _number("Current", "status", "currentNumberScheduled"),
        _number("Ready", "status", "numberReady"),
        _number("Up-to-date", "status", "updatedNumberScheduled"),
        _number("Available", "status", "numberAvailable"),
        Column(name="Node Selector", cell=_node_selector),
        AGE,
        *_TEMPLATE,
    ),
    kinds.JOB: (
        NAME,
        Column(name="Status", cell=_job_state),
        Column(name="Completions", cell=_completions),
        Column(name="Duration", cell=_job_duration),
        AGE,
        *_TEMPLATE,
    ),
    kinds.NAMESPACE: (NAME, Column(name="Status", cell=_at("status", "phase")), AGE),
    kinds.SERVICE_ACCOUNT: (
        NAME,
        Column(name="Secrets", cell=lambda value, _now: len(value.get("secrets") or ()), type="integer"),
        AGE,
    ),
    kinds.CONFIG_MAP: (NAME, Column(name="Data", cell=_entries, type="integer"), AGE),
    kinds.SECRET: (
        NAME,
        Column(name="Type", cell=_at("type")),
        Column(name="Data", cell=_entries, type="integer"),
        AGE,
    ),
    kinds.LEASE: (NAME, Column(name="Holder", cell=_at("spec", "holderIdentity", default="")), AGE),
    kinds.DISRUPTION_BUDGET: (
        NAME,
        Column(name="Min Available", cell=_at("spec", "minAvailable", default="N/A")),
        Column(name="Max Unavailable", cell=_at("spec", "maxUnavailable", default="N/A")),
        Column(name="Allowed Disruptions", cell=_at("status", "disruptionsAllowed", default=0), type="integer"),
        AGE,
    ),
    kinds.NETWORK_POLICY: (NAME, Column(name="Pod-Selector", cell=_pod_selector), AGE),
    kinds.ENDPOINT_SLICE: (
        NAME,
        Column(name="AddressType", cell=_at("addressType")),
        Column(name="Ports", cell=_slice_ports),
        Column(name="Endpoints", cell=_slice_endpoints),
        AGE,
    ),
    kinds.MUTATING_WEBHOOK_CONFIGURATION: (NAME, _WEBHOOKS, AGE),
    kinds.VALIDATING_WEBHOOK_CONFIGURATION: (NAME, _WEBHOOKS, AGE),
    kinds.EVENT: (
        Column(name="Last Seen", cell=_last_seen),
        Column(name="Type", cell=_at("type", default="")),
        Column(name="Reason", cell=_at("reason", default="")),
        Column(name="Object", cell=_about),
        _wide("Subobject", _at("involvedObject", "fieldPath", default="")),
        _wide("Source", _source),
        Column(name="Message", cell=lambda value, _now: value.get("message", "").strip()),
        _wide("First Seen", _first_seen),
        _wide("Count", _at("count", default=1)),
        _wide("Name", _at("metadata", "name")),
    ),
}


def of(kind: kinds.Kind) -> tuple[Column, ...]:
    """Return the columns of a kind."""
    if kind is kinds.EVENT_VIEW:
        return tuple(dataclasses.replace(each, cell=_of_core(each.cell)) for each in BY_KIND[kinds.EVENT])
    return BY_KIND.get(kind, GENERIC)


def _of_core(cell: Cell) -> Cell:
    return lambda event, now_wall_ns: cell(event_views.stored(event), now_wall_ns)
