"""Label and field selectors: text -> a predicate over objects.

The grammar is k8s.io/apimachinery/pkg/labels: ``a=b, a==b, a!=b, a in (x,y), a notin (x,y), a, !a``. Field selectors
know only ``=``, ``==`` and ``!=``, and only the fields in FIELDS, as on the real server.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from comparisons.lab.api import kinds, status

Predicate = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"^(?P<key>[^\s!=(),]+)\s+(?P<op>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=(),]+)\s*(?P<op>==|=|!=)\s*(?P<values>[^\s!=(),]*)$")
_EXISTS = re.compile(r"^(?P<op>!?)\s*(?P<key>[^\s!=(),]+)$")
_COMMA = re.compile(r",(?![^(]*\))")

_COMMON = ("metadata.name", "metadata.namespace")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
        *("status.phase", "status.podIP", "status.nominatedNodeName"),
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs": ("status.successful",),
    "replicasets": ("status.replicas",),
    "events": (
        *(
            f"involvedObject.{part}"
            for part in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        ),
        *("regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reportingController"),
        *("reason", "reportingComponent", "source", "type"),
    ),
}

STORED_AS = {
    "source": "source.component",
    "status.successful": "status.succeeded",
    "reportingController": "reportingComponent",
    **{f"regarding.{part}": f"involvedObject.{part}" for part in ("kind", "namespace", "name", "uid")},
}
"""Selectable names that are not the path of the field."""

ABSENT = {"spec.hostNetwork": "false", "spec.unschedulable": "false", "status.successful": "0", "status.replicas": "0"}
"""What a field that is not there reads as, other than the empty string."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    values: frozenset[str]
    wanted: bool
    """Whether a label with one of the values (or any, if there are none) must be there, or must not."""
    any_value: bool = False

    def admits(self, labels: Mapping[str, str]) -> bool:
        found = self.key in labels if self.any_value else labels.get(self.key) in self.values
        return found is self.wanted


def labels(text: str) -> Predicate:
    """Return a predicate for a label selector; raises Refused (400) if it cannot be read."""
    requirements = [_requirement(part.strip(), text) for part in _COMMA.split(text) if part.strip()]
    return lambda value: all(r.admits(value["metadata"].get("labels") or {}) for r in requirements)


def _requirement(part: str, whole: str) -> _Requirement:
    if found := _SET.match(part):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _Requirement(found["key"], values, found["op"] == "in")
    if found := _EQUAL.match(part):
        return _Requirement(found["key"], frozenset({found["values"]}), found["op"] != "!=")
    if found := _EXISTS.match(part):
        return _Requirement(found["key"], frozenset(), not found["op"], any_value=True)
    raise status.bad_request(f'unable to parse requirement: found {part!r} in label selector "{whole}"')


def matches(selector: Mapping[str, Any] | None, labels_: Mapping[str, str]) -> bool:
    """Whether a ``LabelSelector`` object admits these labels. None admits nothing, an empty one everything."""
    if selector is None:
        return False
    same = all(labels_.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return same and all(_expression(each, labels_) for each in selector.get("matchExpressions") or ())


def _expression(expression: Mapping[str, Any], labels_: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator in {"Exists", "DoesNotExist"}:
        return (key in labels_) is (operator == "Exists")
    return (labels_.get(key) in (expression.get("values") or ())) is (operator == "In")


def fields(kind: kinds.Kind, text: str) -> Predicate:
    """Return a predicate for a field selector; raises Refused (400) for a field that cannot be asked for."""
    terms = list(_terms(kind, text))
    return lambda value: all((_look_up(value, path) == wanted) is equal for path, wanted, equal in terms)


def _terms(kind: kinds.Kind, text: str) -> Iterator[tuple[str, str, bool]]:
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        found = re.match(r"^([^!=]+?)\s*(==|=|!=)\s*(.*)$", part)
        if not found:
            raise status.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path = found[1]
        more = FIELDS.get(kind.plural, ()) if kind.custom is None else kind.custom.selectable
        if path not in _COMMON and path not in more:
            raise status.bad_request(f"field label not supported: {path}")
        yield path, found[3], found[2] != "!="


def _look_up(value: Any, path: str) -> str:
    for part in STORED_AS.get(path, path).split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return ABSENT.get(path, "") if value is None else str(value)
