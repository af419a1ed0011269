"""Strategic merge patch: merge patch that knows which lists have named items.

Directives: ``$patch: replace|delete|merge``, ``$deleteFromPrimitiveList/<field>``, ``$setElementOrder/<field>``,
``$retainKeys``. Rules: k8s.io/apimachinery/pkg/util/strategicpatch; the keys are in ``shapes``. Pure: neither
argument is changed.
"""

from collections.abc import Iterable
from typing import Any

from comparisons.lab.api import shapes

Value = dict[str, Any]

DIRECTIVE, RETAIN = "$patch", "$retainKeys"
ORDER, DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"


class BadPatch(ValueError):  # noqa: N818  # it reads as what happened
    """The patch is not possible; the text says why."""


def merge(shape: str, original: Value, patch: Value) -> Value:
    """``original`` with the patch applied; raises BadPatch."""
    match patch.get(DIRECTIVE):
        case "replace":
            replaced: Value = _plain(patch)
            return replaced
        case "delete":
            return {}
        case None | "merge":
            return _merge_fields(shape, original, patch)
        case other:
            raise BadPatch(f"Unknown patch type found: {other}")


def _merge_fields(shape: str, original: Value, patch: Value) -> Value:
    retained = patch.get(RETAIN)
    merged = {k: v for k, v in original.items() if retained is None or k in retained}
    known = shapes.fields(shape)
    for name in (key for key in patch if not key.startswith("$")):
        field = known.get(name)
        value = _merge_field(field, merged.get(name), patch[name])
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    for key in patch:
        _list_directive(known, merged, key, patch[key])
    return merged


def _merge_field(field: shapes.Field | None, original: Any, patch: Any) -> Any:
    if isinstance(patch, dict):
        shape = _shape(field)
        return merge(shape, original if isinstance(original, dict) else {}, patch)
    if isinstance(patch, list) and field is not None:
        if field.keys:
            return _merge_items(field, _list(original), patch)
        if field.is_set:
            return [*_list(original), *(each for each in patch if each not in _list(original))]
    return _plain(patch)


def _shape(field: shapes.Field | None) -> str:
    return field.kind if field is not None else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge_items(field: shapes.Field, original: list[Any], patch: list[Any]) -> list[Any]:
    key = field.keys[0]
    if any(isinstance(item, dict) and item.get(DIRECTIVE) == "replace" and key not in item for item in patch):
        return [_plain(item) for item in patch if not (item.get(DIRECTIVE) == "replace" and key not in item)]
    merged = list(original)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise BadPatch(f"map: {item} does not contain declared merge key: {key}")
        merged = _merge_item(field, merged, item)
    return merged


def _merge_item(field: shapes.Field, items: list[Any], patch: Value) -> list[Any]:
    key = field.keys[0]
    same = [index for index, item in enumerate(items) if isinstance(item, dict) and item.get(key) == patch[key]]
    if patch.get(DIRECTIVE) == "delete":
        return [item for index, item in enumerate(items) if index not in same]
    if not same:
        return [*items, merge(field.item, {}, patch)]
    changed = list(items)
    changed[same[0]] = merge(field.item, items[same[0]], patch)
    return changed


def _list_directive(known: dict[str, shapes.Field], merged: Value, key: str, wanted: Any) -> None:
    if key.startswith(DELETE_FROM):
        name = key.removeprefix(DELETE_FROM)
        merged[name] = [each for each in _list(merged.get(name)) if each not in wanted]
    elif key.startswith(ORDER):
        name = key.removeprefix(ORDER)
        if name in merged and name in known:
            merged[name] = _ordered(known[name], merged[name], wanted)


def _ordered(field: shapes.Field, items: list[Any], wanted: Iterable[Any]) -> list[Any]:
    """Items in the asked order; those that the order does not name keep their place behind it."""
    names = [_item_name(field, each) for each in wanted]

    def rank(item: Any) -> int:
        name = _item_name(field, item)
        return names.index(name) if name in names else len(names)

    return sorted(items, key=rank)


def _item_name(field: shapes.Field, item: Any) -> Any:
    return item.get(field.keys[0]) if field.keys and isinstance(item, dict) else item


def _plain(value: Any) -> Any:
    """Return a value without directives and nulls, to be taken as it is."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value if not (isinstance(each, dict) and each.get(DIRECTIVE) == "delete")]
    return value
