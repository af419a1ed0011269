"""Annotations of Services: what is read, what is refused and how that is said; the picture, and the Event.

Leaves out what Envoy does with it (``tests/functional/injector/test_balancing``).
"""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector import names
from injector.cluster import balancing, index, objects, remarks
from injector.kube import events
from ipseity import identity
from tests import examples
from tests.fakes import cluster_objects

P = names.BALANCER_PREFIX
ACCRUAL = f"{P}failure-accrual"
NOTHING = balancing.DEFAULT, ()


def test_linkerds_defaults() -> None:
    """7 failures, 1 s to 60 s, half of it at random; limits and policy are as without annotations."""
    expected = balancing.Balancing(
        accrual=balancing.Accrual(max_failures=7, min_penalty_s=1.0, max_penalty_s=60.0, jitter_ratio=0.5)
    )
    assert (expected, ()) == balancing.read({ACCRUAL: "consecutive"})
    assert NOTHING == balancing.read({"balancer.linkerd.io/failure-accrual": "consecutive", "other": "x"})


def test_everything_that_can_be_said() -> None:
    said = {
        ACCRUAL: "consecutive",
        f"{ACCRUAL}-consecutive-max-failures": "3",
        f"{ACCRUAL}-consecutive-min-penalty": "500ms",
        f"{ACCRUAL}-consecutive-max-penalty": "1m30s",
        f"{ACCRUAL}-consecutive-jitter-ratio": "0.25",
        f"{P}load-balancing": "round-robin",
        f"{P}max-connections": "100",
        f"{P}max-pending-requests": "10",
        f"{P}max-requests": "200",
    }
    assert set(balancing.TABLE) == set(said)
    expected = balancing.Balancing(
        policy=balancing.Policy.ROUND_ROBIN,
        accrual=balancing.Accrual(max_failures=3, min_penalty_s=0.5, max_penalty_s=90, jitter_ratio=0.25),
        max_connections=100,
        max_pending_requests=10,
        max_requests=200,
    )
    assert (expected, ()) == balancing.read(said)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max-failures", "0"),
        ("max-failures", "-1"),
        ("max-failures", "99999999999"),
        ("max-failures", "7.5"),
        ("min-penalty", "0s"),
        ("min-penalty", "1"),
        ("min-penalty", "1 s"),
        ("max-penalty", "1w"),
        ("max-penalty", "99999d"),
        ("min-penalty", "1h1ms"),
        ("jitter-ratio", "100.1"),
        ("jitter-ratio", "nan"),
        ("jitter-ratio", "-0.1"),
    ],
)
def test_a_bad_value_is_named_and_the_default_holds(key: str, value: str) -> None:
    """With what is allowed; the others are read."""
    whole = f"{ACCRUAL}-consecutive-{key}"
    found, (said,) = balancing.read({ACCRUAL: "consecutive", whole: value, f"{P}max-requests": "5"})
    assert balancing.Balancing(accrual=balancing.Accrual(), max_requests=5) == found
    assert (True, True, True) == (whole in said, repr(value) in said, balancing.TABLE[whole].allowed in said)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({ACCRUAL: "unified"}, "allowed: consecutive"),
        ({f"{P}load-balancing": "peak-ewma"}, "least-request, round-robin, random"),
        ({f"{P}max-conections": "5"}, f"nearest one there is: {P}max-connections"),
        ({f"{ACCRUAL}-consecutive-max-failures": "5"}, f"say nothing without {ACCRUAL}: consecutive"),
    ],
)
def test_what_would_do_nothing_says_so(said: dict[str, str], words: str) -> None:
    found, (complaint,) = balancing.read(said)
    assert (balancing.DEFAULT, True) == (found, words in complaint)


def test_penalties_that_contradict_each_other_are_both_ignored() -> None:
    """The least is above the default of the most."""
    found, (complaint,) = balancing.read({ACCRUAL: "consecutive", f"{ACCRUAL}-consecutive-min-penalty": "2m"})
    assert balancing.Balancing(accrual=balancing.Accrual()) == found
    assert "120 s" in complaint


def test_a_jitter_that_is_too_long_is_ignored() -> None:
    """An hour at most: proxies would refuse everything else along with it."""
    said = {f"{ACCRUAL}-consecutive-{key}": "1h" for key in ("min-penalty", "max-penalty")}
    ratio = f"{ACCRUAL}-consecutive-jitter-ratio"
    longest = balancing.Accrual(min_penalty_s=3600, max_penalty_s=3600)
    whole, nothing = balancing.read({ACCRUAL: "consecutive", **said, ratio: "1.0"})
    assert (dataclasses.replace(longest, jitter_ratio=1), ()) == (whole.accrual, nothing)
    found, (complaint,) = balancing.read({ACCRUAL: "consecutive", **said, ratio: "1.001"})
    assert balancing.Balancing(accrual=longest) == found
    assert f"{ratio} (1.001)" in complaint


@settings(max_examples=examples.of(60))
@given(st.dictionaries(st.sampled_from(sorted(balancing.TABLE)), st.text(max_size=12), max_size=4))
def test_it_never_raises_and_penalties_are_in_order(said: dict[str, str]) -> None:
    found, _ = balancing.read(said)
    accrual = found.accrual or balancing.Accrual()
    assert 0 < accrual.min_penalty_s <= accrual.max_penalty_s
    assert accrual.max_failures > 0


def service(name: str, annotations: dict[str, str]) -> objects.ServiceRecord:
    item = cluster_objects.service(name)
    item["metadata"]["annotations"] = annotations
    return objects.service(item)


def test_the_picture_has_it_and_knows_what_is_wrong() -> None:
    """Of one Service; the other is as it was. What is mended, or gone, is forgotten."""
    known = index.Index(identity.TrustDomain("cluster.local"))
    known.seen(service("web", {ACCRUAL: "consecutive", f"{P}max-requests": "many"}))
    known.seen(service("db", {}))
    state = known.state()
    assert balancing.Balancing(accrual=balancing.Accrual()) == state.services["shop/web"].balance
    assert balancing.DEFAULT == state.services["shop/db"].balance
    assert ["shop/web"] == list(known.misbalanced)
    known.seen(service("web", {ACCRUAL: "consecutive"}))
    assert {} == known.misbalanced
    known.seen(wrong := service("web", {ACCRUAL: "no"}))
    known.gone(wrong)
    assert {} == known.misbalanced


def test_a_complaint_is_told_once_for_as_long_as_it_lasts() -> None:
    """On the Service, as kubectl describe looks for it."""
    told: list[events.Event] = []
    ours = remarks.Remarks(told.append)
    wrong = service("web", {ACCRUAL: "no"})
    for _ in range(3):
        ours.update({wrong.key: wrong})
    (event,) = told
    assert ("Service", "shop", "web", "uid-web") == (
        event.about.kind, event.about.namespace, event.about.name, event.about.uid
    )  # fmt: skip
    assert (events.Kind.WARNING, "InvalidAnnotation") == (event.kind, event.reason)
    ours.update({})
    ours.update({wrong.key: wrong})
    assert 2 == len(told)
