"""Signs one leaf: an X509-SVID whose only URI name is what was proven.

Here because this is the act that all trust in the mesh rests on, so it is one function without input or output: key,
names, issuer and time go in, a certificate comes out. Follows SPIFFE's X509-SVID: one URI SAN (critical, as the subject
is empty), CA:false, digitalSignature and nothing else. Leaves out whether it should be signed (``service``).
"""

import dataclasses
import enum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from injector import errors
from injector.identity import anchors, issuers
from ipseity import identity

LIFE_S: Final = 24 * 3600.0
"""Default life of a leaf. As Linkerd, Istio and Kubernetes' PodCertificateRequest."""
MIN_LIFE_S: Final = 10.0
"""A leaf that would live shorter, since its issuer ends, is not signed: it would be over before it was in use."""
SERIAL_BITS: Final = 128
_NO_NAME: Final = x509.Name([])
_BASIC: Final = x509.BasicConstraints(ca=False, path_length=None)
_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_PURPOSES: Final = x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH])


class Reason(enum.StrEnum):
    """Why nothing is signed."""

    ISSUER_ENDS = "issuer_ends"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate that was signed."""

    certificate: x509.Certificate
    serial: int
    not_before_s: int
    not_after_s: int

    @property
    def der(self) -> bytes:
        """As it goes on the wire."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def pod_name(pod: identity.PodRef, trust_domain: identity.TrustDomain) -> str:
    """Give the DNS name that says which pod holds a certificate. A namespace has no dots, so it can be read back."""
    return f"{pod.name}.{pod.namespace}.pod.{trust_domain}"


def issue(  # noqa: PLR0913  # what a certificate says
    issuer: issuers.Issuer,
    key: ec.EllipticCurvePublicKey,
    spiffe_id: identity.SpiffeId,
    dns_names: tuple[str, ...],
    *,
    now_s: float,
    serial: int,
    life_s: float = LIFE_S,
) -> Leaf:
    """Sign a leaf that begins ``anchors.SKEW_S`` ago and ends with its life or its chain's, whichever is sooner.

    ``serial`` is random, 128 bits, not 0. Raises Refused where the issuer is about to end.
    """
    not_before_s = int(max(now_s - anchors.SKEW_S, issuer.not_before_s))
    not_after_s = int(min(now_s + life_s, issuer.not_after_s))
    if not_after_s - now_s < min(MIN_LIFE_S, life_s - 1):
        raise errors.Refused(
            f"the issuer's chain ends at {anchors.moment(issuer.not_after_s).isoformat()}",
            reason=Reason.ISSUER_ENDS,
            hint="renew it: ipseity identity rotate --plan",
        )
    names = [x509.UniformResourceIdentifier(str(spiffe_id)), *(x509.DNSName(name) for name in dns_names)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_NO_NAME)
        .issuer_name(issuer.certificate.subject)
        .serial_number(serial)
        .public_key(key)
        .not_valid_before(anchors.moment(not_before_s))
        .not_valid_after(anchors.moment(not_after_s))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(_BASIC, critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(_PURPOSES, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(anchors.authority_key(issuer.certificate), critical=False)
    )
    certificate = builder.sign(issuer.key, _hash_for(issuer.key))
    return Leaf(certificate=certificate, serial=serial, not_before_s=not_before_s, not_after_s=not_after_s)


def _hash_for(key: issuers.Key) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """As strong as the key's curve: RFC 8422 and BoringSSL pair them so."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.key_size > 384:
            return hashes.SHA512()
        case ec.EllipticCurvePrivateKey() if key.curve.key_size > 256:
            return hashes.SHA384()
        case _:
            return hashes.SHA256()
