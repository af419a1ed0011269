"""An issuer that may be used: its key is its own, and its chain ends at a trust anchor that everybody has.

Here because a bad issuer is an outage of everything that renews: it is found out before it signs anything, and the old
one stays. Whoever brings an issuer may use RSA (2048 to 4096 bits) or ECDSA on P-256, P-384 or P-521: what Envoy
verifies. Leaves out where it comes from (``authority``) and what it signs (``ca``).
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Final

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from injector import errors
from injector.identity import anchors
from ipseity import identity

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS: Final = range(2048, 4097)
_MAX_TIERS: Final = 4
"""Between leaf and anchor. Arbitrary: more makes every handshake longer, and nobody has them."""


class Reason(enum.StrEnum):
    """Why an issuer is not used."""

    UNREADABLE = "unreadable"
    KEY_MISMATCH = "key_mismatch"
    WEAK_KEY = "weak_key"
    NOT_AN_AUTHORITY = "not_an_authority"
    PATH_TOO_LONG = "path_too_long"
    FOREIGN_TRUST_DOMAIN = "foreign_trust_domain"
    NOT_VALID_NOW = "not_valid_now"
    NO_CHAIN = "no_chain"
    """It does not lead to an anchor in the bundle that every pod has."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One that passed ``check``."""

    certificate: x509.Certificate
    key: Key = dataclasses.field(repr=False)
    between: tuple[x509.Certificate, ...]
    """From the one that signed the issuer up to the one that the anchor signed; usually none."""
    anchor: x509.Certificate

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        """What a server presents after its leaf; nothing where the anchor itself is the issuer."""
        own = () if self.certificate == self.anchor else (self.certificate,)
        return own + self.between

    @property
    def not_after_s(self) -> float:
        """When the first in the chain expires, seconds since the epoch."""
        return min(each.not_valid_after_utc.timestamp() for each in (*self.presented, self.anchor))

    @property
    def not_before_s(self) -> float:
        """When the last in the chain begins to be valid."""
        return max(each.not_valid_before_utc.timestamp() for each in (*self.presented, self.anchor))


def read(
    certificate_pem: bytes,
    key_pem: bytes,
    trusted: Sequence[x509.Certificate],
    trust_domain: identity.TrustDomain,
    *,
    now_s: float,
) -> Issuer:
    """Read and check an issuer as a Secret has it: ``tls.crt`` (its chain may follow it) and ``tls.key``.

    ``trusted`` is the bundle that pods have: an issuer below any other anchor is refused. Raises Refused.
    """
    try:
        certificate, *rest = x509.load_pem_x509_certificates(certificate_pem)
        strong = _strong(serialization.load_pem_private_key(key_pem, password=None))
        if certificate.public_key() != strong.public_key():
            raise _refusal(Reason.KEY_MISMATCH, "tls.key is not the key of the certificate in tls.crt")
        between, anchor = _path(certificate, rest, trusted)
        for below, each in enumerate(dict.fromkeys((certificate, *between, anchor))):
            _check_authority(each, below, now_s=now_s)
            _check_trust_domain(each, trust_domain)
        return Issuer(certificate=certificate, key=strong, between=tuple(between), anchor=anchor)
    except anchors.UNREADABLE as error:
        raise _refusal(Reason.UNREADABLE, f"tls.crt or tls.key is not readable PEM: {error}") from error


def anchor_of(certificate_pem: bytes, trusted: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Say which anchor an issuer is below, whatever else may be wrong with it; None: none of them."""
    try:
        certificate, *rest = x509.load_pem_x509_certificates(certificate_pem)
        return _path(certificate, rest, trusted)[1]
    except (*anchors.UNREADABLE, errors.Refused):
        return None


def _refusal(reason: Reason, message: str) -> errors.Refused:
    return errors.Refused(
        f"the issuer is not used: {message}",
        reason=reason,
        hint="the issuer in use stays; put tls.crt, tls.key and ca.crt right, as cert-manager writes them",
    )


def _strong(key: object) -> Key:
    match key:
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, _CURVES):
            return key
        case rsa.RSAPrivateKey() if key.key_size in _RSA_BITS:
            return key
    raise _refusal(Reason.WEAK_KEY, "its key is neither ECDSA on P-256, P-384, P-521 nor RSA of 2048 to 4096 bits")


def _path(
    certificate: x509.Certificate, rest: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]
) -> tuple[list[x509.Certificate], x509.Certificate]:
    """Find the way from the issuer to an anchor over the certificates that came with it."""
    between: list[x509.Certificate] = []
    current = certificate
    for _ in range(_MAX_TIERS):
        anchor = next((each for each in trusted if current == each or _signed(current, each)), None)
        if anchor is not None:
            return ([] if current == certificate else between), anchor
        above = next((each for each in rest if each not in between and _signed(current, each)), None)
        if above is None:
            break
        between.append(above)
        current = above
    known = ", ".join(anchors.fingerprint(each)[:16] for each in trusted) or "none"
    raise _refusal(Reason.NO_CHAIN, f"its chain leads to no trust anchor that pods have (SHA-256 {known})")


def _signed(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, exceptions.InvalidSignature, exceptions.UnsupportedAlgorithm):
        return False
    return True


def _check_authority(certificate: x509.Certificate, below: int, *, now_s: float) -> None:
    """Hold one tier against RFC 5280; ``below`` is how many signing certificates stand below it."""
    who = certificate.subject.rfc4514_string() or anchors.fingerprint(certificate)[:16]
    starts, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if not starts - anchors.SKEW_S <= now_s < ends:
        span = f"{certificate.not_valid_before_utc.isoformat()} to {certificate.not_valid_after_utc.isoformat()}"
        raise _refusal(Reason.NOT_VALID_NOW, f"{who} is valid from {span}")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        may_sign = _may_sign(certificate)
    except (x509.ExtensionNotFound, *anchors.UNREADABLE) as error:
        raise _refusal(Reason.NOT_AN_AUTHORITY, f"{who} has no readable basic constraints: {error}") from error
    if not constraints.ca or not may_sign:
        raise _refusal(Reason.NOT_AN_AUTHORITY, f"{who} may not sign certificates (CA:true, keyCertSign)")
    if constraints.path_length is not None and constraints.path_length < below:
        raise _refusal(
            Reason.PATH_TOO_LONG, f"{who} allows {constraints.path_length} tiers below it, {below} are there"
        )


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return False  # X509-SVID 4.3: a signing certificate MUST set keyCertSign


def _check_trust_domain(certificate: x509.Certificate, trust_domain: identity.TrustDomain) -> None:
    """Accept a certificate without URI name (most authorities have none), or with that of our trust domain alone."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    foreign = [
        uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri != f"spiffe://{trust_domain}"
    ]
    if foreign:
        raise _refusal(
            Reason.FOREIGN_TRUST_DOMAIN, f"it is for {foreign[0]!r}, and the mesh is spiffe://{trust_domain}"
        )
