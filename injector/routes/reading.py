"""Reads HTTPRoute, GRPCRoute and ReferenceGrant as the API server gives them.

Every field of the standard channel (v1) is either acted on or refused, and so is everything else that a newer channel
may bring: half a route is not what anybody has written. The API server's schema refuses most mistakes, but the one that
is installed need not be the one that we know, and what passes here must be accepted by every proxy. Raises
errors.InvalidPolicy, which names the place, the value and what is allowed. Leaves out whether what is referred to is
there (``attach``).
"""

import dataclasses
import enum
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from injector import errors
from injector.policy import document
from injector.routes import headers, model, paths, spelling

T = TypeVar("T")
MAX_RULES: Final = 64
MAX_MATCHES: Final = 64
MAX_BACKENDS: Final = 16
MAX_FILTERS: Final = 16
MAX_PARENTS: Final = 32
MAX_NAMED: Final = 16
MAX_CODES: Final = 64
"""As upstream's schema has them, but for the rules, of which it allows 16 in one route."""
MAX_TOLD: Final = 128
"""Matches of one route in all, also as upstream's schema has it."""
MAX_BYTES: Final = 256 * 1024
"""Of one route as every proxy is told of it, for each port: each match has all of its rule with it."""
_MATCHES: Final = "matches"
MAX_WEIGHT: Final = 1_000_000
MAX_ATTEMPTS: Final = 100
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
"""CONNECT is missing: it has no path, and no proxy of ours takes it."""
_CODES: Final = range(400, 600)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_METADATA: Final = ("namespace", "name")


class _TextKind(enum.StrEnum):
    EXACT = "Exact"
    REGEX = "RegularExpression"


class _NewPathKind(enum.StrEnum):
    FULL = "ReplaceFullPath"
    PREFIX = "ReplacePrefixMatch"


class _Filter(enum.StrEnum):
    REQUEST = "RequestHeaderModifier"
    RESPONSE = "ResponseHeaderModifier"
    MIRROR = "RequestMirror"
    REDIRECT = "RequestRedirect"
    REWRITE = "URLRewrite"

    @property
    def member(self) -> str:
        """The field that holds it."""
        return "urlRewrite" if self is _Filter.REWRITE else f"{self[0].lower()}{self[1:]}"


_OF_GRPC: Final = frozenset({_Filter.REQUEST, _Filter.RESPONSE, _Filter.MIRROR})
_OF_BACKEND: Final = frozenset({_Filter.REQUEST, _Filter.RESPONSE})


def route(item: Mapping[str, Any], kind: model.Kind) -> model.Route:
    """Read a route. Raises errors.InvalidPolicy."""
    metadata = item["metadata"]
    namespace, name = (str(metadata[key]) for key in _METADATA)
    spec = document.Node("spec", item.get("spec")).fields("parentRefs", "hostnames", "rules")
    rules = spec["rules"].items(at_most=MAX_RULES) if "rules" in spec else []
    read, broken = _rules(rules, kind, namespace)
    return model.Route(
        kind=kind,
        namespace=namespace,
        name=name,
        created=str(metadata.get("creationTimestamp") or ""),
        parents=parents(item),
        rules=read,
        broken=broken,
        size=_bounded(spec, rules, read),
    )


def _rules(
    rules: Sequence[document.Node], kind: model.Kind, own: str
) -> tuple[tuple[model.Rule, ...], tuple[str, ...]]:
    """Read the rules, and say what is wrong with some of them. Raises InvalidPolicy where no rule is left.

    Nor may a rule be broken whose matches cannot be read: nobody knows which requests would have to fail.
    """
    read, refusals = [], []
    for each in rules:
        try:
            read.append(_rule(each, kind, own))
        except errors.InvalidPolicy as refused:
            read.append(model.Rule(matches=_matches(each.value.get(_MATCHES), each, kind)))
            refusals.append(refused)
    if refusals and len(refusals) == len(rules):
        raise refusals[0]
    return tuple(read) or (model.Rule(),), tuple(map(str, refusals))


def _bounded(spec: Mapping[str, document.Node], rules: Sequence[document.Node], read: Sequence[model.Rule]) -> int:
    """Refuse a short text that would be a long list for every proxy. Gives its size."""
    if sum(len(each.matches) for each in read) > MAX_TOLD:
        spec["rules"].refuse(f"at most {MAX_TOLD} matches in all")
    size = sum(_size(node.value, len(rule.matches)) for node, rule in zip(rules, read, strict=False))
    if size > MAX_BYTES:
        allowed = f"at most {MAX_BYTES // 1024} KiB, where each match counts itself and all of its rule"
        spec["rules"].refuse(f"{allowed}: here {size // 1024} KiB")
    return size


def _size(rule: Mapping[str, Any], matches: int) -> int:
    body = {key: each for key, each in rule.items() if key != _MATCHES}
    return _bytes(body) * matches + _bytes(rule.get(_MATCHES))


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def parents(item: Mapping[str, Any]) -> tuple[model.Parent, ...]:
    """Read to which Services a route wants to apply; other parents are others' business.

    One that cannot be read has its ``error``, so that it can be answered, and leaves the others alone. Raises
    InvalidPolicy where there is no list of them.
    """
    spec = item.get("spec")
    refs = document.Node("spec.parentRefs", spec.get("parentRefs") or [] if isinstance(spec, dict) else [])
    read = (_parent(each, str(item["metadata"]["namespace"])) for each in refs.items(at_most=MAX_PARENTS))
    return tuple(each for each in read if each is not None)


def grant(item: Mapping[str, Any]) -> model.Grant | None:
    """Read a ReferenceGrant; None where it is about nothing that is ours. Raises errors.InvalidPolicy."""
    spec = document.Node("spec", item.get("spec")).fields("from", "to", required=("from", "to"))
    senders = set()
    for each in spec["from"].items(at_most=MAX_PARENTS):
        found = each.fields("group", "kind", "namespace", required=("group", "kind", "namespace"))
        if found["group"].text() == model.GROUP:
            senders.add((found["kind"].text(), found["namespace"].text()))
    services: set[str] | None = set()
    for each in spec["to"].items(at_most=MAX_PARENTS):
        found = each.fields("group", "kind", "name", required=("group", "kind"))
        if (found["group"].text(), found["kind"].text()) != ("", model.SERVICE):
            continue
        name = found["name"].text() if "name" in found else ""
        if not name:
            services = None
        elif services is not None:
            services.add(name)
    if not senders or services == set():
        return None
    names = None if services is None else frozenset(services)
    return model.Grant(namespace=str(item["metadata"]["namespace"]), senders=frozenset(senders), services=names)


def _parent(node: document.Node, own: str) -> model.Parent | None:
    said = node.value if isinstance(node.value, dict) else {}
    if (said.get("group", model.GROUP), said.get("kind", "Gateway")) != ("", model.SERVICE):
        return None
    try:
        found = node.fields("group", "kind", "namespace", "name", "sectionName", "port", required=("name",))
        return model.Parent(
            namespace=found["namespace"].text() if "namespace" in found else own,
            name=found["name"].text(),
            port=found["port"].port() if "port" in found else None,
            section=found["sectionName"].text() if "sectionName" in found else "",
            written=said,
        )
    except errors.InvalidPolicy as refused:
        return model.Parent(namespace=own, name="", port=None, section="", error=str(refused), written=said)


def _rule(node: document.Node, kind: model.Kind, own: str) -> model.Rule:
    known = ("name", _MATCHES, "filters", "backendRefs")
    more = ("timeouts", "retry") if kind is model.Kind.HTTP else ()
    found = node.fields(*known, *more)
    filters = _filters(found.get("filters"), _OF_GRPC if kind is model.Kind.GRPC else frozenset(_Filter), own)
    backends = found["backendRefs"].items(at_most=MAX_BACKENDS) if "backendRefs" in found else []
    request_s, backend_s = _timeouts(found["timeouts"]) if "timeouts" in found else (None, None)
    rule = dataclasses.replace(
        filters,
        matches=_matches(node.value.get(_MATCHES), node, kind),
        backends=tuple(_backend(each, own) for each in backends),
        request_s=request_s,
        backend_s=backend_s,
        retry=_retry(found["retry"]) if "retry" in found else None,
    )
    _check(node, found, rule)
    return rule


def _matches(value: Any, rule: document.Node, kind: model.Kind) -> tuple[model.Match, ...]:
    if value is None:
        return (model.Match(),)
    read = _http_match if kind is model.Kind.HTTP else _grpc_match
    listed = document.Node(f"{rule.path}.{_MATCHES}", value).items(at_most=MAX_MATCHES)
    return tuple(read(each) for each in listed) or (model.Match(),)


def _check(node: document.Node, found: Mapping[str, document.Node], rule: model.Rule) -> None:
    """Refuse what contradicts itself."""
    if rule.redirect is not None and rule.backends:
        found["backendRefs"].refuse("nothing beside a redirect")
    if rule.redirect is not None and rule.rewrite is not None:
        found["filters"].refuse("RequestRedirect or URLRewrite, not both")
    changed = [each.path for each in (rule.redirect, rule.rewrite) if each is not None and each.path is not None]
    if any(each.prefix for each in changed) and (
        len(rule.matches) != 1 or rule.matches[0].path is None or rule.matches[0].path[0] is not model.PathKind.PREFIX
    ):
        node.refuse("ReplacePrefixMatch beside exactly one match, which says a path of type PathPrefix")


def _http_match(node: document.Node) -> model.Match:
    found = node.fields("path", "headers", "queryParams", "method")
    method = ""
    if "method" in found:
        method = found["method"].spelled(re.compile("|".join(_METHODS)), ", ".join(_METHODS))
    return model.Match(
        path=_path(found["path"]) if "path" in found else None,
        method=method,
        headers=_named(found.get("headers"), headers.matched),
        query=_named(found.get("queryParams"), spelling.query),
    )


def _grpc_match(node: document.Node) -> model.Match:
    found = node.fields("method", "headers")
    service = call = None
    if "method" in found:
        said = found["method"].fields("type", "service", "method")
        regex = "type" in said and said["type"].choice(_TextKind) is _TextKind.REGEX
        read = spelling.regex if regex else spelling.grpc
        service = model.Text(read(said["service"]), regex) if "service" in said else None
        call = model.Text(read(said["method"]), regex) if "method" in said else None
        if service is None and call is None:
            found["method"].refuse("a service, a method or both")
        spelling.compiles(found["method"], paths.call(service, call))  # good parts may be no good whole
    return model.Match(headers=_named(found.get("headers"), headers.matched), service=service, call=call)


def _path(node: document.Node) -> tuple[model.PathKind, str]:
    found = node.fields("type", "value")
    kind = found["type"].choice(model.PathKind) if "type" in found else model.PathKind.PREFIX
    value = found.get("value", document.Node(f"{node.path}.value", "/"))
    if kind is model.PathKind.REGEX:
        return kind, spelling.regex(value)
    text = paths.read(value)
    return kind, paths.trimmed(text) if kind is model.PathKind.PREFIX else text


def _named(node: document.Node | None, name: Callable[[document.Node], str]) -> tuple[model.Named, ...]:
    """Read conditions by name; of several with one name only the first one counts, as the specification says."""
    read: dict[str, model.Named] = {}
    for each in node.items(at_most=MAX_NAMED) if node is not None else ():
        found = each.fields("type", "name", "value", required=("name", "value"))
        regex = "type" in found and found["type"].choice(_TextKind) is _TextKind.REGEX
        value = spelling.regex(found["value"]) if regex else spelling.plain(found["value"])
        key = name(found["name"])
        read.setdefault(key, model.Named(key, model.Text(value, regex)))
    return tuple(read.values())


def _filters(node: document.Node | None, allowed: frozenset[_Filter], own: str) -> model.Rule:
    """Give a rule that has nothing but filters."""
    rule = model.Rule()
    seen = set()
    for each in node.items(at_most=MAX_FILTERS) if node is not None else ():
        known = tuple(kind.member for kind in _Filter if kind in allowed)
        kind = each.fields("type", *known, required=("type",))["type"].choice(_Filter)
        if kind not in allowed:
            each.refuse(", ".join(sorted(allowed)))
        if kind in seen and kind is not _Filter.MIRROR:
            each.refuse(f"{kind} once")
        seen.add(kind)
        body = each.fields("type", kind.member, required=(kind.member,))[kind.member]
        match kind:
            case _Filter.REQUEST:
                rule = dataclasses.replace(rule, request=headers.modifier(body))
            case _Filter.RESPONSE:
                rule = dataclasses.replace(rule, response=headers.modifier(body))
            case _Filter.MIRROR:
                rule = dataclasses.replace(rule, mirrors=(*rule.mirrors, _mirror(body, own)))
            case _Filter.REDIRECT:
                rule = dataclasses.replace(rule, redirect=_redirect(body))
            case _Filter.REWRITE:
                found = body.fields("hostname", "path")
                rewrite = model.Rewrite(hostname=_hostname(found.get("hostname")), path=_new_path(found.get("path")))
                rule = dataclasses.replace(rule, rewrite=rewrite)
    return rule


def _redirect(node: document.Node) -> model.Redirect:
    found = node.fields("scheme", "hostname", "path", "port", "statusCode")
    scheme = found["scheme"].spelled(re.compile("https?"), "http, https") if "scheme" in found else ""
    status = found["statusCode"].value if "statusCode" in found else 302
    if isinstance(status, bool) or status not in _REDIRECTS:
        found["statusCode"].refuse(", ".join(map(str, _REDIRECTS)))
    return model.Redirect(
        scheme=scheme,
        hostname=_hostname(found.get("hostname")),
        path=_new_path(found.get("path")),
        port=found["port"].port() if "port" in found else None,
        status=status,
    )


def _hostname(node: document.Node | None) -> str:
    return "" if node is None else node.spelled(spelling.HOSTNAME, "the name of a host")


def _new_path(node: document.Node | None) -> model.NewPath | None:
    if node is None:
        return None
    kind = node.fields("type", "replaceFullPath", "replacePrefixMatch", required=("type",))["type"].choice(_NewPathKind)
    member = f"{kind[0].lower()}{kind[1:]}"
    value = node.fields("type", member, required=(member,))[member]
    if kind is _NewPathKind.FULL:
        return model.NewPath(paths.read(value), prefix=False)
    return model.NewPath(paths.trimmed(paths.read(value)) if value.value else "/", prefix=True)


def _mirror(node: document.Node, own: str) -> model.Mirror:
    found = node.fields("backendRef", "percent", "fraction", required=("backendRef",))
    named = found["backendRef"].fields("group", "kind", "namespace", "name", "port", required=("name",))
    if "fraction" in found:
        if "percent" in found:
            node.refuse("percent or fraction, not both")
        said = found["fraction"].fields("numerator", "denominator", required=("numerator",))
        whole = spelling.number(said["denominator"], 1, 2**31 - 1) if "denominator" in said else 100
        part = spelling.number(said["numerator"], 0, whole)
        return model.Mirror(reference=_reference(named, own), numerator=part, denominator=whole)
    percent = spelling.number(found["percent"], 0, 100) if "percent" in found else 100
    return model.Mirror(reference=_reference(named, own), numerator=percent)


def _backend(node: document.Node, own: str) -> model.Backend:
    found = node.fields("group", "kind", "namespace", "name", "port", "weight", "filters", required=("name",))
    filters = _filters(found.get("filters"), _OF_BACKEND, own)
    return model.Backend(
        reference=_reference(found, own),
        weight=spelling.number(found["weight"], 0, MAX_WEIGHT) if "weight" in found else 1,
        request=filters.request,
        response=filters.response,
    )


def _reference(found: Mapping[str, document.Node], own: str) -> model.Reference:
    return model.Reference(
        group=found["group"].text() if "group" in found else "",
        kind=found["kind"].text() if "kind" in found else model.SERVICE,
        namespace=found["namespace"].text() if "namespace" in found else own,
        name=found["name"].text(),
        port=found["port"].port() if "port" in found else None,
    )


def _timeouts(node: document.Node) -> tuple[float | None, float | None]:
    found = node.fields("request", "backendRequest")
    request_s, backend_s = (
        spelling.duration_s(found[key]) if key in found else None for key in ("request", "backendRequest")
    )
    if request_s and backend_s and backend_s > request_s:
        found["backendRequest"].refuse("at most the time of the whole request")
    return request_s, backend_s


def _retry(node: document.Node) -> model.Retry:
    found = node.fields("codes", "attempts", "backoff")
    listed = found["codes"].items(at_most=MAX_CODES) if "codes" in found else []
    return model.Retry(
        codes=tuple(sorted({spelling.number(each, _CODES[0], _CODES[-1]) for each in listed})),
        attempts=spelling.number(found["attempts"], 0, MAX_ATTEMPTS) if "attempts" in found else 1,
        backoff_s=spelling.duration_s(found["backoff"]) if "backoff" in found else None,
    )
