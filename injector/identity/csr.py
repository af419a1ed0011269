"""What a certificate signing request may ask for: a key of its own, and nothing that the token does not prove.

Here because a request is the one thing that any pod can send us in any shape. ``read`` looks at the request alone,
before anybody is asked about the token; ``Request.check_names`` holds what it asks for against what the token proves.
Nothing but the key is ever copied from a request into a certificate (``ca``); what is refused here would be ignored
there, but a caller that asks for something else should hear so.

Leaves out Ed25519: Envoy takes no such key for TLS (BoringSSL offers it only when told to), so a pod could not use it.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from injector import errors

T = TypeVar("T")

MAX_BYTES: Final = 8 * 1024
"""A request as we make it is about 300 bytes. Arbitrary beyond that: room for what other makers put in."""
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_SIGNATURES: Final = frozenset(
    {
        oid.SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        oid.SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        oid.SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_EXTENSION_REQUEST: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
"""PKCS#9: the attribute that carries the extensions."""


class Reason(enum.StrEnum):
    """Why a request is refused."""

    CSR_TOO_LONG = "csr_too_long"
    CSR_MALFORMED = "csr_malformed"
    WEAK_KEY = "weak_key"
    BAD_SIGNATURE = "bad_signature"
    """The request is not signed by its own key: whoever sent it may not have it."""
    ASKS_FOR_CA = "asks_for_ca"
    FOREIGN_EXTENSION = "foreign_extension"
    FOREIGN_NAME = "foreign_name"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that is sound in itself."""

    key: ec.EllipticCurvePublicKey
    names: tuple[str, ...]
    """Subject alternative names asked for, each as ``URI:...`` or ``DNS:...``."""
    common_name: str
    """Of the subject; empty where there is none."""

    def check_names(self, spiffe_id: str, dns_name: str) -> None:
        """Refuse names other than those that the token proves. No names at all is best: they are known here."""
        uri, dns = f"URI:{spiffe_id}", f"DNS:{dns_name}"
        if self.names not in ((), (uri,), (uri, dns), (dns, uri)):
            raise errors.Refused(
                f"the request asks for {', '.join(self.names)[:500]}; the token proves {spiffe_id}",
                reason=Reason.FOREIGN_NAME,
                hint="leave the subject alternative names out",
            )
        if self.common_name not in ("", spiffe_id, dns_name):
            raise errors.Refused(
                f"the request's subject is {self.common_name[:200]!r}; the token proves {spiffe_id}",
                reason=Reason.FOREIGN_NAME,
                hint="leave the subject empty",
            )


def read(der: bytes) -> Request:
    """Read a request. Raises Refused."""
    if len(der) > MAX_BYTES:
        raise errors.Refused(
            f"the request has {len(der)} bytes, more than {MAX_BYTES}",
            reason=Reason.CSR_TOO_LONG,
            hint="leave everything but the key out of it",
        )
    csr = _parsed("the request", lambda: x509.load_der_x509_csr(der))
    key = _key(csr)
    if csr.signature_algorithm_oid not in _SIGNATURES or not _parsed("its signature", lambda: csr.is_signature_valid):
        raise errors.Refused(
            "the request is not signed by the key that is in it, with ECDSA and SHA-2",
            reason=Reason.BAD_SIGNATURE,
            hint="sign it with the private key of its public key",
        )
    _check_attributes(csr)
    return Request(key=key, names=_names(csr), common_name=_common_name(csr))


def _parsed(what: str, parse: Callable[[], T]) -> T:
    """Run a piece of the parser, which says what is wrong in more kinds of error than it promises."""
    try:
        return parse()
    except errors.Refused:
        raise
    except Exception as error:  # see above; a request is data, and bad data is an answer
        raise errors.Refused(
            f"{what} is malformed: {str(error)[:300] or type(error).__name__}",
            reason=Reason.CSR_MALFORMED,
            hint="send PKCS#10 in DER",
        ) from error


def _key(csr: x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    key = _parsed("its public key", csr.public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.strip("_")
        raise errors.Refused(
            f"the request has a key of kind {kind}",
            reason=Reason.WEAK_KEY,
            hint="use ECDSA on P-256 (or P-384)",
        )
    return key


def _check_attributes(csr: x509.CertificateSigningRequest) -> None:
    found = [attribute.oid for attribute in _parsed("its attributes", lambda: list(csr.attributes))]
    foreign = [name.dotted_string for name in found if name != _EXTENSION_REQUEST]
    if foreign:
        raise errors.Refused(
            f"the request has attributes that are never used: {', '.join(foreign)[:300]}",
            reason=Reason.FOREIGN_EXTENSION,
            hint="leave everything but the key out of it",
        )


def _names(csr: x509.CertificateSigningRequest) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    for extension in _parsed("its extensions", lambda: list(csr.extensions)):
        match extension.value:
            case x509.SubjectAlternativeName() as asked:
                names = tuple(_name(each) for each in asked)
            case x509.BasicConstraints(ca=False):
                pass  # what is signed anyway
            case x509.BasicConstraints():
                raise errors.Refused(
                    "the request asks for a certificate that may sign others",
                    reason=Reason.ASKS_FOR_CA,
                    hint="leave the basic constraints out",
                )
            case _:
                raise errors.Refused(
                    f"the request asks for the extension {extension.oid.dotted_string}",
                    reason=Reason.FOREIGN_EXTENSION,
                    hint="leave everything but the key out of it: usages and the like are set here",
                )
    return names


def _name(asked: x509.GeneralName) -> str:
    match asked:
        case x509.UniformResourceIdentifier():
            return f"URI:{asked.value}"
        case x509.DNSName():
            return f"DNS:{asked.value}"
        case _:
            return f"{type(asked).__name__}:{asked.value}"


def _common_name(csr: x509.CertificateSigningRequest) -> str:
    """Give the subject: empty, the only common name, or all of it as text, which no token proves."""
    subject = _parsed("its subject", lambda: csr.subject)
    attributes = list(subject)
    if len(attributes) == 1 and attributes[0].oid == oid.NameOID.COMMON_NAME:
        return str(attributes[0].value)
    return _parsed("its subject", subject.rfc4514_string)
