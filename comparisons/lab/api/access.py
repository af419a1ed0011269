"""What a pod gets to reach the API: its service account's name, and the volume with token, certificates and namespace.

As the ServiceAccount admission of the real server (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount): the volume
is put into the pod object, where everybody sees it. Pure, and harmless twice: containers that a webhook adds get
theirs when it is asked again. Leaves out token Secrets (gone since 1.24) and ``enforce-mountable-secrets``.
"""

from collections.abc import Iterator
from typing import Any

from comparisons.lab.api import names

Value = dict[str, Any]

DEFAULT = "default"
VOLUME = "kube-api-access-"
PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_S = 3607
"""Not an hour: a lifetime that nobody else asks for, by which the issuer knows this token."""
ROOT_CA = "kube-root-ca.crt"


def account_of(pod: Value) -> str:
    """Return the name of the service account that a pod runs as."""
    spec = pod.get("spec") or {}
    name: str = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
    return name


def give(pod: Value, account: Value) -> None:
    """Complete a pod's spec in place."""
    spec = pod["spec"]
    spec["serviceAccountName"] = spec["serviceAccount"] = account["metadata"]["name"]
    if _wanted(spec, account):
        _mount(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]


def _wanted(spec: Value, account: Value) -> bool:
    """Tell whether there shall be a token: what the pod says, else what its account says, else yes."""
    said = (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken"))
    return next((each for each in said if each is not None), True)


def _mount(spec: Value) -> None:
    present = (each["name"] for each in spec.get("volumes") or () if each.get("name", "").startswith(VOLUME))
    name = next(present, None)
    without = list(_without(spec))
    if name is None and without:
        name = VOLUME + names.suffix()
        spec.setdefault("volumes", []).append(_volume(name))
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _without(spec: Value) -> Iterator[Value]:
    """Yield the containers that have nothing mounted there: what they have themselves stays."""
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        if PATH not in [mount.get("mountPath") for mount in container.get("volumeMounts") or ()]:
            yield container


def _volume(name: str) -> Value:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_S, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
