"""What the real server fills in when a field is not said.

As k8s.io/kubernetes/pkg/apis/*/v1/defaults.go. Works on an object that nobody else holds yet, and changes it in
place. Leaves out what needs the cluster's state (a service's address): ``addresses``.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from comparisons.lab.api import (
    conforming,
    definition_validation,
    kinds,
    network_policies,
    quality,
    webhook_configuration,
)

Value = dict[str, Any]


def fill(kind: kinds.Kind, value: Value) -> None:
    """Set every default of the kind."""
    if kind.custom is not None:
        conforming.fill(kind.custom.schema, value)
    rule = BY_KIND.get(kind)
    if rule is not None:
        rule(value)


def _set(value: Value, **defaults: Any) -> None:
    for name, default in defaults.items():
        value.setdefault(name, default)


def _pod(value: Value) -> None:
    pod_spec(value.setdefault("spec", {}))
    _set(value.setdefault("status", {}), phase="Pending", qosClass=quality.of_service(value["spec"]))


def pod_spec(spec: Value) -> None:
    """Set the defaults that pods and pod templates share."""
    if "serviceAccount" in spec:
        _set(spec, serviceAccountName=spec["serviceAccount"])
    if "serviceAccountName" in spec:
        _set(spec, serviceAccount=spec["serviceAccountName"])
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    _set(spec, securityContext={}, schedulerName="default-scheduler", enableServiceLinks=True)
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _container(container: Value, *, host_network: bool) -> None:
    _set(container, resources={}, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    latest = _tag(container.get("image", "")) in {"", "latest"}
    _set(container, imagePullPolicy="Always" if latest else "IfNotPresent")
    for port in container.get("ports") or ():
        _set(port, protocol="TCP")
        if host_network and "containerPort" in port:
            _set(port, hostPort=port["containerPort"])
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe])
    for reference in _references(container):
        _set(reference, apiVersion="v1")
    _limits_as_requests(container["resources"])


def _tag(image: str) -> str:
    """``""`` for an image without tag; a digest counts as one."""
    return image.rpartition("/")[2].partition("@")[2] or image.rpartition("/")[2].partition(":")[2]


def _probe(probe: Value) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if "httpGet" in probe:
        _set(probe["httpGet"], path="/", scheme="HTTP")
    if "grpc" in probe:
        _set(probe["grpc"], service="")


def _references(container: Value) -> Iterator[Value]:
    for variable in container.get("env") or ():
        if "fieldRef" in (variable.get("valueFrom") or {}):
            yield variable["valueFrom"]["fieldRef"]


def _limits_as_requests(resources: Value) -> None:
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


SOURCES_WITH_MODE = ("secret", "configMap", "downwardAPI", "projected")
DEFAULT_MODE = 0o644


def _volume(volume: Value) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for source in SOURCES_WITH_MODE:
        if source in volume:
            _set(volume[source], defaultMode=DEFAULT_MODE)
    if "hostPath" in volume:
        _set(volume["hostPath"], type="")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            _set(source["serviceAccountToken"], expirationSeconds=3600)
    for item in _downward_items(volume):
        if "fieldRef" in item:
            _set(item["fieldRef"], apiVersion="v1")


def _downward_items(volume: Value) -> Iterator[Value]:
    yield from (volume.get("downwardAPI") or {}).get("items") or ()
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from (source.get("downwardAPI") or {}).get("items") or ()


def _service(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")
    if spec["sessionAffinity"] == "ClientIP":
        _set(spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}), timeoutSeconds=10800)
    for port in spec.get("ports") or ():
        _set(port, protocol="TCP")
        if "port" in port:
            _set(port, targetPort=port["port"])
    _set(value, status={"loadBalancer": {}})


def _template(spec: Value) -> None:
    template = spec.setdefault("template", {})
    _set(template, metadata={}, spec={})
    pod_spec(template["spec"])


def _deployment(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _set(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _set(spec["strategy"].setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _set(value, status={})


def _replica_set(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1)
    _set(value, status={"replicas": 0})


def _daemon_set(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _template(spec)
    _set(spec, updateStrategy={}, revisionHistoryLimit=10)
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"].setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    _set(value, status=dict.fromkeys(counts, 0))


def _stateful_set(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1, podManagementPolicy="OrderedReady", updateStrategy={}, revisionHistoryLimit=10)
    _set(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"].setdefault("rollingUpdate", {}), partition=0)
    _set(value, status={"replicas": 0, "availableReplicas": 0})


def _job(value: Value) -> None:
    spec = value.setdefault("spec", {})
    _template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        _set(spec, completions=1)
    _set(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _set(spec, manualSelector=False, podReplacementPolicy="TerminatingOrFailed")
    _set(value, status={})


def _namespace(value: Value) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"].get("name", "")
    _set(value.setdefault("spec", {}), finalizers=["kubernetes"])
    _set(value.setdefault("status", {}), phase="Active")


def _node(value: Value) -> None:
    value.setdefault("spec", {})
    _set(value, status={})


def _secret(value: Value) -> None:
    _set(value, type="Opaque")
    plain: Mapping[str, str] = value.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        value["data"] = {**(value.get("data") or {}), **encoded}


def _event(value: Value) -> None:
    _set(value, type="Normal", source={}, reportingComponent="", reportingInstance="")


BY_KIND: Mapping[kinds.Kind, Callable[[Value], None]] = {
    kinds.POD: _pod,
    kinds.SERVICE: _service,
    kinds.DEPLOYMENT: _deployment,
    kinds.REPLICA_SET: _replica_set,
    kinds.DAEMON_SET: _daemon_set,
    kinds.JOB: _job,
    kinds.NAMESPACE: _namespace,
    kinds.NODE: _node,
    kinds.SECRET: _secret,
    kinds.EVENT: _event,
    kinds.MUTATING_WEBHOOK_CONFIGURATION: webhook_configuration.fill,
    kinds.VALIDATING_WEBHOOK_CONFIGURATION: webhook_configuration.fill,
    kinds.STATEFUL_SET: _stateful_set,
    kinds.NETWORK_POLICY: network_policies.fill,
    kinds.CUSTOM_RESOURCE_DEFINITION: definition_validation.fill,
}
