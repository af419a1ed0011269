"""Webhook configurations as objects: what is refused, and how people see them through kubectl.

Leaves out their defaults, which a recording has (``test_admission_recordings``).
"""

import json
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster, hooked
from tests.contract.kubernetes_api import kubectl as kubectl_program

Value = dict[str, Any]

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "*"}
HOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://127.0.0.1:1/"},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def condition(expression: str, name: str = "one") -> Value:
    """Return a webhook's match conditions: this one."""
    return {"matchConditions": [{"name": name, "expression": expression}]}


IMPOSSIBLE: list[tuple[Value, str]] = [
    ({"name": "short"}, 'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments'),
    ({"name": "a_b.example.com"}, "webhooks[0].name: Invalid value"),
    ({"failurePolicy": "Maybe"}, 'webhooks[0].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", '),
    ({"matchPolicy": "Near"}, "webhooks[0].matchPolicy: Unsupported value"),
    ({"sideEffects": "Some"}, 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", '),
    ({"sideEffects": None}, "webhooks[0].sideEffects: Required value"),
    ({"reinvocationPolicy": "Always"}, "webhooks[0].reinvocationPolicy: Unsupported value"),
    ({"timeoutSeconds": 0}, "webhooks[0].timeoutSeconds: Invalid value: 0: the timeout value must be between 1 and 30"),
    ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds: Invalid value: 31"),
    ({"admissionReviewVersions": []}, "webhooks[0].admissionReviewVersions: Required value"),
    ({"admissionReviewVersions": ["v9"]}, "webhooks[0].admissionReviewVersions: Invalid value"),
    ({"clientConfig": {}}, "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
    (
        {"clientConfig": {"url": "http://a/"}},
        "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only",
    ),
    ({"clientConfig": {"url": "https:///a"}}, "webhooks[0].clientConfig.url: Invalid value"),
    ({"clientConfig": {"url": "https://u:p@a/"}}, "user information is not permitted in the URL"),
    ({"clientConfig": {"url": "https://a/?b=c"}}, "query parameters are not permitted in the URL"),
    ({"clientConfig": {"url": "https://a/#b"}}, "fragments are not permitted in the URL"),
    (
        {"clientConfig": {"service": {"name": "a", "namespace": "b", "port": 0}}},
        "webhooks[0].clientConfig.service.port",
    ),
    ({"rules": [{**RULE, "operations": ["READ"]}]}, 'webhooks[0].rules[0].operations[0]: Unsupported value: "READ"'),
    ({"rules": [{**RULE, "operations": ["*", "CREATE"]}]}, "webhooks[0].rules[0].operations: Invalid value"),
    ({"rules": [{**RULE, "apiGroups": []}]}, "webhooks[0].rules[0].apiGroups: Required value"),
    ({"rules": [{**RULE, "resources": ["*/*", "pods"]}]}, "webhooks[0].rules[0].resources: Invalid value"),
    ({"rules": [{**RULE, "scope": "World"}]}, 'webhooks[0].rules[0].scope: Unsupported value: "World"'),
    (
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
        "webhooks[0].objectSelector.matchExpressions[0].operator: Invalid value",
    ),
    (
        condition("object.metadata.name =="),
        'webhooks[0].matchConditions[0].expression: Invalid value: "object.metadata.name ==": compilation failed: ',
    ),
    (condition("namespaceObject.metadata.name == 'a'"), "undeclared reference to 'namespaceObject"),
    (condition("1 + 1"), 'webhooks[0].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool'),
    (condition("1 == 'a'"), "found no matching overload for '_==_' applied to '(int, string)'"),
    (condition(""), "webhooks[0].matchConditions[0].expression: Required value"),
    (condition("true", "no name"), "webhooks[0].matchConditions[0].name: Invalid value"),
]


@pytest.mark.parametrize(("changed", "words"), IMPOSSIBLE, ids=lambda value: json.dumps(value)[:60])
async def test_what_is_refused(api: cluster.Cluster, changed: Value, words: str) -> None:
    """With the field's path and the reason."""
    hook = {key: value for key, value in {**HOOK, **changed}.items() if value is not None}
    body = {"metadata": {"name": "contract-refused"}, "webhooks": [hook]}
    answer = await api.call("POST", hooked.path(hooked.MUTATING), body, dryRun="All")
    assert words in answer.refused(422, "Invalid")["message"]


async def test_two_webhooks_of_one_name(api: cluster.Cluster) -> None:
    """Could not be told apart."""
    body = {"metadata": {"name": "contract-refused"}, "webhooks": [HOOK, HOOK]}
    answer = await api.call("POST", hooked.path(hooked.VALIDATING), body, dryRun="All")
    assert 'webhooks[1].name: Duplicate value: "a.example.com"' in answer.refused(422, "Invalid")["message"]


@pytest.mark.parametrize("kind", [hooked.MUTATING, hooked.VALIDATING])
async def test_kubectl(kubectl: kubectl_program.Kubectl, namespace: str, kind: str) -> None:
    """Apply, look, change by a patch, apply what is there, delete."""
    meta = {"name": namespace}
    never = {"matchLabels": {"contract": "never"}}
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta}
    manifest = json.dumps({**body, "webhooks": [{**HOOK, "namespaceSelector": never}]})
    name = f"{kind.lower()}.admissionregistration.k8s.io/{namespace}"
    assert f"{name} created\n" == await kubectl("apply", "-f", "-", stdin=manifest)
    try:
        assert f"{name} unchanged\n" == await kubectl("apply", "-f", "-", stdin=manifest)
        shown = (await kubectl("get", kind.lower(), namespace)).splitlines()
        assert ["NAME", "WEBHOOKS", "AGE"] == shown[0].split()
        assert [namespace, "1"] == shown[1].split()[:2]
        patch = json.dumps({"webhooks": [{"name": "a.example.com", "timeoutSeconds": 7}]})
        assert f"{name} patched\n" == await kubectl("patch", kind.lower(), namespace, "-p", patch)
        found = json.loads(await kubectl("get", kind.lower(), namespace, "-o", "json"))
        assert (7, [RULE["resources"]]) == (
            found["webhooks"][0]["timeoutSeconds"],
            [rule["resources"] for rule in found["webhooks"][0]["rules"]],
        )
        assert 2 == found["metadata"]["generation"]
        applied = await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)
        assert f"{name} serverside-applied\n" == applied
    finally:
        await kubectl("delete", kind.lower(), namespace)


async def test_warnings_are_printed(
    api: cluster.Cluster, kubectl: kubectl_program.Kubectl, hooks: hooked.Hooked
) -> None:
    """And a refusal is kubectl's error."""
    hooks.webhook.react = lambda _request: {"allowed": True, "warnings": ["mind the gap"]}
    await hooks.put(hooks.hook())
    assert "Warning: mind the gap" in await kubectl("run", "p", "--image=x:1")
    hooks.webhook.react = lambda _request: {"allowed": False, "status": {"message": "not today"}}
    said = await kubectl("run", "q", "--image=x:1", code=1)
    assert 'admission webhook "first.example.com" denied the request: not today' in said
