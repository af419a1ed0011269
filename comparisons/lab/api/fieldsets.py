"""Sets of fields: which fields an object has, and the ``FieldsV1`` form in which ``managedFields`` keeps them.

A path is a tuple of elements as FieldsV1 spells them: ``f:spec``, ``k:{"name":"c"}``, ``v:"x"``. A set is a nested
dict, in which a member is a node without children, or one with the child ".". Rules:
sigs.k8s.io/structured-merge-diff. Leaves out who owns what: ``managing``, and the membership of a map or list as such
(".": {}) for whoever created it.
"""

import json
from collections.abc import Iterator
from typing import Any

from comparisons.lab.api import shapes

Value = dict[str, Any]
Path = tuple[str, ...]
Trie = dict[str, Any]

SELF = "."
UNMANAGED = frozenset(
    {
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
        *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
    }
)
"""Metadata that nobody owns: it is the server's."""


def leaves(value: Value, shape: str) -> dict[Path, Any]:
    """Every field that can be owned, with its value; for an item of a list its presence (None)."""
    return dict(_top(value, shape))


def _top(value: Value, shape: str) -> Iterator[tuple[Path, Any]]:
    for name, part in value.items():
        field = shapes.field(shape, name)
        if name in {"apiVersion", "kind"} or field is None:
            continue
        owned = {k: v for k, v in part.items() if k not in UNMANAGED} if name == "metadata" else part
        if owned or name not in {"metadata", "status", "spec"}:
            yield from _walk(owned, field, (f"f:{name}",))


def _walk(value: Any, field: shapes.Field, path: Path) -> Iterator[tuple[Path, Any]]:
    if field.atomic or not isinstance(value, (dict, list)) or not value:
        yield path, value
    elif isinstance(value, list):
        yield from _items(value, field, path)
    elif field.kind.startswith(shapes.MAP):
        for key, item in value.items():
            yield from _walk(item, shapes.entry(field.item), (*path, f"f:{key}"))
    elif shapes.is_struct(field.kind):
        yield from _struct(value, field.kind, path)
    else:
        yield path, value


def _items(value: list[Any], field: shapes.Field, path: Path) -> Iterator[tuple[Path, Any]]:
    if not field.keys and not field.is_set:  # a list where the schema speaks of none
        yield path, value
        return
    for item in value:
        here = (*path, element(item, field))
        yield here, None
        if field.keys and isinstance(item, dict) and field.item not in shapes.ATOMIC:
            yield from _struct(item, field.item, here)


def _struct(value: Value, shape: str, path: Path) -> Iterator[tuple[Path, Any]]:
    for name, item in value.items():
        field = shapes.field(shape, name)
        if field is not None:
            yield from _walk(item, field, (*path, f"f:{name}"))


def element(item: Any, field: shapes.Field) -> str:
    """How a path names an item of a list."""
    if not field.keys or not isinstance(item, dict):
        return "v:" + _json(item)
    return "k:" + _json({key: item.get(key, DEFAULT_KEYS.get(key, "")) for key in sorted(field.keys)})


DEFAULT_KEYS = {"protocol": "TCP"}
"""What a key is where the object does not say it."""


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def contains(trie: Trie, path: Path) -> bool:
    """Whether the path is a member."""
    node: Any = trie
    for part in path:
        node = node.get(part)
        if node is None:
            return False
    return not node or SELF in node


def touches(trie: Trie, path: Path) -> bool:
    """Whether the path or anything below it is a member."""
    node: Any = trie
    for part in path:
        node = node.get(part)
        if node is None:
            return False
    return True


def add(trie: Trie, path: Path) -> None:
    """Make the path a member, in place."""
    node, fresh = trie, True
    for part in path:
        if not node and not fresh:
            node[SELF] = {}
        fresh = part not in node
        node = node.setdefault(part, {})
    if node:
        node[SELF] = {}


def remove(trie: Trie, path: Path) -> None:
    """Make the path no member, in place; what is below it stays."""
    chain = [trie]
    for part in path:
        child = chain[-1].get(part)
        if child is None:
            return
        chain.append(child)
    if chain[-1] and SELF not in chain[-1]:
        return
    chain[-1].pop(SELF, None)
    for node, part in zip(reversed(chain[:-1]), reversed(path), strict=True):
        if node[part]:
            break
        del node[part]
        if set(node) == {SELF}:
            del node[SELF]
            break


def trie_of(paths: Iterator[Path] | set[Path]) -> Trie:
    """Return a set as FieldsV1."""
    made: Trie = {}
    for path in paths:
        add(made, path)
    return made


def paths_of(trie: Trie, above: Path = ()) -> Iterator[Path]:
    """Return the members of a set."""
    for part, below in trie.items():
        if part != SELF:
            if not below or SELF in below:
                yield (*above, part)
            yield from paths_of(below, (*above, part))


def words(path: Path) -> str:
    """As a conflict names it: ``.spec.containers[name="c"].image``."""
    return "".join(_word(part) for part in path)


def _word(part: str) -> str:
    form, text = part[:2], part[2:]
    if form == "f:":
        return f".{text}"
    if form == "v:":
        return f"[={text}]"
    return "[" + ",".join(f"{key}={_json(value)}" for key, value in json.loads(text).items()) + "]"
