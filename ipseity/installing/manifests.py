"""What is installed: the manifests that come with this version, as objects in the order in which they are applied.

Here because they are made from the chart (``deploy/chart``), so that who installs without Helm gets the same. Pure but
for reading these files. Leaves out applying.
"""

import importlib.resources
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

Json = dict[str, Any]

MANAGER: Final = "ipseity"
"""Of the fields that we apply, and what ``app.kubernetes.io/managed-by`` says."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
NAMESPACE: Final = "ipseity-system"
PARTS: Final = ("agent", "mesh")
_KINDS: Final = {
    "Namespace": "api/v1/namespaces",
    "ServiceAccount": "api/v1/serviceaccounts",
    "Service": "api/v1/services",
    "ConfigMap": "api/v1/configmaps",
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "apis/rbac.authorization.k8s.io/v1/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/rolebindings",
    "NetworkPolicy": "apis/networking.k8s.io/v1/networkpolicies",
    "PodDisruptionBudget": "apis/policy/v1/poddisruptionbudgets",
    "DaemonSet": "apis/apps/v1/daemonsets",
    "Deployment": "apis/apps/v1/deployments",
    "MutatingWebhookConfiguration": "apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
}
"""Kind -> collection."""


def path(each: Mapping[str, Any]) -> str:
    """Give the path of an object."""
    collection, metadata = _KINDS[each["kind"]], each["metadata"]
    if "namespace" not in metadata:
        return f"/{collection}/{metadata['name']}"
    version, _, plural = collection.rpartition("/")
    return f"/{version}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def shown(each: Mapping[str, Any]) -> str:
    """Name an object as kubectl does."""
    return f"{each['kind'].lower()}/{each['metadata']['name']}"


def definitions() -> list[Json]:
    """Give the kinds of the mesh."""
    return _read("crds")


def namespace() -> Json:
    """Give our own namespace."""
    (found,) = _read("namespace")
    return found


def of(part: str) -> list[Json]:
    """Give the objects of the agent or the mesh, what others need first."""
    return _read(part)


def chosen(parts: Sequence[str], images: Mapping[str, str]) -> list[Json]:
    """Give all objects of these parts, with images (part -> image) in place of the version's own."""
    objects = [namespace(), *(definitions() if "mesh" in parts else [])]
    for part in parts:
        objects += [_with_image(each, images[part]) if images.get(part) else each for each in of(part)]
    return objects


def _with_image(each: Json, image: str) -> Json:
    """Run another image in every container, and in sidecars where they run the control plane's."""
    template = each.get("spec", {}).get("template")
    if not isinstance(template, dict):
        return each
    for key in ("initContainers", "containers"):
        for container in template["spec"].get(key, ()):
            own, container["image"] = container["image"], image
            for variable in container.get("env", ()):
                if variable.get("value") == own:
                    variable["value"] = image
    return each


def written(objects: Sequence[Json]) -> str:
    """Write objects as YAML."""
    return yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=110)


def _read(name: str) -> list[Json]:
    return list(_documents(_folder() / f"{name}.yaml"))


def _folder() -> pathlib.Path:
    with importlib.resources.as_file(importlib.resources.files("ipseity") / "manifests") as folder:
        return folder


def _documents(file: pathlib.Path) -> Iterator[Json]:
    return (each for each in yaml.safe_load_all(file.read_text()) if each)
