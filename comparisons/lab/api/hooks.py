"""Webhook configurations as values, and which writes each webhook is to be asked about.

Pure. Rules: k8s.io/apiserver/pkg/admission/plugin/webhook (``predicates`` and ``matchconditions``). Leaves out
``matchPolicy``: every built-in kind has one version here, so that Exact and Equivalent are the same.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from comparisons.lab.api import attributes, expressions, kinds, selector, status

Value = dict[str, Any]

ANY = "*"
IGNORE, IF_NEEDED = "Ignore", "IfNeeded"
CONFIGURATIONS = (kinds.MUTATING_WEBHOOK_CONFIGURATION, kinds.VALIDATING_WEBHOOK_CONFIGURATION)
VARIABLES = ("object", "oldObject", "request")
"""What a match condition may speak of; the real server has ``authorizer``, too."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook of one configuration."""

    configuration: str
    name: str
    mutating: bool
    said: Value
    """The webhook as it is stored, with its defaults."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other webhook of its sort."""
        return self.configuration, self.name

    @property
    def fails_open(self) -> bool:
        """Whether the write goes on where the webhook cannot be asked."""
        return bool(self.said["failurePolicy"] == IGNORE)

    @property
    def timeout_s(self) -> int:
        """How long it may take."""
        return int(self.said["timeoutSeconds"])

    @property
    def reinvocable(self) -> bool:
        """Whether it is asked again when others changed the object after it."""
        return self.said.get("reinvocationPolicy") == IF_NEEDED


def ordered(configurations: Iterable[Value]) -> list[Hook]:
    """Return all webhooks in the order in which they are asked: by their configurations' names."""
    return [
        Hook(
            configuration=found["metadata"]["name"],
            name=said["name"],
            mutating=found["kind"] == kinds.MUTATING_WEBHOOK_CONFIGURATION.kind,
            said=said,
        )
        for found in sorted(configurations, key=lambda each: str(each["metadata"]["name"]))
        for said in found.get("webhooks") or ()
    ]


def concerns(hook: Hook, asked: attributes.Attributes, namespace_labels: Mapping[str, str] | None) -> bool:
    """Whether rules and selectors admit this write. ``namespace_labels`` None: it is in no namespace."""
    if asked.resource in CONFIGURATIONS:  # else a webhook could make itself impossible to remove
        return False
    in_namespace = namespace_labels is None or selector.matches(hook.said["namespaceSelector"], namespace_labels)
    return (
        in_namespace
        and _object_selected(hook.said["objectSelector"], asked)
        and any(_rule_admits(rule, asked) for rule in hook.said.get("rules") or ())
    )


def _object_selected(chosen: Mapping[str, Any], asked: attributes.Attributes) -> bool:
    """Whether the new or the old object is selected; what has no metadata is so by an empty selector only."""
    if not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        return True
    found = [
        value["metadata"].get("labels") or {} for value in (asked.object, asked.old) if value and "metadata" in value
    ]
    return any(selector.matches(chosen, labels) for labels in found)


def _rule_admits(rule: Value, asked: attributes.Attributes) -> bool:
    return (
        _listed(rule["operations"], asked.operation)
        and _listed(rule["apiGroups"], asked.resource.group)
        and _listed(rule["apiVersions"], asked.resource.version)
        and any(_resource_admits(each, asked) for each in rule["resources"])
        and _scope_admits(rule.get("scope", ANY), asked)
    )


def _listed(known: list[str], value: str) -> bool:
    return ANY in known or value in known


def _resource_admits(said: str, asked: attributes.Attributes) -> bool:
    plural, _, subresource = said.partition("/")
    return plural in {ANY, asked.resource.plural} and (
        subresource in {ANY, asked.subresource} if subresource else not asked.subresource
    )


def _scope_admits(scope: str, asked: attributes.Attributes) -> bool:
    """Whether the scope fits. A namespace is cluster-scoped, though its requests carry its own name as theirs."""
    namespaced = asked.resource is not kinds.NAMESPACE and bool(asked.namespace)
    return {"Namespaced": namespaced, "Cluster": not namespaced}.get(scope, True)


def conditions_hold(hook: Hook, asked: attributes.Attributes, request: Value) -> bool:
    """Whether every match condition is true; raises Refused (403) if that cannot be told and failing is closed.

    One that is false decides, whatever is wrong with the others.
    """
    conditions = hook.said.get("matchConditions") or ()
    if not conditions:
        return True
    variables = {"object": asked.object, "oldObject": asked.old, "request": request}
    failures: list[str] = []
    for condition in conditions:
        program = expressions.compiled(condition["expression"], VARIABLES)
        try:
            if program.evaluate(variables) is False:
                return False
        except expressions.Failed as error:
            failures.append(f"expression '{program.text}' resulted in error: {error}")
    if failures and not hook.fails_open:
        raise status.forbidden(asked.resource.group, asked.resource.plural, asked.name, _together(failures))
    return not failures


def _together(failures: list[str]) -> str:
    """Return k8s.io/apimachinery/pkg/util/errors.Aggregate's words."""
    distinct = list(dict.fromkeys(failures))
    return distinct[0] if len(distinct) == 1 else "[" + ", ".join(distinct) + "]"
