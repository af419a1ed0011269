"""Reads a collection: selectors, pages, and the revision that a list is of.

A page's token names the revision of the first page, so that all pages are of one moment, as on the real server.
Leaves out HTTP and tables.
"""

import base64
import binascii
import dataclasses
import json
from typing import Any

from comparisons.lab.api import asking, kinds, selector, status, store, versions

Value = dict[str, Any]

CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a collection, at one revision."""

    items: list[Value]
    revision: int
    token: str = ""
    remaining: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    revision: int
    start: store.Key
    """The key of the last object that was already sent."""

    def text(self) -> str:
        body = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": list(self.start)}
        return base64.urlsafe_b64encode(json.dumps(body, separators=(",", ":")).encode()).rstrip(b"=").decode()


def predicate(target: asking.Target, asked: asking.Reading) -> selector.Predicate:
    """Which objects are asked for; raises Refused (400)."""
    by_label = selector.labels(asked.label_selector) if asked.label_selector else None
    by_field = selector.fields(target.kind, asked.field_selector) if asked.field_selector else None
    namespace = target.namespace

    def admits(value: Value) -> bool:
        in_place = not namespace or value["metadata"].get("namespace") == namespace
        return in_place and (by_label is None or by_label(value)) and (by_field is None or by_field(value))

    return admits


def page(objects: store.Store, target: asking.Target, asked: asking.Reading) -> Page:
    """One page of a collection; raises Refused (400, 410, 504)."""
    after = _parse(asked.token) if asked.token else None
    revision, found = _moment(objects, target.kind, asked, after)
    admits = predicate(target, asked)
    chosen = sorted(key for key, value in found.items() if admits(value) and (after is None or key > after.start))
    shown = chosen[: asked.limit] if asked.limit else chosen
    remaining = len(chosen) - len(shown)
    token = _Token(revision, shown[-1]).text() if remaining else ""
    items = [versions.shown(target.kind, found[key]) for key in shown]
    return Page(items=items, revision=revision, token=token, remaining=remaining)


def _moment(
    objects: store.Store, kind: kinds.Kind, asked: asking.Reading, after: _Token | None
) -> tuple[int, dict[store.Key, Value]]:
    exact = after.revision if after is not None else asked.revision if asked.match is asking.Match.EXACT else None
    if exact is not None:
        return _past(objects, kind, exact, paging=after is not None)
    if asked.revision is not None and asked.revision > objects.revision:
        raise status.too_large_revision(asked.revision, objects.revision)
    return objects.revision, objects.objects(kind)


def _past(objects: store.Store, kind: kinds.Kind, revision: int, *, paging: bool) -> tuple[int, dict[store.Key, Value]]:
    if revision > objects.revision:
        raise status.too_large_revision(revision, objects.revision)
    try:
        return revision, objects.at(kind, revision)
    except store.Compacted as error:
        message = CONTINUE_EXPIRED if paging else f"The resourceVersion for the provided list is too old. ({error})"
        raise status.expired(message) from error


def _parse(token: str) -> _Token:
    try:
        body = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = body["start"]
        return _Token(int(body["rv"]), (str(namespace), str(name)))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise status.bad_request(f"continue key is not valid: {error}") from error


def body(kind: kinds.Kind, found: Page) -> Value:
    """Return the page as a ``List`` object. Only items of custom kinds carry their kind, as on the real server."""
    metadata: Value = {"resourceVersion": str(found.revision)}
    if found.token:
        metadata |= {"continue": found.token, "remainingItemCount": found.remaining}
    hidden = {"kind", "apiVersion"} if kind.custom is None else set()
    items = [{k: v for k, v in item.items() if k not in hidden} for item in found.items]
    return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata, "items": items}
