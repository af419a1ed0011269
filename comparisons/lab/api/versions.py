"""Objects between the form in which they are stored and the one in which they are asked for.

Only custom kinds have several versions, and their conversion is ``None``: the ``apiVersion`` changes, nothing else.
What is read has the defaults of the version asked for and nothing that it does not know, as on the real server, so
that a changed schema takes effect on what was stored before. Events of ``events.k8s.io`` are those of the core group
under other names: ``event_views``. Pure.
"""

from typing import Any

from comparisons.lab.api import conforming, event_views, kinds

Value = dict[str, Any]


def shown(kind: kinds.Kind, stored: Value) -> Value:
    """Return a stored object as this version of its kind has it; the same one if there is but one form."""
    if kind is kinds.EVENT_VIEW:
        return event_views.shown(stored)
    if kind.custom is None:
        return stored
    body = conforming.pruned(kind.custom.schema, {k: v for k, v in stored.items() if k != "metadata"}, [])
    conforming.fill(kind.custom.schema, body)
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": stored["metadata"]}
    return {**head, **{key: part for key, part in body.items() if key not in head}}


def stored(kind: kinds.Kind, value: Value) -> Value:
    """Return an object as it is to be stored."""
    if kind is kinds.EVENT_VIEW:
        return event_views.stored(value)
    if kind.custom is None or kind.custom.storage == kind.version:
        return value
    return {**value, "apiVersion": f"{kind.group}/{kind.custom.storage}"}
