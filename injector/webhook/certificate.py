"""The webhook's own certificate: made here, and renewed with an overlap. Pure but for the keys it makes.

    make the next pair -> trust both authorities -> wait until every API server knows -> serve the next pair

Here because the API server trusts what stands in the webhook configuration, which is written by one request and read by
others some time later: a leaf that is switched before its authority is known everywhere is an outage for every pod that
opted in. Each pair has an authority of its own whose key is forgotten once it has signed its one leaf, so nothing that
is stored can sign another. Leaves out reading and writing (``rotation``), and pairs that users bring (``tls``).
"""

import dataclasses
import datetime as dt
import enum
import ipaddress
from collections.abc import Sequence
from typing import Final

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

LIFE: Final = dt.timedelta(days=90)
SKEW: Final = dt.timedelta(minutes=5)
"""Clocks of API servers may be that far behind ours."""
_RENEW_AT: Final = 2 / 3
"""Of its life: as cert-manager does, which leaves a month to notice that it does not work."""
SETTLE: Final = dt.timedelta(minutes=5)
"""How long an authority is trusted before its leaf is served. API servers see a change within seconds."""
KEEP: Final = dt.timedelta(hours=24)
"""How long the last authority stays trusted: another replica may serve its leaf until it has read the new one."""
_KEY_USAGE: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its key, and who is to be trusted for it. PEM."""

    certificate_pem: bytes
    key_pem: bytes = dataclasses.field(repr=False)
    authority_pem: bytes
    """Its own authority first; after a switch, the last one's too."""


class Step(enum.Enum):
    """The next thing to do; after each, everything is read again."""

    MAKE = "make a pair to serve"
    MAKE_NEXT = "make the next pair"
    TRUST = "write the authorities into the webhook configuration"
    SWITCH = "serve the next pair"
    WAIT = "nothing to do"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is stored, and what the API server trusts."""

    serving: Pair | None
    next: Pair | None
    trusted_pem: bytes
    trusted_since: dt.datetime | None
    """Since when we have seen ``trusted_pem`` there; None: just now."""


def plan(state: State, names: Sequence[str], now: dt.datetime) -> Step:
    """Say what to do next."""
    if state.serving is None or not readable(state.serving):
        return Step.MAKE
    if state.next is not None and not readable(state.next):
        return Step.MAKE_NEXT
    if set(_blocks(state.trusted_pem)) != set(_blocks(bundle(state, now))):
        return Step.TRUST
    if state.next is None:
        return Step.MAKE_NEXT if is_due(state.serving, names, now) else Step.WAIT
    settled = state.trusted_since is not None and now - state.trusted_since >= SETTLE
    # Who serves an expired certificate cannot make anything worse.
    return Step.SWITCH if settled or _leaf(state.serving).not_valid_after_utc <= now else Step.WAIT


def bundle(state: State, now: dt.datetime) -> bytes:
    """Give what the API server must trust: those who sign what is, was just now, or will be served."""
    trusted: list[bytes] = []
    if state.serving:
        own, *former = _blocks(state.serving.authority_pem)
        young = now < _leaf(state.serving).not_valid_before_utc + SKEW + SETTLE + KEEP
        trusted += [own, *(former if young else ())]
    if state.next and readable(state.next):
        trusted += _blocks(state.next.authority_pem)[:1]
    return b"".join(sorted(set(trusted)))  # in one order, so that a switch is no reason to write it again


def switched(state: State) -> Pair:
    """Give what is to be served once ``next`` takes over. Needs both."""
    if state.serving is None or state.next is None:
        raise ValueError("a switch needs a pair that is served and a next one")
    former = _blocks(state.serving.authority_pem)[:1]
    own = _blocks(state.next.authority_pem)[:1]
    return dataclasses.replace(state.next, authority_pem=b"".join(own + former))


def is_due(pair: Pair, names: Sequence[str], now: dt.datetime) -> bool:
    """Tell whether a pair must be renewed: two thirds of its life are over, or it is for other names."""
    leaf = _leaf(pair)
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return now >= leaf.not_valid_before_utc + life * _RENEW_AT or set(_names_of(leaf)) != set(names)


def expiry(pair: Pair) -> dt.datetime:
    """Tell when a readable pair is worth nothing any more."""
    return _leaf(pair).not_valid_after_utc


def readable(pair: Pair) -> bool:
    """Tell whether a pair can be used at all: PEM, and the key belongs to the certificate."""
    try:
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
        belongs = key.public_key() == _leaf(pair).public_key()
        return belongs and bool(x509.load_pem_x509_certificates(pair.authority_pem))
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        return False


def make(names: Sequence[str], now: dt.datetime, life: dt.timedelta = LIFE) -> Pair:
    """Make an authority and its one leaf, for DNS names and addresses. The authority's key is not returned."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, now, life)
    leaf = (
        _builder(now, life)
        .serial_number(x509.random_serial_number())
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Pair(
        certificate_pem=leaf.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        authority_pem=authority.public_bytes(serialization.Encoding.PEM),
    )


def _authority(key: ec.EllipticCurvePrivateKey, now: dt.datetime, life: dt.timedelta) -> x509.Certificate:
    # The serial is in the name, since verifiers look an authority up by name, and two are trusted at once.
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, f"ipseity webhook {serial:040x}")])
    return (
        _builder(now, life)
        .serial_number(serial)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(now: dt.datetime, life: dt.timedelta) -> x509.CertificateBuilder:
    return x509.CertificateBuilder().not_valid_before(now - SKEW).not_valid_after(now + life)


def _usage(purpose: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name == purpose for name in _KEY_USAGE})


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _leaf(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pair.certificate_pem)[0]


def _names_of(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]


def _blocks(pem: bytes) -> list[bytes]:
    """Cut a bundle into its certificates, each in one spelling."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []
    return [certificate.public_bytes(serialization.Encoding.PEM) for certificate in found]
