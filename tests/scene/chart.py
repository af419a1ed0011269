"""The chart, rendered by Helm's own engine, as lists of objects.

Leaves out what must be in them: ``tests/golden/deploy`` and ``tests/contract/deploy``.
"""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import helm_python
import yaml

from tests.scene import clone

CHART = clone.ROOT / "deploy/chart"
CRDS = clone.ROOT / "deploy/crds"
NAMESPACE = "ipseity-system"
Json = dict[str, Any]

_ORDER = (
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Service",
    "DaemonSet",
    "Deployment",
)
"""What others need comes first; what is not listed comes last."""


@functools.cache
def loaded() -> helm_python.Chart:
    """Load it once: Helm's engine is 80 MB."""
    return helm_python.Chart.load(str(CHART))


def rendered(values: Json | None = None, *, namespace: str = NAMESPACE) -> list[Json]:
    """Render, with the values merged as an installation does. Raises HelmError."""
    chart = loaded()
    chart.validate_schema(values or {})
    files = chart.render(values or {}, name="ipseity", namespace=namespace, is_install=True)
    found = [each for path, text in sorted(files.items()) if path.endswith(".yaml") for each in documents(text)]
    return sorted(found, key=_rank)


def _rank(each: Json) -> tuple[int, str, str]:
    kind = each["kind"]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind, each["metadata"]["name"])


def documents(text: str) -> Iterator[Json]:
    """Read a stream of YAML, without what is empty."""
    return (each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each)


def definitions() -> list[Json]:
    """Give the CustomResourceDefinitions."""
    return [each for path in sorted(CRDS.glob("*.yaml")) for each in documents(path.read_text())]


class _Plain(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(objects: list[Json]) -> str:
    """Write objects as one stream of YAML."""
    return yaml.dump_all(objects, Dumper=_Plain, sort_keys=False, width=110, explicit_start=True)


def find(objects: list[Json], kind: str, name: str) -> Json:
    """Find an object; there is exactly one."""
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def values_of(path: pathlib.Path) -> Json:
    """Read a file of values."""
    return dict(json.loads(json.dumps(yaml.load(path.read_text(), Loader=yaml.CSafeLoader) or {})))
