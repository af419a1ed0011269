"""Admission before a webhook that says anything at all. Leaves out HTTP: the contract tests have it."""

import base64
import contextlib
import json
from collections.abc import Coroutine
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from comparisons.lab.api import (
    admission,
    attributes,
    calling,
    change,
    defaulting,
    hooks,
    kinds,
    operations,
    status,
    store,
    validation,
    webhook_configuration,
)
from tests import examples

Value = dict[str, Any]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=7,
)
PATHS = st.sampled_from(
    [
        *("", "/", "/metadata", "/metadata/name", "/metadata/labels", "/metadata/labels/a~1b", "/kind", "/status"),
        *("/spec", "/spec/containers/0", "/spec/containers/-", "/spec/containers/7", "/spec/containers/0/image"),
        *("spec", "/~2"),
    ]
)
OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "jump"]) | JSON,
        "path": PATHS | JSON,
        "from": PATHS | JSON,
        "value": JSON,
    },
)
RESPONSE = st.fixed_dictionaries(
    {},
    optional={
        "allowed": st.sampled_from([True]) | JSON,
        "status": st.dictionaries(st.sampled_from(["message", "reason", "code", "details"]), JSON) | JSON,
        "warnings": st.lists(st.text(max_size=5), max_size=2) | JSON,
        "patchType": st.just("JSONPatch") | JSON,
        "patch": st.lists(OPERATION, max_size=3).map(
            lambda found: base64.b64encode(json.dumps(found).encode()).decode()
        )
        | JSON,
    },
)


class Said:
    """A webhook that answers what it is told to, with the right head and uid."""

    def __init__(self, *responses: Any) -> None:
        self._responses = list(responses)
        self.asked: list[Value] = []

    async def ask(self, hook: hooks.Hook, body: bytes) -> Any:
        """Answer, or fail if there is nothing more to say."""
        self.asked.append(json.loads(body)["request"])
        if not self._responses:
            raise calling.Unanswered(f"nothing to say to {hook.name}")
        response = self._responses.pop(0)
        if isinstance(response, dict):
            response = {"uid": self.asked[-1]["uid"], **response}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def configured(kind: kinds.Kind = kinds.MUTATING_WEBHOOK_CONFIGURATION, **more: Any) -> store.Store:
    """Return a store with one webhook for pods, and what a pod needs."""
    objects = store.Store(history=7)
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    hook = {"name": "a.example.com", "clientConfig": {"url": "https://a/"}, "rules": [rule], "sideEffects": "None"}
    hook |= {"admissionReviewVersions": ["v1"], **more}
    value = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}, "webhooks": [hook]}
    webhook_configuration.fill(value)
    assert list(webhook_configuration.check(value)) == []
    objects.put(kind, ("", "a"), value)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "n"}}
    objects.put(kinds.SERVICE_ACCOUNT, ("n", "default"), account)
    objects.put(kinds.NAMESPACE, ("", "n"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    return objects


def creation() -> attributes.Attributes:
    """Return the creation of a pod."""
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    pod: Value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": spec}
    defaulting.fill(kinds.POD, pod)
    return attributes.creation(kinds.POD, "n", pod, change.Change(manager="test", now_wall_ns=0))


async def outcome(work: Coroutine[None, None, Value | None]) -> Value | status.Refused | None:
    """Return what came of it: a value, or a refusal."""
    try:
        return await work
    except status.Refused as refused:
        return refused


@hypothesis.given(response=RESPONSE | JSON, policy=st.sampled_from(["Fail", "Ignore"]))
@hypothesis.example(response={"allowed": True, "patchType": "JSONPatch", "patch": "é"}, policy="Fail")
@hypothesis.settings(deadline=None, max_examples=examples.of(300))
async def test_any_answer_admits_or_refuses(response: Any, policy: str) -> None:
    """Never a crash; and what is admitted is judged like anything that a client sent."""
    admitting = admission.Admission(configured(failurePolicy=policy), Said(response))
    found = await outcome(admitting.mutate(creation()))
    if isinstance(found, status.Refused):
        assert 400 <= found.code <= 599
        assert json.dumps(found.body())
    else:
        assert found is not None
        assert ("v1", "Pod") == (found["apiVersion"], found["kind"])
        validation.check(kinds.POD, found)


@hypothesis.given(response=RESPONSE | JSON)
@hypothesis.settings(deadline=None, max_examples=examples.of(100))
async def test_a_validating_webhook_changes_nothing(response: Any) -> None:
    """Whatever it says."""
    asked = creation()
    before = json.dumps(asked.object)
    objects = configured(kinds.VALIDATING_WEBHOOK_CONFIGURATION)
    found = await outcome(admission.Admission(objects, Said(response)).validate(asked))
    assert found is None or 400 <= found.code <= 599
    assert before == json.dumps(asked.object)


@hypothesis.given(wanted=st.lists(OPERATION, max_size=4))
@hypothesis.settings(deadline=None)
def test_operations_leave_the_value_alone(wanted: list[Value]) -> None:
    """The patched object is another one; a patch that does not fit says so."""
    value = creation().object or {}
    before = json.dumps(value)
    with contextlib.suppress(operations.Inapplicable):
        assert isinstance(operations.applied(value, wanted), dict)
    assert before == json.dumps(value)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (
            {"op": "add", "path": "/metadata/annotations/a", "value": "b"},
            'add operation does not apply: doc is missing path: "/metadata/annotations/a": missing value',
        ),
        (
            {"op": "move", "from": "/spec/a", "path": "/spec/b"},
            'move operation does not apply: doc is missing path: "/spec/a": missing value',
        ),
        ({"op": "test", "path": "/kind", "value": "Job"}, "testing value /kind failed: test failed"),
        ({"op": "jump"}, "Unexpected kind: jump"),
    ],
)
def test_the_words_for_a_patch_that_does_not_fit(operation: Value, words: str) -> None:
    """As those of the library that the real server uses."""
    with pytest.raises(operations.Inapplicable) as caught:
        operations.applied(creation().object or {}, [operation])
    assert words == str(caught.value)


def test_a_patch_of_too_many_operations() -> None:
    """Is not begun."""
    operation = {"op": "test", "path": "/kind", "value": "Pod"}
    with pytest.raises(operations.Inapplicable, match="10001 operations"):
        operations.applied({"kind": "Pod"}, [operation] * 10_001)


async def test_a_webhook_that_nobody_answers_for() -> None:
    """Is an internal error that names it, or nothing."""
    with pytest.raises(status.Refused) as caught:
        await admission.Admission(configured(), Said()).mutate(creation())
    assert 'Internal error occurred: failed calling webhook "a.example.com": nothing to say' in caught.value.message
    found = await admission.Admission(configured(failurePolicy="Ignore"), Said()).mutate(creation())
    assert "p" == found["metadata"]["name"]


async def test_warnings_are_kept_for_the_client() -> None:
    """Also those of a refusal."""
    asked = creation()
    said = Said({"allowed": False, "warnings": ["a", "b"]})
    with pytest.raises(status.Refused):
        await admission.Admission(configured(), said).mutate(asked)
    assert ["a", "b"] == asked.write.warnings


@pytest.mark.parametrize("bundle", ["a", "é"])
def test_a_bundle_that_is_not_base64(bundle: str) -> None:
    """Is refused when it is written. (The real server does so even before, with a 400.)."""
    objects = configured()
    value = objects.get(kinds.MUTATING_WEBHOOK_CONFIGURATION, ("", "a")) or {}
    value["webhooks"][0]["clientConfig"]["caBundle"] = bundle
    assert ["webhooks[0].clientConfig.caBundle"] == [cause.field for cause in webhook_configuration.check(value)]
