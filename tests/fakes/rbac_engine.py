"""Envoy's RBAC engine, as far as we use it: anything else in a configuration is an error. Judges one request."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What the filter sees."""

    who: str | None
    """URI SAN of the client's certificate; None: no certificate."""
    method: str = "GET"
    path: str = "/"
    headers: frozenset[str] = frozenset()
    """Names of others."""


def admits(rules: Any, request: Request) -> bool:
    """Judge by an RBAC with action ALLOW: any policy whose permission and principal both match."""
    assert rules.action == rules.ALLOW
    return any(
        any(_permits(each, request) for each in policy.permissions)
        and any(_is(each, request) for each in policy.principals)
        for policy in rules.policies.values()
    )


def allowed(config: Any, request: Request) -> bool:
    """Judge by a filter: one without rules admits; None is no filter."""
    return config is None or not config.HasField("rules") or admits(config.rules, request)


def audited(config: Any, request: Request) -> bool:
    """Say whether the shadow rules would have refused."""
    return config is not None and config.HasField("shadow_rules") and not admits(config.shadow_rules, request)


def named(matcher: Any, text: str) -> bool:
    """Evaluate a StringMatcher."""
    match matcher.WhichOneof("match_pattern"):
        case "exact":
            return bool(matcher.exact == text)
        case "prefix":
            return text.startswith(matcher.prefix)
    raise AssertionError(matcher)


def _permits(permission: Any, request: Request) -> bool:
    match permission.WhichOneof("rule"):
        case "any":
            return True
        case "and_rules":
            return all(_permits(each, request) for each in permission.and_rules.rules)
        case "url_path":
            return named(permission.url_path.path, request.path.partition("?")[0])
        case "header" if permission.header.name == ":method":
            return named(permission.header.string_match, request.method)
        case "header" if permission.header.present_match and permission.header.invert_match:
            return permission.header.name not in request.headers
    raise AssertionError(permission)


def _is(principal: Any, request: Request) -> bool:
    match principal.WhichOneof("identifier"):
        case "any":
            return True
        case "authenticated" if principal.authenticated.HasField("principal_name"):
            return request.who is not None and named(principal.authenticated.principal_name, request.who)
        case "authenticated":
            return request.who is not None
    raise AssertionError(principal)
