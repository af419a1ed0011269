"""Service account tokens: claims <-> a signed JWT, and the key that signs them.

The claims are those of k8s.io/kubernetes/pkg/serviceaccount/claims.go. A token that is not ours, and one that is ours
and wrong, are told apart, because the real server words the two differently. Leaves out whether what a token claims
is still so: ``authenticator``.
"""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Value = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""``--service-account-issuer``; also the one audience of the API server (``--api-audiences``)."""
ALGORITHM = "RS256"
KEY_BITS = 2048
"""As kubeadm makes its ``sa.key``."""
MAX_BYTES = 64 * 1024
"""Arbitrary: ten times what a token with many audiences has. More is not looked at."""


class NotOurs(Exception):  # noqa: N818  # it reads as what happened
    """No token of this issuer: somebody else may know it."""


class Wrong(Exception):  # noqa: N818  # it reads as what happened
    """A token that names this issuer, and is none of its tokens; the message is the real server's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An object that a token is bound to."""

    name: str
    uid: str = ""

    def json(self) -> Value:
        """As the claim has it; a node that is not known has a name only."""
        return {"name": self.name} | ({"uid": self.uid} if self.uid else {})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says. Times are whole seconds since 1970."""

    identity: str
    """``jti``: unique for every token."""
    audiences: tuple[str, ...]
    namespace: str
    account: Reference
    issued_s: int
    expires_s: int
    bound: Mapping[str, Reference]
    """``pod``, ``node`` or ``secret`` -> what the token ends with. A pod's names its node, too."""
    warn_after_s: int = 0
    """From when on a client should have had a newer one; 0: not said."""

    def json(self) -> Value:
        """Return the claims, sorted as the real server's are."""
        own: Value = {"namespace": self.namespace, "serviceaccount": self.account.json()}
        own |= {kind: reference.json() for kind, reference in self.bound.items()}
        own |= {"warnafter": self.warn_after_s} if self.warn_after_s else {}
        return {
            "aud": list(self.audiences),
            "exp": self.expires_s,
            "iat": self.issued_s,
            "iss": ISSUER,
            "jti": self.identity,
            "kubernetes.io": {key: own[key] for key in sorted(own)},
            "nbf": self.issued_s,
            "sub": f"system:serviceaccount:{self.namespace}:{self.account.name}",
        }


BOUND_KINDS = ("pod", "node", "secret")


class Signer:
    """The issuer: signs and reads. Holds the private key."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        public = key.public_key()
        encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._public = public
        self._key_id = _unpadded(hashlib.sha256(encoded).digest())

    def sign(self, claims: Claims) -> str:
        """Return the token."""
        header = {"alg": ALGORITHM, "kid": self._key_id, "typ": None}  # the real server says no type
        return jwt.encode(claims.json(), self._key, algorithm=ALGORITHM, headers=header)

    def read(self, token: str) -> Claims:
        """Return what a token says, its signature checked and nothing else. Raises NotOurs or Wrong."""
        if _unproven_issuer(token) != ISSUER:
            raise NotOurs
        try:
            jws = jwt.PyJWS(algorithms=[ALGORITHM])
            said = json.loads(jws.decode(token, self._public, algorithms=[ALGORITHM]))
            return _claims(said)
        except jwt.InvalidSignatureError as error:
            raise Wrong("go-jose/go-jose: error in cryptographic primitive") from error
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotOurs from error  # another algorithm, or a form that the real server cannot parse either

    def keys(self) -> Value:
        """Return the JSON Web Key Set by which anybody may check a token."""
        found = jwt.algorithms.RSAAlgorithm.to_jwk(self._public, as_dict=True)
        key = {"use": "sig", "kty": "RSA", "kid": self._key_id, "alg": ALGORITHM, "n": found["n"], "e": found["e"]}
        return {"keys": [key]}


def _unproven_issuer(token: str) -> str:
    """Return the issuer that a token names; empty for what is no token. Proves nothing."""
    if len(token) > MAX_BYTES:
        return ""
    parts = token.split(".")
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(payload["iss"]) if len(parts) == 3 else ""
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return ""


def _claims(said: Value) -> Claims:
    own = said["kubernetes.io"]
    return Claims(
        identity=str(said["jti"]),
        audiences=tuple(str(each) for each in said["aud"]),
        namespace=str(own["namespace"]),
        account=_reference(own["serviceaccount"]),
        issued_s=int(said["iat"]),
        expires_s=int(said["exp"]),
        bound={kind: _reference(own[kind]) for kind in BOUND_KINDS if kind in own},
        warn_after_s=int(own.get("warnafter", 0)),
    )


def _reference(said: Value) -> Reference:
    return Reference(name=str(said["name"]), uid=str(said.get("uid", "")))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def discovery(keys_url: str) -> Value:
    """``/.well-known/openid-configuration``."""
    return {
        "issuer": ISSUER,
        "jwks_uri": keys_url,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
