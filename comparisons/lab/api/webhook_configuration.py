"""Mutating- and ValidatingWebhookConfigurations: their defaults, and what makes one impossible.

Rules and words: pkg/apis/admissionregistration in k8s.io/kubernetes, ``v1/defaults.go`` and ``validation``. Apart
from ``validation`` since every other kind is checked on its own there, and this one is half of that file again.
"""

import base64
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparisons.lab.api import expressions, hooks, kinds, names, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
VERSIONS = ("v1",)
"""The review versions that this server speaks; the real one has v1beta1, too."""
CLOSED: Mapping[str, Sequence[str]] = {
    "failurePolicy": ("Fail", "Ignore"),
    "matchPolicy": ("Equivalent", "Exact"),
    "sideEffects": ("None", "NoneOnDryRun"),
    "reinvocationPolicy": ("IfNeeded", "Never"),
}
TIMEOUT_S = range(1, 31)
MOST_CONDITIONS = 64
URL_FORM = "desired format: https://host[:port]/path"
SEGMENTS = 3


def fill(value: Value) -> None:
    """Set the defaults in place."""
    mutating = value["kind"] == kinds.MUTATING_WEBHOOK_CONFIGURATION.kind
    defaults = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
    for hook in value.get("webhooks") or ():
        for name, default in (defaults | ({"reinvocationPolicy": "Never"} if mutating else {})).items():
            hook.setdefault(name, default)
        for name in ("namespaceSelector", "objectSelector"):
            hook.setdefault(name, {})
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")
        if "service" in (hook.get("clientConfig") or {}):
            hook["clientConfig"]["service"].setdefault("port", 443)


def check(value: Value) -> Causes:
    """Yield what is impossible."""
    seen: set[str] = set()
    for index, hook in enumerate(value.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        yield from _name(hook["name"], f"{path}.name")
        if hook["name"] in seen:
            yield status.duplicate(f"{path}.name", hook["name"])
        seen.add(hook["name"])
        yield from _hook(hook, path)


def _name(name: str, path: str) -> Causes:
    if not name:
        yield status.required(path)
    elif why := names.subdomain(name):
        yield status.bad(path, name, why)
    elif len(name.split(".")) < SEGMENTS:
        yield status.bad(path, name, "should be a domain with at least three segments separated by dots")


def _hook(hook: Value, path: str) -> Causes:
    for index, rule in enumerate(hook.get("rules") or ()):
        yield from _rule(rule, f"{path}.rules[{index}]")
    for field, supported in CLOSED.items():
        if field in hook and hook[field] not in supported:
            yield status.unsupported(f"{path}.{field}", hook[field], supported)
    if hook["timeoutSeconds"] not in TIMEOUT_S:
        why = "the timeout value must be between 1 and 30 seconds"
        yield status.bad(f"{path}.timeoutSeconds", hook["timeoutSeconds"], why)
    for field in ("namespaceSelector", "objectSelector"):
        yield from _selector(hook[field], f"{path}.{field}")
    yield from _versions(hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")
    yield from _client(hook["clientConfig"], f"{path}.clientConfig")
    yield from _conditions(hook.get("matchConditions") or [], f"{path}.matchConditions")


def _rule(rule: Value, path: str) -> Causes:
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        found = rule.get(field) or []
        if not found:
            yield status.required(f"{path}.{field}")
        elif field != "resources" and "*" in found and len(found) > 1:
            yield status.bad(f"{path}.{field}", found, "if '*' is present, must not specify other " + _WHAT[field])
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in OPERATIONS:
            yield status.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    if rule.get("scope", "*") not in SCOPES:
        yield status.unsupported(f"{path}.scope", rule["scope"], SCOPES)
    yield from _resources(rule.get("resources") or [], f"{path}.resources")


_WHAT = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}


def _resources(found: list[str], path: str) -> Causes:
    if "*/*" in found and len(found) > 1:
        yield status.bad(path, found, "if '*/*' is present, must not specify other resources")
    if "*" in found and any("/" not in each and each != "*" for each in found):
        yield status.bad(path, found, "if '*' is present, must not specify other resources without subresources")
    for index, each in enumerate(found):
        if not each:
            yield status.required(f"{path}[{index}]")


SELECTING = ("In", "NotIn", "Exists", "DoesNotExist")


def _selector(found: Value, path: str) -> Causes:
    for index, each in enumerate(found.get("matchExpressions") or ()):
        where, values = f"{path}.matchExpressions[{index}]", each.get("values") or []
        if each["operator"] not in SELECTING:
            yield status.bad(f"{where}.operator", each["operator"], "not a valid selector operator")
        elif each["operator"] in {"In", "NotIn"} and not values:
            yield status.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif each["operator"] not in {"In", "NotIn"} and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield status.forbidden_field(f"{where}.values", why)
        if why := names.qualified(each["key"]):
            yield status.bad(f"{where}.key", each["key"], why)


def _versions(found: list[str], path: str) -> Causes:
    if not found:
        yield status.required(path, f"must specify one of {', '.join(VERSIONS)}")
    elif not set(found) & set(VERSIONS):
        yield status.bad(path, found, f"must include at least one of {', '.join(VERSIONS)}")


def _client(client: Value, path: str) -> Causes:
    if ("url" in client) == ("service" in client):
        yield status.required(path, "exactly one of url or service is required")
        return
    if "url" in client:
        yield from _url(client["url"], f"{path}.url")
    else:
        yield from _service(client["service"], f"{path}.service")
    try:
        base64.b64decode(client.get("caBundle", ""), validate=True)
    except ValueError:
        yield status.bad(f"{path}.caBundle", client["caBundle"], "illegal base64 data")


def _url(url: str, path: str) -> Causes:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield status.required(path, f"url must be a valid URL: {error}; {URL_FORM}")
        return
    if parts.scheme != "https":
        yield status.bad(path, parts.scheme, f"'https' is the only allowed URL scheme; {URL_FORM}")
    if not parts.hostname:
        yield status.bad(path, parts.netloc, f"host must be specified; {URL_FORM}")
    if parts.username is not None:
        yield status.bad(path, parts.username, "user information is not permitted in the URL")
    if parts.fragment:
        yield status.bad(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield status.bad(path, parts.query, "query parameters are not permitted in the URL")


def _service(service: Value, path: str) -> Causes:
    for field in ("name", "namespace"):
        if not service.get(field):
            yield status.required(f"{path}.{field}", f"service {field} is required")
    if not 1 <= service["port"] <= 65535:  # TCP
        yield status.bad(f"{path}.port", service["port"], "port is not valid: must be between 1 and 65535, inclusive")
    if not service.get("path", "/").startswith("/"):
        yield status.bad(f"{path}.path", service["path"], "must start with a '/'")


def _conditions(found: list[Value], path: str) -> Causes:
    if len(found) > MOST_CONDITIONS:
        yield status.Cause(
            field=path,
            reason="FieldValueTooMany",
            message=f"Too many: {len(found)}: must have at most {MOST_CONDITIONS} items",
        )
        return
    seen: set[str] = set()
    for index, condition in enumerate(found):
        where, name = f"{path}[{index}]", condition["name"]
        if why := names.qualified(name):
            yield status.bad(f"{where}.name", name, why)
        if name in seen:
            yield status.duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _expression(condition["expression"], f"{where}.expression")


def _expression(text: str, path: str) -> Causes:
    if not text.strip():
        yield status.required(path)
        return
    try:
        program = expressions.compiled(text, hooks.VARIABLES)
    except expressions.NotAnExpression as error:
        yield status.bad(path, text, f"compilation failed: {error}")
        return
    if not program.is_bool:
        yield status.bad(path, text, "must evaluate to bool")
