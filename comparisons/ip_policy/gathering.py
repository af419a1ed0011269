"""A cluster's state at one moment: from its API server, from files, or from both.

Here so that ``explain`` and ``render`` answer for what is, and for what would be if a file were applied. A file's
object takes the place of the cluster's of the same name. Leaves out watching (``agent``).
"""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from comparisons.ip_policy import agent, errors, model, reading
from ipseity import kube

Json = Mapping[str, Any]
PATHS = {
    "Pod": kube.PODS.path,
    "Namespace": agent.NAMESPACES.path,
    "NetworkPolicy": agent.POLICIES.path,
    "Node": kube.NODES.path,
}


async def from_cluster(kubeconfig: str | None) -> list[Json]:
    """Ask an API server for everything that decides."""
    api = await kube.connect(kubeconfig)
    found: list[Json] = []
    try:
        for kind, path in PATHS.items():
            items = json.loads(await kube.get(api, path)).get("items") or ()
            found += [{**each, "kind": kind} for each in items]
    finally:
        await api.close()
    return found


def from_files(paths: Iterable[str]) -> list[Json]:
    """Read manifests: YAML or JSON, several documents, Lists. What does not decide is passed over."""
    return [each for path in paths for each in _documents(path)]


def _documents(path: str) -> Iterator[Json]:
    try:
        read = list(yaml.safe_load_all(pathlib.Path(path).read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error).replace("\n", " ")
        raise errors.PolicyError(
            f"cannot read {path}: {words}", hint="give a manifest, as kubectl apply takes it"
        ) from error
    for document in read:
        if isinstance(document, dict):
            yield from (each for each in _unpacked(document) if each.get("kind") in PATHS)
        elif document is not None:
            raise errors.PolicyError(
                f"{path}: {type(document).__name__} where a Kubernetes object was expected",
                hint="give a manifest, as kubectl apply takes it",
            )


def _unpacked(document: Json) -> Iterator[Json]:
    if str(document.get("kind", "")).endswith("List"):
        yield from (each for each in document.get("items") or () if isinstance(each, dict))
    else:
        yield document


def state(objects: Iterable[Json]) -> model.State:
    """Make a state of objects; the last one of a name wins. PolicyError names the one that cannot be read."""
    by_name: dict[tuple[str, str, str], Json] = {}
    for each in objects:
        metadata = each.get("metadata") or {}
        home = "" if each["kind"] in {"Namespace", "Node"} else metadata.get("namespace") or "default"
        by_name[each["kind"], home, metadata.get("name") or ""] = each
    pods = [_read(reading.pod, _placed(each, key)) for key, each in by_name.items() if key[0] == "Pod"]
    namespaces = [_read(reading.namespace, each) for key, each in by_name.items() if key[0] == "Namespace"]
    nodes = [_read(reading.node, each) for key, each in by_name.items() if key[0] == "Node"]
    policies = [_read(reading.policy, each) for key, each in by_name.items() if key[0] == "NetworkPolicy"]
    return model.State(
        pods={pod.uid: pod for pod in pods},
        namespaces={each.name: each for each in namespaces},
        policies=model.ordered(policies),
        nodes={each.name: each for each in nodes},
    )


def _placed(it: Json, key: tuple[str, str, str]) -> Json:
    """Give a pod of a file what the API server would have given it."""
    metadata = it.get("metadata") or {}
    return {**it, "metadata": {"uid": "/".join(key), **metadata, "namespace": key[1]}}


def _read(read: Any, it: Json) -> Any:
    try:
        return read(it)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        name = (it.get("metadata") or {}).get("name", "without a name")
        words = f"there is no {error}" if isinstance(error, KeyError) else error
        raise errors.PolicyError(
            f"{it['kind']} {name}: {words}", hint="would the API server take it? kubectl apply --dry-run=server"
        ) from error
