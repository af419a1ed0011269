"""Whether a certificate is the one that was asked for. Pure: the clock is an argument.

Here because a pod that uses what it was handed unread would find out from its peers' refusals. Leaves out policy on
anchors (strength, extensions): a user may bring their own, and Envoy verifies peers by its own rules.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_MAX_CHAIN = 8
_CLOCKS = dt.timedelta(seconds=60)
"""How far in the future a certificate may begin: more than that is a clock that is wrong, and worth saying."""


class Unusable(Exception):  # noqa: N818  # it reads as what happened
    """The certificate is not the one that was asked for; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a certificate must fit."""

    key: ec.EllipticCurvePublicKey
    spiffe_id: str
    anchors: Sequence[x509.Certificate]
    now: dt.datetime


def check(chain: Sequence[x509.Certificate], asked: Asked) -> None:
    """Raise Unusable unless the leaf is for our key and name, is valid now, and leads to one of the anchors."""
    if not 1 <= len(chain) <= _MAX_CHAIN:
        raise Unusable(f"a chain of {len(chain)} certificates")
    leaf = chain[0]
    if _spki(leaf.public_key()) != _spki(asked.key):
        raise Unusable("the certificate is for another key")
    _check_name(leaf, asked.spiffe_id)
    for certificate in chain:
        _check_time(certificate, asked.now)
    _check_chain(chain, asked.anchors, asked.now)


def _check_name(leaf: x509.Certificate, spiffe_id: str) -> None:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    if uris != [spiffe_id]:
        raise Unusable(f"the certificate is for {', '.join(uris) or 'nobody'}, and this pod is {spiffe_id}")


def _check_time(certificate: x509.Certificate, now: dt.datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        raise Unusable(f"a certificate of the chain ended {_apart(now, ends)} ago by this node's clock")
    if begins - now > _CLOCKS:
        raise Unusable(f"a certificate of the chain begins in {_apart(begins, now)} by this node's clock")


def _check_chain(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now: dt.datetime) -> None:
    for lower, upper in itertools.pairwise(chain):
        if not (_is_ca(upper) and _issued(upper, lower)):
            raise Unusable(f"{upper.subject.rfc4514_string()!r} did not issue {lower.subject.rfc4514_string()!r}")
    top = chain[-1]
    living = [anchor for anchor in anchors if anchor.not_valid_after_utc > now]
    if not any(top == anchor or _issued(anchor, top) for anchor in living):
        issuer = top.issuer.rfc4514_string()
        raise Unusable(f"the chain ends at issuer {issuer!r}, which none of the {len(living)} valid anchors is")


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _issued(upper: x509.Certificate, lower: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return True


def _spki(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _apart(later: dt.datetime, earlier: dt.datetime) -> str:
    return f"{(later - earlier).total_seconds():.0f} s"
