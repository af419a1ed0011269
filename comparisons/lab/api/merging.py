"""Merges what server-side apply states into the stored object, and takes away what is stated no more. Pure."""

from typing import Any

from comparisons.lab.api import fieldsets, shapes

Value = dict[str, Any]


def merged(shape: str, live: Value, stated: Value) -> Value:
    """Return the object with every stated field as stated; the rest stays."""
    if not isinstance(stated, dict):  # an item of a custom kind that is of the wrong type: validation will say so
        return stated
    result = dict(live)
    for name, value in stated.items():
        field = shapes.field(shape, name)
        result[name] = value if field is None or name not in live else _field(field, live[name], value)
    return result


def _field(field: shapes.Field, live: Any, stated: Any) -> Any:
    if field.atomic or not isinstance(live, type(stated)):
        return stated
    if isinstance(stated, dict):
        if field.kind.startswith(shapes.MAP):
            item = shapes.entry(field.item)
            return {**live, **{k: _field(item, live[k], v) if k in live else v for k, v in stated.items()}}
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
        value = _without(shapes.entry(shape), value, path)
    return value


def _without(within: shapes.Field, value: Value, path: fieldsets.Path) -> Value:
    name = path[0].removeprefix("f:")
    if name not in value:
        return value
    rest = {key: item for key, item in value.items() if key != name}
    if len(path) == 1:
        return rest
    is_map = within.kind.startswith(shapes.MAP)
    field = shapes.entry(within.item) if is_map else shapes.field(within.kind, name)
    left = _below(field, value[name], path[1:])
    return {**value, name: left} if left not in ({}, [], None) else rest


def _below(field: shapes.Field | None, value: Any, path: fieldsets.Path) -> Any:
    if isinstance(value, list) and field is not None:
        return _items_without(field, value, path)
    return value if field is None or not isinstance(value, dict) else _without(field, value, path)


def _items_without(field: shapes.Field, items: list[Any], path: fieldsets.Path) -> list[Any]:
    named = [(fieldsets.element(item, field), item) for item in items]
    if len(path) == 1:
        return [item for name, item in named if name != path[0]]
    below = shapes.entry(field.item)
    return [_without(below, item, path[1:]) if name == path[0] else item for name, item in named]
