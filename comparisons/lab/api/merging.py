"""Merges what server-side apply states into the stored object, and takes away what is stated no more. Pure."""

from typing import Any

from comparisons.lab.api import fieldsets, shapes

Value = dict[str, Any]


def merged(shape: str, live: Value, stated: Value) -> Value:
    """Return the object with every stated field as stated; the rest stays."""
    known = shapes.fields(shape)
    result = dict(live)
    for name, value in stated.items():
        field = known.get(name)
        result[name] = value if field is None or name not in live else _field(field, live[name], value)
    return result


def _field(field: shapes.Field, live: Any, stated: Any) -> Any:
    if field.atomic or not isinstance(live, type(stated)):
        return stated
    if isinstance(stated, dict):
        if field.kind.startswith(shapes.MAP):
            return {**live, **stated}
        return merged(field.kind, live, stated) if shapes.is_struct(field.kind) else stated
    if isinstance(stated, list):
        return _items(field, live, stated)
    return stated


def _items(field: shapes.Field, live: list[Any], stated: list[Any]) -> list[Any]:
    """Stated items in their order, after those that others put there."""
    if not field.keys and not field.is_set:
        return stated
    present = {fieldsets.element(item, field): item for item in live}
    names = [fieldsets.element(item, field) for item in stated]
    wanted = dict(zip(names, stated, strict=True))
    rest = [item for name, item in present.items() if name not in wanted]
    if not field.keys:
        return [*rest, *stated]
    in_place = [name for name in present if name in wanted]
    if len(in_place) == len(wanted):  # nothing new: the order stays as it is
        return [merged(field.item, item, wanted[name]) if name in wanted else item for name, item in present.items()]
    return [*rest, *(merged(field.item, present.get(name, {}), item) for name, item in wanted.items())]


def pruned(shape: str, value: Value, paths: list[fieldsets.Path]) -> Value:
    """Return the object without the fields at these paths."""
    for path in paths:
        value = _without(shapes.fields(shape), value, path)
    return value


def _without(known: dict[str, shapes.Field], value: Value, path: fieldsets.Path) -> Value:
    name = path[0].removeprefix("f:")
    if name not in value:
        return value
    rest = {key: item for key, item in value.items() if key != name}
    if len(path) == 1:
        return rest
    left = _below(known.get(name), value[name], path[1:])
    return {**value, name: left} if left not in ({}, [], None) else rest


def _below(field: shapes.Field | None, value: Any, path: fieldsets.Path) -> Any:
    if field is None:
        return value
    if isinstance(value, list):
        return _items_without(field, value, path)
    return _without(shapes.fields(field.kind), value, path)


def _items_without(field: shapes.Field, items: list[Any], path: fieldsets.Path) -> list[Any]:
    named = [(fieldsets.element(item, field), item) for item in items]
    if len(path) == 1:
        return [item for name, item in named if name != path[0]]
    below = shapes.fields(field.item)
    return [_without(below, item, path[1:]) if name == path[0] else item for name, item in named]
