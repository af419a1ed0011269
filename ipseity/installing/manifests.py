"""What is installed: the manifests that come with this version, as objects in the order in which they are applied.

Here because they are made from the chart (``deploy/chart``), so that who installs without Helm gets the same. Pure but
for reading these files. Leaves out applying.
"""

import dataclasses
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What an installation says beside the defaults. Keys are parts."""

    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """In place of the version's own; the mesh's is also that of sidecars."""
    pull_policy: str = ""
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in our namespace."""
    settings: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """By their names in docs/cli.md: ``max_edges``."""


_SPEAKERS: Final = {"agent": "agent", "mesh": "control-plane"}
"""Part -> the container that has its settings."""
_PROXY_POLICY: Final = "IPSEITY_PROXY_IMAGE_PULL_POLICY"


def chosen(parts: Sequence[str], choices: Choices) -> list[Json]:
    """Give all objects of these parts, in order, with what was chosen."""
    objects = [namespace(), *(definitions() if "mesh" in parts else [])]
    for part in parts:
        objects += [_adapted(each, part, choices) for each in of(part)]
    return objects


def _adapted(each: Json, part: str, choices: Choices) -> Json:
    template = each.get("spec", {}).get("template")
    if not isinstance(template, dict):
        return each
    spec = template["spec"]
    if choices.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in choices.pull_secrets]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        _with_image(container, choices.images.get(part, ""))
        if choices.pull_policy:
            container["imagePullPolicy"] = choices.pull_policy
    (speaker,) = (each for each in spec["containers"] if each["name"] == _SPEAKERS[part])
    said = {f"IPSEITY_{name.upper()}": value for name, value in choices.settings.get(part, {}).items()}
    if part == "mesh" and choices.pull_policy:
        said = {_PROXY_POLICY: choices.pull_policy, **said}
    if said:
        kept = [variable for variable in speaker.get("env", ()) if variable["name"] not in said]
        speaker["env"] = [*kept, *({"name": name, "value": value} for name, value in said.items())]
    return each


def _with_image(container: Json, image: str) -> None:
    """Run another image, also in sidecars where they run the control plane's."""
    if not image:
        return
    own, container["image"] = container["image"], image
    for variable in container.get("env", ()):
        if variable.get("value") == own:
            variable["value"] = image


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
