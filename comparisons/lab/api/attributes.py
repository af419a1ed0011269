"""One write as admission sees it: what is done to which object, by whom, before and after.

Pure values, made by ``registry`` and read by ``admission``. Names are those of k8s.io/apiserver's
``admission.Attributes``. Leaves out what is decided about it.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from comparisons.lab.api import change, kinds

Value = dict[str, Any]


class Operation(enum.StrEnum):
    """What rules name. CONNECT is known to rules and never happens: the lab has neither exec nor proxies."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """One write of one object."""

    operation: Operation
    resource: kinds.Kind
    """What the path names. ``group_version_kind`` is what the body is."""
    group_version_kind: tuple[str, str, str]
    subresource: str
    namespace: str
    """Of a namespace itself: its own name, as the real server has it."""
    name: str
    """"" for a creation with ``generateName`` alone, and for each object of a deleted collection."""
    object: Value | None
    """None for a deletion."""
    old: Value | None
    """None for a creation."""
    options: Value
    write: change.Change

    def with_object(self, value: Value) -> "Attributes":
        """Return the same write of another object, whose name is known by now."""
        name = self.name or str((value.get("metadata") or {}).get("name", ""))
        return dataclasses.replace(self, object=value, name=name)


def creation(kind: kinds.Kind, namespace: str, value: Value, write: change.Change) -> Attributes:
    """Return the write that makes a new object, named by itself or not at all."""
    name = value["metadata"].get("name", "")
    return _of(kind, Operation.CREATE, (namespace, name), (value, None), write)


def update(kind: kinds.Kind, key: tuple[str, str], old: Value, new: Value, write: change.Change) -> Attributes:
    """Return the write that changes an object, or a subresource that is the object itself (``status``)."""
    return _of(kind, Operation.UPDATE, key, (new, old), write)


def deletion(kind: kinds.Kind, key: tuple[str, str], old: Value, options: Value, write: change.Change) -> Attributes:
    """Return the write that ends an object; ``options`` are the fields of its DeleteOptions."""
    made = _of(kind, Operation.DELETE, key, (None, old), write)
    return dataclasses.replace(made, options={**made.options, **options})


def subresource(
    kind: kinds.Kind, key: tuple[str, str], body: Value, write: change.Change, old: Value | None = None
) -> Attributes:
    """Return the write of a body of another kind: posted (a Binding), or put in the place of ``old`` (a Scale)."""
    operation = Operation.CREATE if old is None else Operation.UPDATE
    made = _of(kind, operation, key, (body, old), write)
    group, _, version = body["apiVersion"].rpartition("/")
    return dataclasses.replace(made, group_version_kind=(group, version, body["kind"]))


def _of(
    kind: kinds.Kind,
    operation: Operation,
    key: tuple[str, str],
    values: tuple[Value | None, Value | None],
    write: change.Change,
) -> Attributes:
    namespace, name = key
    return Attributes(
        operation=operation,
        resource=kind,
        group_version_kind=(kind.group, kind.version, kind.kind),
        subresource=write.subresource,
        namespace=name if kind is kinds.NAMESPACE else namespace,
        name=name,
        object=values[0],
        old=values[1],
        options=options(operation, write.options, dry_run=write.dry_run),
        write=write,
    )


_OPTIONS: Mapping[Operation, str] = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}


def options(operation: Operation, said: Mapping[str, str], *, dry_run: bool) -> Value:
    """Return the request's options as a review carries them. A PATCH has those of the create or update it is."""
    head: Value = {"kind": _OPTIONS[operation], "apiVersion": "meta.k8s.io/v1"}
    return head | ({"dryRun": ["All"]} if dry_run else {}) | dict(said if operation is not Operation.DELETE else {})
