"""What runs in our namespaces: a server, callers, and pods that do one thing and end.

As Pod Security ``restricted`` wants it, from the mesh's own image, so that nothing else has to be pulled. Pure, but for
reading the programs.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ipseity.installing import manifests
from tests.cluster import ground

Json = dict[str, Any]

_PROGRAMS: Final = pathlib.Path(__file__).parent / "programs"
_PYTHON: Final = "/usr/lib/ipseity/bin/python"
"""Of the image; it has no shell."""
_USER: Final = 4711
"""Nobody in particular, and not the proxy's."""
GRACE_S: Final = 10


def image(given: ground.Parameters) -> str:
    """Give the mesh's image, as it is installed."""
    if given.mesh_image:
        return given.mesh_image
    (control,) = (each for each in manifests.of("mesh") if each["kind"] == "Deployment")
    return str(control["spec"]["template"]["spec"]["containers"][0]["image"])


def namespace(name: str, run: str, *, inject: bool = False, enforce: str = "privileged") -> Json:
    """Give a namespace of ours. Injected pods need NET_ADMIN once, so Pod Security must let them."""
    labels = {ground.MARK: run, "pod-security.kubernetes.io/enforce": enforce}
    metadata: Json = {"name": name, "labels": labels}
    if inject:
        metadata["annotations"] = {"ipseity.io/inject": "enabled"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def pod_spec(
    given: ground.Parameters, program: str, environ: Mapping[str, str], *, packages: bool = False, **more: Any
) -> Json:
    """Give a pod that runs a program. ``packages``: with those of the image, not only the standard library."""
    text = (_PROGRAMS / f"{program}.py").read_text()
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    app = {
        "name": "app",
        "image": image(given),
        "command": [_PYTHON, "-I", *([] if packages else ["-S"]), "-c", text],
        "env": [
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *({"name": name, "value": value} for name, value in environ.items()),
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": security,
    }
    found: Json = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [{**app, **more.pop("container", {})}],
        **more,
    }
    if given.pull_policy:
        found["containers"][0]["imagePullPolicy"] = given.pull_policy
    if given.pull_secret:
        found["imagePullSecrets"] = [{"name": given.pull_secret.rpartition("/")[2]}]
    return found


def account(where: str, name: str) -> Json:
    """Give a service account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": where}}


def service(where: str, name: str, app: str, *, headless: bool = False) -> Json:
    """Give a Service of the server's ports."""
    ports = [{"name": "http", "port": 8080}, {"name": "tcp-bytes", "port": 7000}]
    spec: Json = {"selector": {"app": app}, "ports": ports, **({"clusterIP": "None"} if headless else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": where}, "spec": spec}


def deployment(
    where: str, name: str, spec: Json, *, replicas: int = 1, annotations: Mapping[str, str] | None = None
) -> Json:
    """Give a Deployment whose pods run as the account of its name."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels, "annotations": dict(annotations or {})}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {**template, "spec": {**spec, "serviceAccountName": name}},
        },
    }


def server(given: ground.Parameters, where: str, name: str, *, replicas: int = 1, **more: Any) -> list[Json]:
    """Give a server: account, Services (one headless), Deployment."""
    # Of a path of its own: what probes ask for is answered in every mode.
    probe = {"readinessProbe": {"httpGet": {"path": "/healthy", "port": 8080}, "periodSeconds": 1}}
    ports = {"ports": [{"name": "http", "containerPort": 8080}, {"name": "tcp-bytes", "containerPort": 7000}]}
    spec = pod_spec(given, "server", {}, container={**probe, **ports})
    return [
        account(where, name),
        service(where, name, name),
        service(where, f"{name}-pods", name, headless=True),
        deployment(where, name, spec, replicas=replicas, **more),
    ]


def caller(given: ground.Parameters, where: str, name: str, targets: Mapping[str, str]) -> list[Json]:
    """Give a caller of targets: account and Deployment."""
    spec = pod_spec(given, "caller", {"TARGETS": json.dumps(dict(targets))})
    return [account(where, name), deployment(where, name, spec)]


def once(
    given: ground.Parameters, where: str, name: str, program: str, environ: Mapping[str, str], **more: Any
) -> Json:
    """Give a pod that runs a program to its end."""
    spec = pod_spec(given, program, environ, restartPolicy="Never", **more)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": where}, "spec": spec}


def policy(where: str, name: str, app: str, accounts: Sequence[str]) -> Json:
    """Give a policy that admits accounts of its namespace to the pods of a Deployment."""
    sources = [{"type": "ServiceAccount", "serviceAccount": {"name": each}} for each in accounts]
    return {
        "apiVersion": "ipseity.io/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": {
            "targetRefs": [{"kind": "Pod", "selector": {"matchLabels": {"app": app}}}],
            "action": "ALLOW",
            "rules": [{"sources": sources}],
        },
    }
