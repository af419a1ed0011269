"""The CRD's schema and the reader agree on the shape: what one takes, the other takes.

Leaves out what a schema cannot say (the form of labels, a range that ends before it starts) and Kubernetes' own rules
for schemas: the lab's API server and a real one judge those.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from injector import errors
from injector.policy import model, status
from tests.fakes import policies
from tests.repo import tree
from tests.unit.injector.policy import test_model

CRD: Any = yaml.safe_load((tree.ROOT / "deploy/crds/authorizationpolicies.yaml").read_text())
(VERSION,) = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
BEYOND_SCHEMA = {"matchLabels", "portRanges[0].end"}
"""Places where the reader says more."""


def closed(schema: Any) -> Any:
    """Give the schema with fields that are not in it refused, as strict field validation does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made["additionalProperties"] = False
    return made


VALIDATOR = jsonschema.Draft7Validator(closed({"type": "object", "properties": {"spec": SCHEMA["properties"]["spec"]}}))


def taken_by_schema(item: Any) -> bool:
    return bool(VALIDATOR.is_valid({"spec": item.get("spec")}))


def taken_by_reader(item: Any) -> bool:
    try:
        model.parse(item, policies.TRUST_DOMAIN)
    except errors.InvalidPolicy:
        return False
    return True


def test_it_is_served_as_the_code_asks_for_it() -> None:
    """Group, version, plural and kind; status is a subresource; namespaced."""
    names = CRD["spec"]["names"]
    assert f"/apis/{CRD['spec']['group']}/{VERSION['name']}/{names['plural']}" == model.PATH
    assert (model.KIND, "Namespaced", {"status": {}}) == (names["kind"], CRD["spec"]["scope"], VERSION["subresources"])
    assert CRD["metadata"]["name"] == f"{names['plural']}.{CRD['spec']['group']}"
    assert ["Targets", "Action", "Accepted", "Age"] == [each["name"] for each in VERSION["additionalPrinterColumns"]]


@pytest.mark.parametrize(("place", "value", "said"), test_model.WRONG, ids=[each[2][:60] for each in test_model.WRONG])
def test_the_schema_refuses_what_the_reader_refuses(place: Any, value: Any, said: str) -> None:
    """So a mistake is told when it is written, not later."""
    if place[0] == "spec" and not any(beyond in said for beyond in BEYOND_SCHEMA):
        assert not taken_by_schema(test_model.changed(place, value))


SOURCES: list[Any] = [
    policies.account("web"),
    policies.account("*", "ops"),
    {"type": "Namespace", "namespace": "ops"},
    {"type": "SPIFFE", "spiffe": "spiffe://a.b/ns/c/sa/d.e"},
]
ATTRIBUTES: list[Any] = [{}, {"ports": [1, 65535]}, {"portRanges": [{"start": 1, "end": 1}]}]
SELECTORS: list[Any] = [
    {},
    {"matchLabels": {"app": "db", "example.com/x": ""}},
    {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    {"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "DoesNotExist", "values": []}]},
]


def good() -> Iterator[Any]:
    for source, attributes, selector in itertools.product(SOURCES, ATTRIBUTES, SELECTORS):
        item = copy.deepcopy(policies.item(rules=[{"sources": [source], "networkAttributes": attributes}, {}]))
        item["spec"]["targetRefs"][0]["selector"] = selector
        yield item
    yield policies.item(rules=[])
    yield policies.item(action="AUDIT")
    yield {**policies.item(), "spec": {**policies.item()["spec"], "enforcementLevel": "Network"}}


@pytest.mark.parametrize("item", list(good()))
def test_the_schema_takes_what_the_reader_takes(item: Any) -> None:
    """Every type of source, attribute and selector."""
    assert taken_by_reader(item)
    assert taken_by_schema(item)


def test_the_schema_bounds_what_the_reader_bounds() -> None:
    """By the same numbers."""
    spec = SCHEMA["properties"]["spec"]["properties"]
    rule = spec["rules"]["items"]["properties"]
    assert (model.MAX_RULES, model.MAX_SOURCES) == (spec["rules"]["maxItems"], rule["sources"]["maxItems"])
    assert {model.MAX_PORTS} == {each["maxItems"] for each in rule["networkAttributes"]["properties"].values()}


@pytest.mark.parametrize("kept", [{}, {"inForce": {"generation": 1, "spec": policies.item()["spec"]}}])
def test_the_status_that_is_written_is_one_that_is_stored(kept: Any) -> None:
    """Nothing of it would be pruned or refused."""
    from injector.policy import book

    entry = book.Book(policies.TRUST_DOMAIN).apply(policies.item(status=kept))
    assert entry is not None
    said = status.desired(entry, 3, now_text="2026-01-01T00:00:00Z")
    schema = closed(SCHEMA["properties"]["status"])
    schema["properties"]["inForce"]["properties"]["spec"].pop("additionalProperties", None)
    jsonschema.Draft7Validator(schema).validate({**said, **kept})
