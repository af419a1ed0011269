"""What an update may not change, and what it takes from the stored object whatever it says.

``keep`` restores what clients do not own (uid, status outside of ``/status``, a service's address); ``check`` names
changes that are refused. Rules: the strategies in k8s.io/kubernetes/pkg/registry.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from comparisons.lab.api import definition_validation, kinds, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "namespace",
    "generateName",
)
IMMUTABLE = "field is immutable"


def keep(kind: kinds.Kind, old: Value, new: Value, subresource: str) -> Value:
    """Return the new object with the parts that this request cannot change taken from the old one."""
    if subresource == "status":
        status_metadata = {**old["metadata"], **_status_metadata(kind, new["metadata"])}
        rest = {**old, "metadata": status_metadata}
        if kind.custom is None or "status" in new:
            return {**rest, "status": new.get("status", {})}
        return {key: part for key, part in rest.items() if key != "status"}
    kept = {**new, "metadata": _metadata(old["metadata"], new["metadata"])}
    if "status" in kind.subresources:
        kept.pop("status", None)
        kept |= {"status": old["status"]} if "status" in old else {}
    return _addresses(old, kept) if kind is kinds.SERVICE else kept


def _status_metadata(kind: kinds.Kind, new: Value) -> Value:
    """Labels and annotations of a status update are taken over, as the real server does; not those of custom kinds."""
    taken = ("labels", "annotations", "managedFields") if kind.custom is None else ("managedFields",)
    return {key: new[key] for key in taken if key in new}


def _metadata(old: Value, new: Value) -> Value:
    kept = {key: value for key, value in new.items() if key not in _SERVER_OWNED}
    return kept | {key: old[key] for key in _SERVER_OWNED if key in old}


_ADDRESS_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


def _addresses(old: Value, new: Value) -> Value:
    """Keep a service's addresses over an update that does not speak of them."""
    if new["spec"].get("type") == "ExternalName":
        return new
    said = {key: value for key, value in new["spec"].items() if value not in ("", [])}
    return {**new, "spec": {k: old["spec"][k] for k in _ADDRESS_FIELDS if k in old["spec"]} | said}


def check(kind: kinds.Kind, old: Value, new: Value) -> list[status.Cause]:
    """Return the changes that are refused."""
    causes = list(_finalizers(old["metadata"], new["metadata"]))
    return causes + list(BY_KIND.get(kind, _anything)(old, new))


def _finalizers(old: Value, new: Value) -> Causes:
    added = set(new.get("finalizers") or ()) - set(old.get("finalizers") or ())
    if old.get("deletionTimestamp") and added:
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
        yield status.forbidden_field("metadata.finalizers", why)


def _anything(_old: Value, _new: Value) -> Causes:
    return iter(())


_POD_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _pod(old: Value, new: Value) -> Causes:
    if _fixed(old["spec"]) != _fixed(new["spec"]):
        yield status.forbidden_field("spec", _POD_MAY_CHANGE)


def _fixed(spec: Value) -> Value:
    fixed = {key: value for key, value in spec.items() if key not in {"activeDeadlineSeconds", "tolerations"}}
    for group in ("containers", "initContainers"):
        if group in fixed:
            fixed[group] = [{k: v for k, v in each.items() if k != "image"} for each in fixed[group]]
    return fixed


def _same(*paths: str) -> Callable[[Value, Value], Causes]:
    def causes(old: Value, new: Value) -> Causes:
        for path in paths:
            if _at(old, path) != _at(new, path):
                yield status.bad(path, _at(new, path), IMMUTABLE)

    return causes


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


_STATEFUL_SET_MAY_CHANGE = frozenset(
    {
        *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds"),
        "persistentVolumeClaimRetentionPolicy",
    }
)


def _stateful_set(old: Value, new: Value) -> Causes:
    fixed = [{k: v for k, v in each["spec"].items() if k not in _STATEFUL_SET_MAY_CHANGE} for each in (old, new)]
    if fixed[0] != fixed[1]:
        why = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        yield status.forbidden_field("spec", why)


def _service(old: Value, new: Value) -> Causes:
    was = old["spec"].get("clusterIP")
    if was and new["spec"].get("type") != "ExternalName" and new["spec"].get("clusterIP") != was:
        yield status.bad("spec.clusterIPs[0]", [new["spec"].get("clusterIP")], "may not change once set")


def _data(old: Value, new: Value) -> Causes:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield status.forbidden_field("immutable", "field is immutable when `immutable` is set")
    for part in ("data", "binaryData"):
        if (old.get(part) or {}) != (new.get(part) or {}):
            yield status.forbidden_field(part, "field is immutable when `immutable` is set")


def _secret(old: Value, new: Value) -> Causes:
    yield from _same("type")(old, new)
    yield from _data(old, new)


BY_KIND: Mapping[kinds.Kind, Callable[[Value, Value], Causes]] = {
    kinds.POD: _pod,
    kinds.SERVICE: _service,
    kinds.DEPLOYMENT: _same("spec.selector"),
    kinds.REPLICA_SET: _same("spec.selector"),
    kinds.DAEMON_SET: _same("spec.selector"),
    kinds.STATEFUL_SET: _stateful_set,
    kinds.CUSTOM_RESOURCE_DEFINITION: definition_validation.changed,
    kinds.JOB: _same("spec.completions", "spec.selector", "spec.template", "spec.completionMode"),
    kinds.ENDPOINT_SLICE: _same("addressType"),
    kinds.CONFIG_MAP: _data,
    kinds.SECRET: _secret,
}
