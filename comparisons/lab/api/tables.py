"""Objects as a client wants to see them: whole, as metadata, or as a table's rows."""

from typing import Any

from comparisons.lab.api import answers, kinds, listing, store, watching

Value = dict[str, Any]


def collection(kind: kinds.Kind, page: listing.Page, form: answers.Form, include: str, now_wall_ns: int) -> Value:
    """A page of a collection in the form asked for."""
    _ = form, include, now_wall_ns
    return listing.body(kind, page)


def single(kind: kinds.Kind, value: Value, form: answers.Form, include: str, now_wall_ns: int) -> Value:
    """One object in the form asked for."""
    _ = kind, form, include, now_wall_ns
    return value


def line_encoder(kind: kinds.Kind, form: answers.Form, include: str) -> watching.Encode:
    """How a watch writes its events in the form asked for."""
    _ = kind, form, include, store
    return watching.plain
