"""CustomResourceDefinitions as the tests make them: one group for each test, gone with it."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import Any

from tests.contract.kubernetes_api import cluster

Value = dict[str, Any]

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

COLUMNS = [
    {"name": "Action", "type": "string", "jsonPath": ".spec.action"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
    {"name": "Seen", "type": "date", "jsonPath": ".status.seen"},
]
SPEC: Value = {
    "type": "object",
    "required": ["action"],
    "properties": {
        "action": {"type": "string", "enum": ["Allow", "Audit"], "description": "What becomes of a caller."},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 7, "default": 3},
        "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
        "ports": {
            "type": "array",
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["number"],
            "items": {
                "type": "object",
                "required": ["number"],
                "properties": {"number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
            },
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "target": {"x-kubernetes-int-or-string": True},
        "maybe": {"type": "string", "nullable": True},
        "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "choice": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
    },
}
STATUS: Value = {
    "type": "object",
    "properties": {
        "seen": {"type": "string", "format": "date-time"},
        "replicas": {"type": "integer"},
        "selector": {"type": "string"},
        "conditions": {
            "type": "array",
            "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
        },
    },
}


def schema(spec: Value | None = None, **more: Any) -> Value:
    """Return a schema with that spec."""
    return {"type": "object", "properties": {"spec": spec or SPEC, "status": STATUS}, **more}


def version(name: str = "v1", *, storage: bool = True, spec: Value | None = None, **more: Any) -> Value:
    """Return a version with status, scale and columns."""
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    made = {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema(spec)},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": COLUMNS,
    }
    return made | more


def definition(group: str, *versions: Value, scope: str = "Namespaced", **names: Any) -> Value:
    """Return a definition of ``gates`` in a group."""
    said = {"plural": "gates", "singular": "gate", "kind": "Gate", "shortNames": ["gt"], "categories": ["all"]} | names
    spec = {"group": group, "scope": scope, "names": said, "versions": list(versions or (version(),))}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{said['plural']}.{group}"},
        "spec": spec,
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A group of a test's own."""

    name: str
    namespace: str
    api: cluster.Cluster

    def path(self, version: str = "v1", namespace: str | None = None) -> str:
        """Return the path of the namespace's gates."""
        return f"/apis/{self.name}/{version}/namespaces/{namespace or self.namespace}/gates"

    def gate(self, name: str = "g", *, version: str = "v1", **spec: Any) -> Value:
        """Return a gate."""
        head = {"apiVersion": f"{self.name}/{version}", "kind": "Gate"}
        return {**head, "metadata": {"name": name}, "spec": {"action": "Allow", **spec}}

    async def define(self, *versions: Value, **more: Any) -> Value:
        """Create the definition and wait until it is served."""
        made = await self.api.create(PATH, definition(self.name, *versions, **more))
        return await self.established(made["metadata"]["name"])

    async def until_served(self, version: str) -> None:
        """Wait until discovery has a version; nothing tells when."""
        for _ in range(200):
            if (await self.api.get(f"/apis/{self.name}/{version}")).code == 200:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name}/{version} is not served")

    async def established(self, name: str) -> Value:
        """Wait until a definition is served."""
        return await self.api.until(PATH, established, fieldSelector=f"metadata.name={name}")


def established(found: Value) -> bool:
    """Whether a definition says that it is served."""
    conditions = found.get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


@contextlib.asynccontextmanager
async def group(api: cluster.Cluster, namespace: str) -> AsyncIterator[Group]:
    """Yield a group; its definitions go with the test."""
    made = Group(f"g{uuid.uuid4().hex[:10]}.contract.test", namespace, api)
    yield made
    for found in (await api.get(PATH)).expect(200)["items"]:
        if found["spec"]["group"] == made.name:
            await api.delete(f"{PATH}/{found['metadata']['name']}")
