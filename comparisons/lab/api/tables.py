"""Objects as a client wants to see them: whole, as metadata only, or as a table's rows.

The client says so in its Accept header (``as=Table``). Leaves out what is in the cells: ``columns``.
"""

from typing import Any

import msgspec

from comparisons.lab import clock
from comparisons.lab.api import answers, columns, custom_columns, kinds, listing, store, watching

Value = dict[str, Any]

_META = "meta.k8s.io/v1"


def collection(kind: kinds.Kind, page: listing.Page, form: answers.Form, include: str, now_wall_ns: int) -> Value:
    """Return a page of a collection in the form asked for."""
    whole = listing.body(kind, page)
    match form:
        case answers.Form.TABLE:
            return {**_table(kind, page.items, include, now_wall_ns), "metadata": whole["metadata"]}
        case answers.Form.METADATA_LIST | answers.Form.METADATA:
            items = [metadata_only(item) for item in page.items]
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": _META,
                "metadata": whole["metadata"],
                "items": items,
            }
        case _:
            return whole


def single(kind: kinds.Kind, value: Value, form: answers.Form, include: str, now_wall_ns: int) -> Value:
    """One object in the form asked for."""
    match form:
        case answers.Form.TABLE:
            version = {"resourceVersion": value["metadata"].get("resourceVersion", "")}
            return {**_table(kind, [value], include, now_wall_ns), "metadata": version}
        case answers.Form.METADATA | answers.Form.METADATA_LIST:
            return metadata_only(value)
        case _:
            return value


def metadata_only(value: Value) -> Value:
    """Return an object's ``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": value["metadata"]}


def _table(kind: kinds.Kind, items: list[Value], include: str, now_wall_ns: int) -> Value:
    found = columns.of(kind) if kind.custom is None else custom_columns.of(kind.custom.columns)
    rows = [_row(found, item, include, now_wall_ns) for item in items]
    return {
        "kind": "Table",
        "apiVersion": _META,
        "columnDefinitions": [each.definition() for each in found],
        "rows": rows,
    }


def _row(found: tuple[columns.Column, ...], value: Value, include: str, now_wall_ns: int) -> Value:
    cells = [column.cell(value, now_wall_ns) for column in found]
    match include:
        case "None":
            return {"cells": cells}
        case "Object":
            return {"cells": cells, "object": value}
        case _:
            return {"cells": cells, "object": metadata_only(value)}


def line_encoder(kind: kinds.Kind, form: answers.Form, include: str) -> watching.Encode:
    """How a watch writes its events in the form asked for."""
    if form is answers.Form.OBJECT:
        return watching.plain

    def encode(event_type: store.EventType, value: Value, _known: bytes | None) -> bytes:
        shown = single(kind, value, form, include, clock.wall_ns())
        return watching.plain(event_type, value, msgspec.json.encode(shown))

    return encode
