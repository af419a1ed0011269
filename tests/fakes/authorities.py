"""Keys, requests and authorities as the identity tests need them; the clock stands at ``NOW_S``."""

import secrets as random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from injector.identity import anchors, issuers
from ipseity import identity

NOW_S = 1_795_350_000.0
"""Shortly after the recordings were made."""
TRUST_DOMAIN = identity.TrustDomain("cluster.local")
DNS = "bare.rec.pod.cluster.local"
SPIFFE_ID = "spiffe://cluster.local/ns/rec/sa/app"
"""Whom the recorded tokens belong to."""


def serial() -> int:
    return random.randbits(128) or 1


def anchor(now_s: float = NOW_S) -> anchors.Authority:
    return anchors.make_anchor(TRUST_DOMAIN, now_s=now_s, serial=serial())


def issuer_of(above: anchors.Authority, *, now_s: float = NOW_S, life_s: float = 86_400 * 365) -> anchors.Authority:
    return anchors.make_issuer(above, TRUST_DOMAIN, now_s=now_s, serial=serial(), life_s=life_s)


def checked(made: anchors.Authority, above: anchors.Authority, *, now_s: float = NOW_S) -> issuers.Issuer:
    return issuers.read(made.certificate_pem, made.key_pem, [above.certificate], TRUST_DOMAIN, now_s=now_s)


def issuer(*, now_s: float = NOW_S, life_s: float = 86_400 * 365) -> issuers.Issuer:
    above = anchor(now_s)
    return checked(issuer_of(above, now_s=now_s, life_s=life_s), above, now_s=now_s)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request(
    private: object = None,
    *,
    uris: tuple[str, ...] = (),
    dns: tuple[str, ...] = (),
    common_name: str = "",
    extensions: tuple[x509.ExtensionType, ...] = (),
    algorithm: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008  # a value without state
) -> bytes:
    """Make a request as somebody who may ask for anything."""
    names = [x509.NameAttribute(oid.NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    asked = [x509.UniformResourceIdentifier(each) for each in uris] + [x509.DNSName(each) for each in dns]
    if asked:
        builder = builder.add_extension(x509.SubjectAlternativeName(asked), critical=False)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return builder.sign(private or key(), algorithm).public_bytes(serialization.Encoding.DER)
