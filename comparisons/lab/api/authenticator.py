"""A bearer token -> who that is, or the real server's words for why nobody.

A service account token is good while its signature, its times, its audience and everything that it is bound to hold:
a pod's token ends with the pod. What was found good is believed for ten seconds, as kube-apiserver's token cache
does: so the token of a pod that was just deleted still passes for that long. Leaves out client certificates,
impersonation, and what somebody may do (``authorizing``).
"""

import dataclasses
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds, store, tokens, users

API_AUDIENCES = (tokens.ISSUER,)
BELIEVED_S = 10
"""kube-apiserver's TokenSuccessCacheTTL."""
MOST_BELIEVED = 4096
"""Answers that are remembered; the oldest go first. Arbitrary: more than a lab has tokens."""
LEEWAY_S = 60
"""go-jose's DefaultLeeway: how far clocks may be apart, and how long a deletion is overlooked."""
UNKNOWN = "invalid bearer token"
INVALIDATED = "service account token has been invalidated"
PREFIX = "authentication.kubernetes.io/"


class Unauthenticated(Exception):  # noqa: N818  # it reads as what happened
    """Nobody known; the message is what a TokenReview says."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Somebody, and which of the asked audiences the token is for."""

    user: users.User
    audiences: tuple[str, ...]


class Authenticator:
    """Knows every token that this server takes."""

    def __init__(self, signer: tokens.Signer, objects: store.Store, admin_token: str) -> None:
        self._signer = signer
        self._objects = objects
        self._admin_token = admin_token.encode()
        self._believed: dict[tuple[bytes, tuple[str, ...]], tuple[Answer, int]] = {}
        """(token's digest, audiences) -> the answer and until when it stands (wall clock, ns)."""

    def authenticate(self, token: str, audiences: Sequence[str], now_wall_ns: int) -> Answer:
        """Return who the token is; no audiences means the API server's. Raises Unauthenticated."""
        asked = tuple(audiences) or API_AUDIENCES
        key = (hashlib.sha256(token.encode()).digest(), asked)
        answer, until_ns = self._believed.get(key, (None, 0))
        if answer is not None and now_wall_ns < until_ns:
            return answer
        answer = self._admin(token, asked) or self._account(token, asked, now_wall_ns)
        self._believed.pop(key, None)
        self._believed[key] = (answer, now_wall_ns + BELIEVED_S * 10**9)
        if len(self._believed) > MOST_BELIEVED:
            del self._believed[next(iter(self._believed))]
        return answer

    def _admin(self, token: str, asked: tuple[str, ...]) -> Answer | None:
        if not hmac.compare_digest(token.encode(), self._admin_token):
            return None
        common = _common(API_AUDIENCES, asked)  # it has no audience of its own: it is the API server's
        return Answer(user=users.ADMIN, audiences=common) if common else None

    def _account(self, token: str, asked: tuple[str, ...], now_wall_ns: int) -> Answer:
        try:
            claims = self._signer.read(token)
        except tokens.NotOurs as error:
            raise Unauthenticated(UNKNOWN) from error
        except tokens.Wrong as error:
            raise _invalid(str(error)) from error
        audiences = _common(claims.audiences, asked)
        if not audiences:
            words = f"token audiences {_quoted(claims.audiences)} is invalid for the target audiences {_quoted(asked)}"
            raise _invalid(words)
        self._check_times(claims, now_wall_ns // 10**9)
        self._check_account(claims, now_wall_ns)
        self._check_bound(claims, now_wall_ns)
        return Answer(user=_user(claims), audiences=audiences)

    def _check_times(self, claims: tokens.Claims, now_s: int) -> None:
        if now_s - LEEWAY_S > claims.expires_s:
            raise _invalid("service account token has expired")
        if now_s + LEEWAY_S < claims.issued_s:
            raise _invalid("service account token is not valid yet")

    def _check_account(self, claims: tokens.Claims, now_wall_ns: int) -> None:
        namespace, account = claims.namespace, claims.account
        found = self._objects.get(kinds.SERVICE_ACCOUNT, (namespace, account.name))
        if found is None:
            raise _invalid(f'serviceaccounts "{account.name}" not found')
        if found["metadata"]["uid"] != account.uid:
            raise _invalid(f"service account UID ({found['metadata']['uid']}) does not match claim ({account.uid})")
        if _deleted(found, now_wall_ns):
            raise _invalid(f"service account {namespace}/{account.name} has been deleted")

    def _check_bound(self, claims: tokens.Claims, now_wall_ns: int) -> None:
        """Everything that the token ends with. One that is bound to a pod names its node for information only."""
        wanted = {kind: it for kind, it in claims.bound.items() if kind != "node" or "pod" not in claims.bound}
        for word, reference in wanted.items():
            kind = BOUND_TO[word]
            found = self._objects.get(kind, (claims.namespace if kind.namespaced else "", reference.name))
            if found is None or _deleted(found, now_wall_ns):
                raise _invalid(INVALIDATED)
            uid = found["metadata"]["uid"]
            if uid != reference.uid:
                words = f"{word} UID ({uid}) does not match service account {word} ref claim ({reference.uid})"
                raise _invalid(words)


BOUND_TO = {"pod": kinds.POD, "node": kinds.NODE, "secret": kinds.SECRET}


def _invalid(words: str) -> Unauthenticated:
    return Unauthenticated(f"[{UNKNOWN}, {words}]")


def _common(has: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for each in has if each in asked)


def _quoted(words: Sequence[str]) -> str:
    """As Go's %q writes a list of strings."""
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return "[" + " ".join(f'"{word}"' for word in escaped) + "]"


def _deleted(found: dict[str, Any], now_wall_ns: int) -> bool:
    when = found["metadata"].get("deletionTimestamp")
    return when is not None and clock.parse(when) < now_wall_ns - LEEWAY_S * 10**9


def _user(claims: tokens.Claims) -> users.User:
    extra = {f"{PREFIX}credential-id": (f"JTI={claims.identity}",)}
    for kind in ("node", "pod"):
        reference = claims.bound.get(kind)
        if reference is not None:
            named = {f"{PREFIX}{kind}-name": (reference.name,), f"{PREFIX}{kind}-uid": (reference.uid,)}
            extra |= {key: value for key, value in named.items() if value[0]}
    return users.service_account(claims.namespace, claims.account.name, claims.account.uid, extra)
