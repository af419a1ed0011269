"""The Mesh resource of the Gateway API (GEP-3949; ``XMesh`` while it is experimental): what the status of each says.

Somebody makes one that names our controller; it is told that it was accepted, and which features there are
(``features``). Here because the conformance suite, and people, read there what a mesh can do. Leaves out the requests
(``service``); nothing can be set by it: we have no parameters for a whole mesh.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from injector.routes import attach, features, status

Json = Mapping[str, Any]
KIND: Final = "XMesh"
PATH: Final = "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes"


class Book:
    """Every one that was seen. One owner applies events; anybody may read."""

    def __init__(self) -> None:
        self._seen: dict[str, Json] = {}

    @property
    def items(self) -> Iterable[Json]:
        """As they were seen last."""
        return self._seen.values()

    def apply(self, item: Json) -> None:
        """Take one that is new or has changed."""
        self._seen[str(item["metadata"]["name"])] = item

    def forget(self, item: Json) -> None:
        """Take one that is gone."""
        name = str(item["metadata"]["name"])
        if name in self._seen and self._seen[name]["metadata"].get("uid") == item["metadata"].get("uid"):
            del self._seen[name]


def plan(items: Iterable[Json], *, namespace: str, now_text: str) -> Iterator[status.Write]:
    """Compare what each status should say with what it says. ``namespace``: ours. ``now_text``: RFC 3339."""
    for item in items:
        spec = item.get("spec")
        if not isinstance(spec, dict) or spec.get("controllerName") != status.CONTROLLER:
            continue  # the specification: others' are to be ignored
        wanted = _status(item, spec, namespace, now_text)
        said = item.get("status") or {}
        if {key: said.get(key) for key in wanted} != wanted:
            name = str(item["metadata"]["name"])
            yield status.Write(
                key=(KIND, "", name), path=f"{PATH}/{name}/status", body=status.patch(item["metadata"], wanted)
            )


def _status(item: Json, spec: Json, namespace: str, now_text: str) -> dict[str, Any]:
    metadata, said = item["metadata"], item.get("status") or {}
    accepted = _accepted(spec, namespace)
    condition = status.condition("Accepted", accepted, int(metadata.get("generation") or 0), said, now_text)
    named = [{"name": each} for each in features.FEATURES] if accepted.holds else []
    return {"conditions": [condition], "supportedFeatures": named}


def _accepted(spec: Json, namespace: str) -> attach.Condition:
    if spec.get("parametersRef") is not None:
        text = "spec.parametersRef: nothing of a whole mesh can be set; take it out"
        return attach.Condition(holds=False, reason="InvalidParameters", message=text)
    return attach.Condition(holds=True, reason="Accepted", message=f"accepted by ipseity in namespace {namespace}")
