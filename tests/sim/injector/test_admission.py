"""Generated pods and generated nonsense before the real ``injection.answer``.

    whole        every answer is an AdmissionReview with the request's uid
    valid        a pod that the API server would take is one that it takes after the patch
    additive     nothing of the author's is changed, moved against its like, or lost
    idempotent   what was injected is not injected again
    reversible   uninject gives back what there was
    calm         whatever bytes come, there is an answer or ``Malformed``

Leaves out HTTP (test_server) and what the sidecar's containers say (golden files). ``--hypothesis-profile thorough``
tries 10,000 of each.
"""

import contextlib
import copy
import json
from typing import Any

import hypothesis
import jsonpatch
from hypothesis import strategies as st

from comparisons.lab.api import defaulting, kinds, validation
from injector import names
from injector.webhook import decide, injection, patch, removal, review
from tests.fakes import admission

Value = dict[str, Any]
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
USERS = st.sampled_from([0, 1, 1000, names.PROXY_UID, 2203])
SWITCH = st.sampled_from(["enabled", "disabled", "enable", "", "true"])
CONFIG = st.dictionaries(
    st.sampled_from(["skip-inbound-ports", "proxy-uid", "proxy-native-sidecar", "inbound-policy", "proxy-typo"]).map(
        lambda key: names.CONFIG_PREFIX + key
    ),
    st.sampled_from(["80", "1-9,22", "2203", "enabled", "disabled", "strict", "nonsense", ""]),
    max_size=3,
)
GOOD_CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "config.ipseity.io/skip-inbound-ports": st.sampled_from(["80", "1-9,22", ""]),
        "config.ipseity.io/proxy-uid": st.sampled_from(["1", "2203"]),
        "config.ipseity.io/proxy-native-sidecar": st.sampled_from(["enabled", "disabled"]),
        "config.ipseity.io/proxy-memory-limit": st.just("64Mi"),
    },
)


def annotations(config: st.SearchStrategy[Any] = CONFIG) -> st.SearchStrategy[Any]:
    """Ours, right and wrong, and other people's."""
    ours = st.fixed_dictionaries({}, optional={names.INJECT: SWITCH})
    others = st.dictionaries(LABELS | st.just(patch.EVICTABLE) | st.just("example.com/a.b"), LABELS, max_size=2)
    return st.tuples(ours, config, others).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


SECURITY = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": USERS,
        "runAsNonRoot": st.booleans(),
        "capabilities": st.fixed_dictionaries({}, optional={"add": st.lists(st.sampled_from(["NET_ADMIN", "CHOWN"]))}),
    },
)
PORTS = st.lists(st.integers(1, 9000).map(lambda port: {"containerPort": port}), max_size=2)
PROBE = st.fixed_dictionaries({"tcpSocket": st.fixed_dictionaries({"port": st.integers(1, 65_535) | st.just("web")})})
CONTAINER = st.fixed_dictionaries(
    {"image": st.just("web:1")},
    optional={"ports": PORTS, "securityContext": SECURITY, "env": st.just([]), "readinessProbe": PROBE},
)


@st.composite
def pods(draw: st.DrawFn, config: st.SearchStrategy[Any] = CONFIG) -> Value:
    """Draw a pod that the API server takes."""
    containers = draw(st.lists(CONTAINER, min_size=1, max_size=3))
    initial = draw(maybe(st.lists(CONTAINER, max_size=2)))
    volumes = draw(maybe(st.lists(LABELS, max_size=2, unique=True)))
    metadata: Value = {"name": "web", "namespace": "shop", "annotations": draw(maybe(annotations(config)))}
    metadata["labels"] = draw(maybe(st.dictionaries(LABELS, LABELS, max_size=2)))
    spec: Value = {
        "containers": [{"name": f"c{number}", **each} for number, each in enumerate(containers)],
        "securityContext": draw(maybe(SECURITY)),
    }
    if initial is not None or draw(st.booleans()):
        spec["initContainers"] = initial and [{"name": f"i{number}", **each} for number, each in enumerate(initial)]
    if volumes is not None or draw(st.booleans()):
        spec["volumes"] = volumes and [{"name": name, "emptyDir": {}} for name in volumes]
    if draw(st.integers(0, 9)) == 0:
        spec["hostNetwork"] = True
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def complaints(pod: Value) -> list[Any]:
    """Ask the lab's API server what is wrong with a pod."""
    filled = copy.deepcopy(pod)
    filled["metadata"] = {key: value for key, value in filled["metadata"].items() if value is not None}
    filled["spec"] = {key: value for key, value in filled["spec"].items() if value is not None}
    defaulting.fill(kinds.POD, filled)
    return validation.check(kinds.POD, filled)


def named(pod: Value, place: str) -> list[str]:
    return [item["name"] for item in pod["spec"].get(place) or ()]


def bare(value: Any) -> Any:
    """Forget what is empty: a null, a missing list and an empty one are the same to Kubernetes."""
    if isinstance(value, dict):
        kept = {key: bare(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    return [bare(item) for item in value] if isinstance(value, list) else value


@hypothesis.settings(deadline=None)
@hypothesis.given(pod=pods(), said=annotations())
def test_a_pod_is_answered_and_stays_valid(pod: Value, said: dict[str, str]) -> None:
    """Whole, valid, additive, idempotent, reversible."""
    assert [] == complaints(pod)
    outcome = admission.ask(admission.body(pod), said)
    answered = admission.response(outcome.answer)
    assert admission.UID == answered["uid"]
    assert (outcome.result != "deny") == answered["allowed"]
    operations = admission.operations(outcome.answer)
    assert (outcome.result == "inject") == bool(operations)
    if operations:
        check_injected(pod, said, operations)


@hypothesis.settings(deadline=None)
@hypothesis.given(pod=pods(GOOD_CONFIG), said=GOOD_CONFIG)
def test_a_pod_of_a_willing_user_is_injected(pod: Value, said: dict[str, str]) -> None:
    """Unless it is one of those that cannot be."""
    metadata = pod["metadata"]
    metadata["annotations"] = {**(metadata["annotations"] or {}), names.INJECT: "enabled"}
    outcome = admission.ask(admission.body(pod), said)
    if outcome.reason not in (decide.Reason.HOST_NETWORK, decide.Refusal.PROXY_UID_TAKEN):
        assert "inject" == outcome.result
        check_injected(pod, said, admission.operations(outcome.answer))


def check_injected(pod: Value, said: dict[str, str], operations: list[Value]) -> None:
    """Look at the pod after its patch."""
    patched = jsonpatch.apply_patch(pod, operations)
    assert [] == complaints(patched)
    ours = {names.PROXY, names.REDIRECT}
    for place in ("containers", "initContainers", "volumes"):
        kept = [item for item in patched["spec"].get(place) or () if item["name"] not in ours | {*removal.spec.VOLUMES}]
        assert (pod["spec"].get(place) or []) == kept
    everything = named(patched, "initContainers") + named(patched, "containers")
    assert 1 == everything.count(names.PROXY) == everything.count(names.REDIRECT)
    native = names.PROXY in named(patched, "initContainers")
    assert not native or [names.REDIRECT, names.PROXY] == named(patched, "initContainers")[:2]
    assert native or (names.REDIRECT, names.PROXY) == (named(patched, "initContainers")[-1], everything_first(patched))
    again = admission.ask(admission.body(patched), said)
    assert ("skip", decide.Reason.ALREADY_INJECTED) == (again.result, again.reason)
    in_place = copy.deepcopy(pod)
    patch.apply(in_place, operations)
    assert patched == in_place
    assert removal.remove(in_place)
    assert bare(pod) == bare(in_place)


def everything_first(pod: Value) -> str:
    return named(pod, "containers")[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
PATHS = st.sampled_from(
    ["metadata", "metadata.annotations", "metadata.labels", "spec", "spec.containers", "spec.initContainers",
     "spec.volumes", "spec.securityContext", "spec.hostNetwork", "spec.nodeSelector", "spec.os", "metadata.name"]
)  # fmt: skip


@hypothesis.settings(deadline=None)
@hypothesis.given(pod=pods(), path=PATHS, wrong=JSON)
def test_a_pod_with_one_part_replaced_by_nonsense_gets_an_answer(pod: Value, path: str, wrong: object) -> None:
    """The patch, if there is one, can be applied; the API server judges the rest."""
    *way, last = path.split(".")
    place = pod
    for step in way:
        place = place[step]
    place[last] = wrong
    outcome = admission.ask(admission.body(pod), {names.INJECT: "enabled"})
    patched = jsonpatch.apply_patch(pod, admission.operations(outcome.answer))
    assert ("inject" == outcome.result) == (patched != pod)


@hypothesis.settings(deadline=None)
@hypothesis.given(data=st.data(), pod=pods(), wrong=JSON)
def test_a_review_with_one_field_replaced_by_nonsense(data: st.DataObject, pod: Value, wrong: object) -> None:
    """It is answered, or it is Malformed and says whose it was."""
    asked = json.loads(admission.body(pod))
    place = data.draw(st.sampled_from([asked, asked["request"], asked["request"]["resource"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = wrong
    uid, answer = answer_or_uid(json.dumps(asked).encode())
    assert uid in ("", admission.UID, wrong)
    assert answer is None or uid == admission.response(answer)["uid"]


def answer_or_uid(raw: bytes) -> tuple[str, bytes | None]:
    """Give whose request it was, as far as that can be read, and the answer if it was one at all."""
    try:
        request = review.read(raw)
    except review.Malformed as malformed:
        return malformed.uid, None
    return request.uid, injection.answer(request, {}, admission.INSTALLATION).answer


@hypothesis.settings(deadline=None)
@hypothesis.given(data=st.data(), pod=pods(), noise=st.binary(max_size=6))
def test_bytes_that_were_damaged_on_the_way(data: st.DataObject, pod: Value, noise: bytes) -> None:
    """Cut, spliced, or not text at all."""
    whole = admission.body(pod)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    with contextlib.suppress(review.Malformed):
        admission.ask(whole[:start] + noise + whole[end:])


@hypothesis.given(raw=st.binary(max_size=64))
def test_any_bytes(raw: bytes) -> None:
    """There is no uid to answer to."""
    with contextlib.suppress(review.Malformed):
        admission.ask(raw)


def test_nesting_without_end() -> None:
    """A parser that follows it down would fall over."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * 200_000 + closing * 200_000
        outcome = None
        raw = admission.body({"metadata": {}, "spec": {}}).replace(b'"spec": {}', b'"spec": ' + deep.encode())
        with contextlib.suppress(review.Malformed):
            outcome = admission.ask(raw)
        assert outcome is None or not admission.response(outcome.answer)["allowed"]
