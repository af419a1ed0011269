"""Tokens and whose they are, with a clock in the test's hand. Leaves out HTTP: the contract tests have it."""

import dataclasses
import functools
from typing import Any

import hypothesis
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import strategies as st

from comparisons.lab import clock
from comparisons.lab.api import authenticator, kinds, store, tokens, users

NOW_S = 1_800_000_000
NOW_NS = NOW_S * 10**9
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "rec", "name": "app", "uid": "sa-1"}}
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"namespace": "rec", "name": "bare", "uid": "pod-1"},
    "spec": {"nodeName": "vm"},
}
CLAIMS = tokens.Claims(
    identity="jti-1",
    audiences=("my-agent",),
    namespace="rec",
    account=tokens.Reference(name="app", uid="sa-1"),
    issued_s=NOW_S,
    expires_s=NOW_S + 600,
    bound={"pod": tokens.Reference(name="bare", uid="pod-1"), "node": tokens.Reference(name="vm", uid="node-1")},
)


@functools.cache
def signer(number: int = 0) -> tokens.Signer:
    """Return an issuer; another one for another number."""
    return tokens.Signer(rsa.generate_private_key(public_exponent=65537, key_size=tokens.KEY_BITS))


@pytest.fixture
def objects() -> store.Store:
    """Hold the account and the pod that the claims speak of."""
    made = store.Store(history=7)
    made.put(kinds.SERVICE_ACCOUNT, ("rec", "app"), ACCOUNT)
    made.put(kinds.POD, ("rec", "bare"), POD)
    return made


@pytest.fixture
def known(objects: store.Store) -> authenticator.Authenticator:
    """Return an authenticator over these objects."""
    return authenticator.Authenticator(signer(), objects, "admins-token")


def shown(**changes: Any) -> str:
    """Return a token with these claims changed."""
    return signer().sign(dataclasses.replace(CLAIMS, **changes))


def refusal(known: authenticator.Authenticator, token: str, *audiences: str, after_s: float = 0) -> str:
    """Return why a token is nobody's."""
    with pytest.raises(authenticator.Unauthenticated) as refused:
        known.authenticate(token, audiences, NOW_NS + int(after_s * 10**9))
    return str(refused.value)


def test_what_was_signed_is_read() -> None:
    """Every claim comes back; the header names the key and no type."""
    token = shown(warn_after_s=NOW_S + 7)
    assert dataclasses.replace(CLAIMS, warn_after_s=NOW_S + 7) == signer().read(token)
    assert {"alg", "kid"} == jwt.get_unverified_header(token).keys()


def test_the_pods_user(known: authenticator.Authenticator) -> None:
    """Name, groups and what the token is bound to."""
    answer = known.authenticate(shown(), ("my-agent", "third"), NOW_NS)
    assert ("my-agent",) == answer.audiences
    assert "system:serviceaccount:rec:app" == answer.user.name
    assert ("pod-1",) == answer.user.extra["authentication.kubernetes.io/pod-uid"]
    assert ("vm",) == answer.user.extra["authentication.kubernetes.io/node-name"]


def test_the_admin(known: authenticator.Authenticator) -> None:
    """The kubeconfig's token is for the server, and for nobody else."""
    assert users.ADMIN == known.authenticate("admins-token", (), NOW_NS).user
    assert "invalid bearer token" == refusal(known, "admins-token", "my-agent")


def test_a_deleted_pods_token_passes_for_ten_seconds(known: authenticator.Authenticator, objects: store.Store) -> None:
    """Once it was found good; then never again. One that was not shown before is refused at once."""
    token, other = shown(), shown(identity="jti-2")
    known.authenticate(token, ("my-agent",), NOW_NS)
    objects.remove(kinds.POD, ("rec", "bare"), POD)
    assert known.authenticate(token, ("my-agent",), NOW_NS + 9 * 10**9).audiences
    words = "[invalid bearer token, service account token has been invalidated]"
    assert words == refusal(known, token, "my-agent", after_s=10)
    assert words == refusal(known, other, "my-agent")


def test_what_is_believed_is_believed_for_the_asked_audience_only(known: authenticator.Authenticator) -> None:
    """A good answer for one audience is none for another."""
    known.authenticate(shown(), ("my-agent",), NOW_NS)
    assert "is invalid for the target audiences" in refusal(known, shown(), "someone-else")


def test_what_is_remembered_is_bounded(known: authenticator.Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go first."""
    monkeypatch.setattr(authenticator, "MOST_BELIEVED", 3)
    for number in range(7):
        known.authenticate(shown(identity=f"jti-{number}"), ("my-agent",), NOW_NS)
    assert 3 == len(known._believed)


@pytest.mark.parametrize(
    ("changes", "after_s", "words"),
    [
        ({}, 661, "service account token has expired"),
        ({"issued_s": NOW_S + 61}, 0, "service account token is not valid yet"),
        (
            {"account": tokens.Reference(name="app", uid="sa-0")},
            0,
            "service account UID (sa-1) does not match claim (sa-0)",
        ),
        ({"account": tokens.Reference(name="none", uid="sa-1")}, 0, 'serviceaccounts "none" not found'),
        (
            {"bound": {"pod": tokens.Reference(name="bare", uid="pod-0")}},
            0,
            "pod UID (pod-1) does not match service account pod ref claim (pod-0)",
        ),
        (
            {"bound": {"node": tokens.Reference(name="vm", uid="node-1")}},
            0,
            "service account token has been invalidated",
        ),
        (
            {"bound": {"secret": tokens.Reference(name="s", uid="x")}},
            0,
            "service account token has been invalidated",
        ),
    ],
)
def test_what_is_claimed_must_be_so(
    known: authenticator.Authenticator, changes: dict[str, Any], after_s: float, words: str
) -> None:
    """In the words of the real server."""
    assert f"[invalid bearer token, {words}]" == refusal(known, shown(**changes), "my-agent", after_s=after_s)


def test_a_minute_of_skew_is_overlooked(known: authenticator.Authenticator) -> None:
    """A token is good a minute before and after its time."""
    assert known.authenticate(shown(), ("my-agent",), NOW_NS + 660 * 10**9).audiences
    assert known.authenticate(shown(issued_s=NOW_S + 60), ("my-agent",), NOW_NS).audiences


def test_a_pod_on_its_way_out_keeps_its_token_for_a_minute(objects: store.Store) -> None:
    """Counted from the end of its grace period."""
    known = authenticator.Authenticator(signer(), objects, "admins-token")
    leaving = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": clock.rfc3339(NOW_NS)}}
    objects.put(kinds.POD, ("rec", "bare"), leaving)
    assert known.authenticate(shown(), ("my-agent",), NOW_NS + 60 * 10**9).audiences
    assert "invalidated" in refusal(known, shown(), "my-agent", after_s=71)


def test_another_key(known: authenticator.Authenticator) -> None:
    """A token of the same issuer by another key, and one without any signature."""
    words = "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"
    assert words == refusal(known, signer(1).sign(CLAIMS), "my-agent")
    unsigned = jwt.encode(CLAIMS.json(), None, algorithm="none")
    assert "invalid bearer token" == refusal(known, unsigned, "my-agent")


@hypothesis.given(token=st.text(max_size=99) | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,40}\.[\w-]{0,20}"))
@hypothesis.example("a.eyJpc3MiOiAiaHR0cHM6Ly9rdWJlcm5ldGVzLmRlZmF1bHQuc3ZjLmNsdXN0ZXIubG9jYWwifQ.c")
@hypothesis.example("x." + "W" * 5000 + ".y")
def test_garbage_is_refused(token: str) -> None:
    """Whatever is shown, the answer is a refusal and never a crash."""
    known = authenticator.Authenticator(signer(), store.Store(history=7), "admins-token")
    assert refusal(known, token, "my-agent").startswith(("invalid bearer token", "[invalid bearer token"))
