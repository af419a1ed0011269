"""A request's path and query -> what is asked, as values. Paths: ``/api/v1/...`` and ``/apis/<group>/<version>/...``.

Raises ``status.Refused`` for options that cannot be read or do not fit together, worded as the real server does.
"""

import dataclasses
import enum
from collections.abc import Mapping

from comparisons.lab.api import catalogue, decoding, kinds, status


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The resource that a path names."""

    kind: kinds.Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    beyond: str = ""
    """Of ``proxy`` only: the path that the pod is asked for, without its first slash."""


class Match(enum.StrEnum):
    """``resourceVersionMatch``."""

    UNSET = ""
    EXACT = "Exact"
    NOT_OLDER = "NotOlderThan"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The options of a list or a watch."""

    watch: bool
    label_selector: str
    field_selector: str
    revision: int | None
    match: Match
    limit: int
    token: str
    """``continue``."""
    timeout_s: float | None
    bookmarks: bool
    send_initial: bool | None


def target(path: str, served: catalogue.Catalogue) -> Target:
    """Return what a path names; raises Refused (404)."""
    match path.strip("/").split("/"):
        case ["api", version, *rest]:
            return _resource(served, ("", version), rest)
        case ["apis", group, version, *rest]:
            return _resource(served, (group, version), rest)
        case _:
            raise status.no_such_path()


def _resource(served: catalogue.Catalogue, within: tuple[str, str], rest: list[str]) -> Target:
    match rest:
        case ["namespaces", namespace, plural, *more] if plural not in kinds.NAMESPACE.subresources:
            return _named(served.by_path(*within, plural), namespace, more)
        case [plural, *more]:
            return _named(served.by_path(*within, plural), "", more)
        case _:
            raise status.no_such_path()


def _named(kind: kinds.Kind | None, namespace: str, more: list[str]) -> Target:
    name, subresource, *beyond = [*more, "", ""][: max(2, len(more))]
    known = kind is not None and (not subresource or subresource in kind.subresources)
    rest = "/".join(beyond) if subresource == "proxy" else ""
    if (
        kind is None
        or not known
        or (beyond and subresource != "proxy")
        or (name and kind.namespaced and not namespace)
        or (namespace and not kind.namespaced)
    ):
        raise status.no_such_path()
    return Target(kind=kind, namespace=namespace, name=name, subresource=subresource, beyond=rest)


def reading(query: Mapping[str, str]) -> Reading:
    """Return the options of a GET of a collection."""
    found = Reading(
        watch=flag(query, "watch"),
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        revision=revision(query.get("resourceVersion", "")),
        match=_match(query.get("resourceVersionMatch", "")),
        limit=number(query, "limit") or 0,
        token=query.get("continue", ""),
        timeout_s=number(query, "timeoutSeconds"),
        bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )
    causes = _watch_causes(found) if found.watch else _list_causes(found)
    if causes:
        raise status.invalid("meta.k8s.io", "ListOptions", "", causes)
    return found


def _list_causes(asked: Reading) -> list[status.Cause]:
    causes = []
    if asked.send_initial is not None:
        why = "sendInitialEvents is forbidden for list"
        causes.append(status.forbidden_field("sendInitialEvents", why))
    if asked.match and asked.revision is None:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(status.forbidden_field("resourceVersionMatch", why))
    if asked.match is Match.EXACT and asked.revision == 0:
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(status.forbidden_field("resourceVersionMatch", why))
    if asked.match and asked.token:
        why = "resourceVersionMatch is forbidden when continue is provided"
        causes.append(status.forbidden_field("resourceVersionMatch", why))
    return causes


def _watch_causes(asked: Reading) -> list[status.Cause]:
    if asked.send_initial is not None and asked.match is not Match.NOT_OLDER:
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [status.forbidden_field("resourceVersionMatch", why)]
    if asked.match and asked.send_initial is None:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [status.forbidden_field("resourceVersionMatch", why)]
    return []


def revision(text: str) -> int | None:
    """Return a resourceVersion that was sent; None for none."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise status.bad_request(
            f'invalid resource version "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def _match(text: str) -> Match:
    try:
        return Match(text)
    except ValueError as error:
        supported = [Match.EXACT.value, Match.NOT_OLDER.value, ""]
        cause = status.unsupported("resourceVersionMatch", text, supported)
        raise status.invalid("meta.k8s.io", "ListOptions", "", [cause]) from error


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean option; present without a value means yes."""
    return name in query and query[name].lower() not in {"0", "false"}


def number(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number option; raises Refused (400)."""
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax ({name})')
    return int(text)


def field_validation(query: Mapping[str, str]) -> decoding.FieldValidation:
    """``fieldValidation``; raises Refused (422)."""
    text = query.get("fieldValidation") or decoding.FieldValidation.WARN
    try:
        return decoding.FieldValidation(text)
    except ValueError as error:
        cause = status.unsupported("fieldValidation", text, [each.value for each in decoding.FieldValidation])
        raise status.invalid("meta.k8s.io", "CreateOptions", "", [cause]) from error


def dry_run(query: Mapping[str, str]) -> bool:
    """``dryRun=All``; raises Refused (422)."""
    text = query.get("dryRun", "")
    if text not in {"", "All"}:
        raise status.invalid("meta.k8s.io", "CreateOptions", "", [status.unsupported("dryRun", text, ["All"])])
    return text == "All"
