"""Whom the API server asks us about. Its expressions are evaluated by CEL itself.

Leaves out how an API server uses the object: the contract suite of the lab.
"""

import base64
import pathlib
from typing import Any

import pytest
import yaml

from comparisons.lab.api import expressions
from injector import names
from injector.webhook import configuration, decide
from tests.fakes import recordings
from tests.golden import golden

ROOT = pathlib.Path(__file__).parents[4]
RENDERED = ROOT / "tests/golden/injector/webhook/configuration.yaml"
CERT_MANAGER = ROOT / "deploy/cert-manager/webhook-configuration.yaml"
VARIABLES = ("object", "oldObject", "request", "authorizer")


def webhook(name: str) -> dict[str, Any]:
    rendered = configuration.render(configuration.Endpoint())
    return next(each for each in rendered["webhooks"] if each["name"] == f"{name}.ipseity.io")


def holds(name: str, metadata: dict[str, Any]) -> bool:
    """Evaluate all conditions of a webhook for an object."""
    data = {"object": {"metadata": metadata}, "oldObject": None, "request": {}, "authorizer": None}
    return all(
        expressions.compiled(condition["expression"], VARIABLES).evaluate(data)
        for condition in webhook(name)["matchConditions"]
    )


def said(value: str) -> dict[str, Any]:
    return {"annotations": {names.INJECT: value}}


class Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(**options: str) -> str:
    rendered = configuration.render(configuration.Endpoint(), **options)
    head = "# Made by tests/unit/injector/webhook/test_configuration.py --update\n"
    return head + yaml.dump(rendered, Dumper=Plain, sort_keys=False, width=110)


def test_what_the_control_plane_writes_is_in_a_file(request: pytest.FixtureRequest) -> None:
    """But for ``caBundle``."""
    golden.check(request, RENDERED, written())


def test_the_manifest_for_cert_manager_is_what_is_rendered(request: pytest.FixtureRequest) -> None:
    """It names the Certificate beside it."""
    golden.check(request, CERT_MANAGER, written(cert_manager="ipseity-system/ipseity-webhook"))
    issuer, certificate = yaml.safe_load_all((CERT_MANAGER.parent / "certificate.yaml").read_text())
    assert issuer["metadata"]["name"] == certificate["spec"]["issuerRef"]["name"]
    assert ("ipseity-system", "ipseity-webhook") == (
        certificate["metadata"]["namespace"],
        certificate["metadata"]["name"],
    )
    assert f"{names.CONTROL_PLANE}.{names.SYSTEM_NAMESPACE}.svc" in certificate["spec"]["dnsNames"]


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [
        ({}, False),
        ({"annotations": {}}, False),
        ({"annotations": {"example.com/inject": "enabled"}}, False),
        (said("disabled"), False),
        (said("enabled"), True),
        (said("enable"), True),
    ],
)
def test_a_pod_is_asked_about_if_it_says_something_itself(metadata: dict[str, Any], *, asked: bool) -> None:
    """An outage cannot touch a pod that says nothing, or no."""
    assert asked == holds("pods.inject", metadata)


@pytest.mark.parametrize("metadata", [{}, {"annotations": {}}, said("disabled"), said("enabled"), said("x")])
def test_a_pod_is_never_asked_about_twice(metadata: dict[str, Any]) -> None:
    """In a namespace that opted in, the second webhook has those that say nothing."""
    assert holds("namespaced-pods.inject", metadata) == (names.INJECT not in metadata.get("annotations", {}))


LABELLED = {"labels": {names.INJECTS: "enabled"}}


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [
        ({}, False),
        (said("enabled"), True),
        (said("disabled"), False),
        (LABELLED, True),
        ({**said("disabled"), **LABELLED}, True),
        ({**said("enabled"), **LABELLED}, False),
        ({**said("enabled"), "labels": {names.INJECTS: "x"}}, True),
    ],
)
def test_a_namespace_is_asked_about_if_label_and_annotation_differ(metadata: dict[str, Any], *, asked: bool) -> None:
    """Other writes of namespaces never wait for us."""
    assert asked == holds("namespaces.inject", metadata)


def test_every_webhook_leaves_the_cluster_its_own_namespaces() -> None:
    """A cluster whose DNS waits for our webhook does not start."""
    for each in configuration.render(configuration.Endpoint(namespace="mesh"))["webhooks"]:
        exempt = each["namespaceSelector"]["matchExpressions"][0]
        assert ("kubernetes.io/metadata.name", "NotIn", [*decide.EXEMPT, "mesh"]) == tuple(exempt.values())
        assert "Fail" == each["failurePolicy"]


def test_it_has_the_fields_of_a_real_one() -> None:
    """As kube-apiserver v1.36 gave one back, but for what we leave to its defaults."""
    [recorded] = recordings.load("mutatingwebhookconfiguration")["webhooks"]
    assert {"objectSelector"} == set(recorded) - set(webhook("pods.inject"))


def test_an_endpoint_is_a_url_or_a_service() -> None:
    """The lab has no Service for a process on its host."""
    rendered = configuration.render(configuration.Endpoint(url="https://127.0.0.1:8443/"), b"PEM")
    client = rendered["webhooks"][0]["clientConfig"]
    assert {"url": "https://127.0.0.1:8443/inject", "caBundle": base64.b64encode(b"PEM").decode()} == client
    assert b"PEM" == configuration.bundle_of(rendered)


def test_cert_manager_writes_the_bundle_instead() -> None:
    """What it wrote stays when we write ours."""
    rendered = configuration.render(configuration.Endpoint(), cert_manager="ipseity-system/webhook")
    assert {"cert-manager.io/inject-ca-from": "ipseity-system/webhook"} == rendered["metadata"]["annotations"]
    found = configuration.render(configuration.Endpoint(), b"THEIRS", cert_manager="ipseity-system/webhook")
    assert configuration.updated(found, rendered) is None


def test_what_differs_is_written_over_what_was_found() -> None:
    """What the API server filled in, and what others wrote, stays."""
    found = configuration.render(configuration.Endpoint(), b"OLD")
    found["metadata"] |= {"resourceVersion": "7", "annotations": {"theirs": "x"}}
    for each in found["webhooks"]:
        each["objectSelector"] = {}
    assert configuration.updated(found, configuration.render(configuration.Endpoint(), b"OLD")) is None
    wanted = configuration.updated(found, configuration.render(configuration.Endpoint(), b"NEW"))
    assert wanted is not None
    assert b"NEW" == configuration.bundle_of(wanted)
    assert ("7", {"theirs": "x"}) == (wanted["metadata"]["resourceVersion"], wanted["metadata"]["annotations"])
    assert all({} == each["objectSelector"] for each in wanted["webhooks"])


def test_bundles_that_differ_are_no_bundle() -> None:
    """It is written anew; so is what is not base64."""
    found = configuration.render(configuration.Endpoint(), b"A")
    found["webhooks"][1]["clientConfig"]["caBundle"] = "Qg=="
    assert b"" == configuration.bundle_of(found)
    assert b"" == configuration.bundle_of({"webhooks": [{"clientConfig": {"caBundle": "A"}}]})
