"""Trust anchors and issuers: made here where nobody brings any, read strictly where somebody does.

Here because a certificate is worth what stands above it. Both tiers are ECDSA P-256. An anchor lives ten years and an
issuer one: an anchor that expires takes the whole mesh with it, so it must not do so while nobody remembers it, and
metrics and `ipseity check` speak months before; the issuer is renewed without anybody (``lifecycle``). Every name is
unique (it ends with part of the serial number), so that old and new can stand side by side in one bundle and be told
apart by name and key identifier.

Leaves out whether they fit together (``issuers``) and when they are changed (``rotation``).
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Final

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from injector import errors
from ipseity import identity

DAY_S: Final = 86_400
ANCHOR_LIFE_S: Final = 3650 * DAY_S
ISSUER_LIFE_S: Final = 365 * DAY_S
SKEW_S: Final = 20
"""How far clocks in the cluster may be apart: certificates begin that much earlier. As Linkerd."""
_MAX_BUNDLE: Final = 8
"""Certificates in one PEM: two anchors during a rotation, and room."""
UNREADABLE: Final = (
    ValueError,
    TypeError,
    exceptions.UnsupportedAlgorithm,
    x509.UnsupportedGeneralNameType,
    x509.DuplicateExtension,
)
"""What reading a certificate or key raises that somebody else has made."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate that may sign, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = dataclasses.field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return to_pem([self.certificate])

    @property
    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted: it goes into a Secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make_anchor(trust_domain: identity.TrustDomain, *, now_s: float, serial: int) -> Authority:
    """Make a trust anchor. ``serial`` is random, 128 bits."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("ipseity trust anchor", serial)
    builder = _authority(key.public_key(), name, serial, trust_domain, now_s=now_s, until_s=now_s + ANCHOR_LIFE_S)
    builder = builder.issuer_name(name).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )  # no limit: a later chain may have a tier more
    return Authority(certificate=builder.sign(key, hashes.SHA256()), key=key)


def make_issuer(
    anchor: Authority, trust_domain: identity.TrustDomain, *, now_s: float, serial: int, life_s: float = ISSUER_LIFE_S
) -> Authority:
    """Make an issuer that may sign leaves only, and lives no longer than its anchor."""
    key = ec.generate_private_key(ec.SECP256R1())
    until_s = min(now_s + life_s, anchor.certificate.not_valid_after_utc.timestamp())
    builder = _authority(
        key.public_key(), _name("ipseity issuer", serial), serial, trust_domain, now_s=now_s, until_s=until_s
    )
    builder = (
        builder.issuer_name(anchor.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(authority_key(anchor.certificate), critical=False)
    )
    return Authority(certificate=builder.sign(anchor.key, hashes.SHA256()), key=key)


def read_bundle(pem: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """Read certificates, in their order. Raises CannotRun; ``what`` says where they are from."""
    try:
        found = tuple(x509.load_pem_x509_certificates(pem))
    except UNREADABLE as error:
        raise errors.CannotRun(f"{what} is no PEM certificate: {error}", hint="see `kubectl describe` on it") from error
    if len(found) > _MAX_BUNDLE:
        raise errors.CannotRun(f"{what} has {len(found)} certificates", hint=f"at most {_MAX_BUNDLE} are read")
    return found


def read_key(pem: bytes, what: str) -> ec.EllipticCurvePrivateKey:
    """Read the private key of an anchor. Raises CannotRun."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except UNREADABLE as error:
        raise errors.CannotRun(f"{what} is no unencrypted PEM key", hint="see `kubectl describe` on it") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise errors.CannotRun(f"{what} is no ECDSA key", hint="issuers are made here under ECDSA anchors only")
    return key


def belongs(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    """Say whether a certificate is for this key."""
    try:
        return key.public_key() == certificate.public_key()
    except UNREADABLE:
        return False  # of a kind that is none of ours


def to_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Write certificates one after the other."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def fingerprint(certificate: x509.Certificate) -> str:
    """Give SHA-256 of the DER, hexadecimal: how status, log and rotation name a certificate."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def trust_domain_of(certificate: x509.Certificate) -> identity.TrustDomain | None:
    """Read the trust domain off an authority's URI name; None where it has none, or another kind."""
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [uri] = own.get_values_for_type(x509.UniformResourceIdentifier)
        return identity.TrustDomain(uri.removeprefix("spiffe://"))
    except (x509.ExtensionNotFound, ValueError):
        return None


def authority_key(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Make the extension that points to a certificate's key, by the identifier that it gives itself."""
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier(_digest_of(certificate.public_key()), None, None)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def moment(seconds: float) -> dt.datetime:
    """Turn seconds since the epoch into X.509's time, which knows whole seconds only; cut, never rounded up."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


def _digest_of(key: object) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(key).digest  # type: ignore[arg-type]  # any key a certificate has


def _name(purpose: str, serial: int) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, f"{purpose} {serial % 2**32:08x}")])


def _authority(  # noqa: PLR0913  # the fields that both tiers share
    key: ec.EllipticCurvePublicKey,
    name: x509.Name,
    serial: int,
    trust_domain: identity.TrustDomain,
    *,
    now_s: float,
    until_s: float,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    own = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .serial_number(serial)
        .public_key(key)
        .not_valid_before(moment(now_s - SKEW_S))
        .not_valid_after(moment(until_s))
        .add_extension(usage, critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
