"""Which writes a webhook is asked about: rules, selectors, match conditions.

Leaves out what it does then (``test_admission``), and ``authorizer`` in conditions, which a lab has not.
"""

from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster, hooked

Value = dict[str, Any]

OPTED_IN = (
    "has(object.metadata.annotations) && 'example.com/inject' in object.metadata.annotations"
    " && object.metadata.annotations['example.com/inject'] == 'enabled'"
)


def rule(**more: Any) -> Value:
    """Return a rule for new pods, but for what is said."""
    return {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], **more}


def labelled(name: str, annotations: Value | None = None, **labels: str) -> Value:
    """Return a pod with labels and annotations."""
    meta = {"name": name, "labels": labels} | ({"annotations": annotations} if annotations else {})
    return {**cluster.pod(), "metadata": meta}


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({}, True),
        ({"operations": ["*"]}, True),
        ({"operations": ["UPDATE", "DELETE"]}, False),
        ({"apiGroups": ["*"]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["*"]}, True),
        ({"apiVersions": ["v1beta1"]}, False),
        ({"resources": ["*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["pods/*"]}, True),
        ({"resources": ["pods/status"]}, False),
        ({"resources": ["*/status"]}, False),
        ({"resources": ["services", "pods"]}, True),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
        ({"scope": "*"}, True),
    ],
    ids=str,
)
async def test_rules(api: cluster.Cluster, pods: str, hooks: hooked.Hooked, changed: Value, *, asked: bool) -> None:
    """Every part of one must fit."""
    await hooks.put(hooks.hook(rules=[rule(**changed)]))
    hooks.webhook.calls.clear()
    await api.create(pods, cluster.pod(), dryRun="All")
    assert (["p"] if asked else []) == hooks.webhook.names


async def test_any_rule_is_enough(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """And the webhook is asked once, however many fit."""
    await hooks.put(hooks.hook(rules=[rule(resources=["services"]), rule(), rule(operations=["*"])]))
    await api.create(pods, cluster.pod(), dryRun="All")
    assert ["p"] == hooks.webhook.names


async def test_a_namespace_is_cluster_scoped(api: cluster.Cluster, namespace: str, hooks: hooked.Hooked) -> None:
    """Its own labels count as those of its namespace, and its name as the request's namespace."""
    rules = [rule(operations=["UPDATE"], resources=["namespaces"], scope="Cluster")]
    await hooks.put(hooks.hook(rules=rules))
    await api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"new": "yes"}}})
    (request,) = hooks.webhook.requests
    assert (namespace, namespace, "UPDATE") == (request["name"], request["namespace"], request["operation"])


async def test_the_namespace_selector(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """By the labels that the namespace has at that moment."""
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [hooks.namespace]}
    absent = {"key": "off", "operator": "DoesNotExist"}
    await hooks.put(hooks.hook(namespaceSelector={"matchExpressions": [names, absent]}))
    await api.create(pods, cluster.pod("a"), dryRun="All")
    await api.patch(f"/api/v1/namespaces/{hooks.namespace}", {"metadata": {"labels": {"off": ""}}})
    await api.create(pods, cluster.pod("b"), dryRun="All")
    assert ["a"] == hooks.webhook.names


async def test_the_object_selector(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """The new object or the old one must have the labels."""
    selector = {"matchLabels": {"app": "web"}}
    await hooks.put(hooks.hook(objectSelector=selector, rules=[rule(operations=["CREATE", "UPDATE"])]))
    await api.create(pods, labelled("a", app="web"))
    await api.create(pods, labelled("b", app="db"))
    await api.patch(f"{pods}/a", {"metadata": {"labels": {"app": "db"}}}, fieldManager="me")
    await api.patch(f"{pods}/b", {"metadata": {"labels": {"new": "yes"}}}, fieldManager="me")
    # twice for the same update, if the scheduler wrote meanwhile
    assert {("a", "CREATE"), ("a", "UPDATE")} == {(each["name"], each["operation"]) for each in hooks.webhook.requests}


async def test_a_webhook_is_not_asked_about_webhooks(api: cluster.Cluster, hooks: hooked.Hooked) -> None:
    """Else one that is down could not be removed."""
    rules = [rule(operations=["*"], apiGroups=["admissionregistration.k8s.io"], resources=["*"])]
    await hooks.put(hooks.hook(rules=rules, namespaceSelector={}))
    await hooks.put(hooks.hook())
    assert [] == hooks.webhook.calls


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        (OPTED_IN, True),
        ("request.namespace != 'kube-system'", True),
        ("request.namespace == 'kube-system'", False),
        ("request.operation == 'CREATE' && !request.dryRun", False),
        ("request.resource.resource == 'pods' && request.kind.kind == 'Pod'", True),
        ("'system:masters' in request.userInfo.groups", True),
        ("oldObject == null", True),
        ("object.spec.containers.exists(c, c.name == 'c')", True),
        ("object.spec.containers.all(c, has(c.securityContext))", False),
        ("object.metadata.name.startsWith('p') && object.metadata.name.matches('^[a-z]$')", True),
        ("object.metadata.?annotations['example.com/inject'].orValue('') == 'enabled'", True),
        ("object.spec.terminationGracePeriodSeconds > 29", True),
        ("size(object.spec.containers) == 1", True),
        ("true || object.spec.nothing", True),
    ],
)
async def test_a_condition(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, expression: str, *, asked: bool
) -> None:
    """In CEL, over the object, the old object and the request."""
    await hooks.put(hooks.hook(matchConditions=[{"name": "one", "expression": expression}]))
    await api.create(pods, labelled("p", {"example.com/inject": "enabled"}), dryRun="All")
    assert (["p"] if asked else []) == hooks.webhook.names


async def test_all_conditions_must_hold(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """One that is false is enough, also where another cannot be told."""
    conditions = [
        {"name": "broken", "expression": "object.spec.nothing == 'x'"},
        {"name": "false", "expression": "request.name == 'other'"},
    ]
    await hooks.put(hooks.hook(matchConditions=conditions))
    await api.create(pods, cluster.pod(), dryRun="All")
    assert [] == hooks.webhook.calls


async def test_only_who_opted_in_depends_on_the_webhook(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """What match conditions are for: an outage touches nobody else."""
    client = {**hooks.webhook.client(), "url": "https://127.0.0.1:1/"}
    conditions = [{"name": "opted-in", "expression": OPTED_IN}]
    await hooks.put(hooks.hook(clientConfig=client, matchConditions=conditions))
    await api.create(pods, cluster.pod("a"))
    await api.create(pods, labelled("b", {"example.com/inject": "disabled"}))
    refused = await api.call("POST", pods, labelled("c", {"example.com/inject": "enabled"}))
    refused.refused(500, "InternalError")


@pytest.mark.parametrize("kind", [hooked.MUTATING, hooked.VALIDATING])
async def test_a_condition_that_cannot_be_told(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, kind: str
) -> None:
    """Is a refusal where failing is closed, and no call where it is open."""
    condition = {"name": "one", "expression": "object.spec.nothing == 'x'"}
    await hooks.put(hooks.hook(matchConditions=[condition], failurePolicy="Ignore"), kind=kind)
    await api.create(pods, cluster.pod(), dryRun="All")
    await hooks.put(hooks.hook(matchConditions=[condition]), kind=kind)
    refused = (await api.call("POST", pods, cluster.pod())).refused(403, "Forbidden")
    why = "expression 'object.spec.nothing == 'x'' resulted in error: no such key: nothing"
    assert f'pods "p" is forbidden: {why}' == refused["message"]
    assert [] == hooks.webhook.calls
