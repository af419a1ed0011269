"""Which requests are refused, and with which word. Leaves out mutated ones (tests/sim) and tokens (test_tokens)."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import oid

from injector import errors
from injector.identity import csr
from tests.fakes import authorities


def refused(der: bytes) -> errors.Refused:
    with pytest.raises(errors.Refused) as caught:
        csr.read(der).check_names(authorities.SPIFFE_ID, authorities.DNS)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_a_bare_key_is_enough(curve: ec.EllipticCurve) -> None:
    """Names are known here, so a request needs none."""
    private = ec.generate_private_key(curve)
    found = csr.read(authorities.request(private))
    found.check_names(authorities.SPIFFE_ID, authorities.DNS)
    assert private.public_key() == found.key


@pytest.mark.parametrize(
    ("uris", "dns", "common_name"),
    [
        ((authorities.SPIFFE_ID,), (), ""),
        ((authorities.SPIFFE_ID,), (authorities.DNS,), ""),
        ((), (), authorities.SPIFFE_ID),
        ((), (), authorities.DNS),
    ],
)
def test_the_right_names_may_be_given(uris: tuple[str, ...], dns: tuple[str, ...], common_name: str) -> None:
    """What the token proves may be repeated."""
    der = authorities.request(uris=uris, dns=dns, common_name=common_name)
    csr.read(der).check_names(authorities.SPIFFE_ID, authorities.DNS)


@pytest.mark.parametrize(
    ("uris", "dns", "common_name"),
    [
        (("spiffe://cluster.local/ns/rec/sa/other",), (), ""),
        ((authorities.SPIFFE_ID, "spiffe://cluster.local/ns/rec/sa/other"), (), ""),
        ((authorities.SPIFFE_ID, authorities.SPIFFE_ID), (), ""),
        ((authorities.SPIFFE_ID.upper(),), (), ""),
        ((authorities.SPIFFE_ID + "/",), (), ""),
        ((), (authorities.DNS,), ""),
        ((authorities.SPIFFE_ID,), ("web.shop.svc",), ""),
        ((authorities.SPIFFE_ID,), (authorities.DNS, authorities.DNS), ""),
        ((), (), "web"),
    ],
)
def test_other_names_are_refused(uris: tuple[str, ...], dns: tuple[str, ...], common_name: str) -> None:
    """Exactly what the token proves, or nothing."""
    refusal = refused(authorities.request(uris=uris, dns=dns, common_name=common_name))
    assert csr.Reason.FOREIGN_NAME == refusal.reason
    assert authorities.SPIFFE_ID in str(refusal)


@pytest.mark.parametrize(
    "name",
    [
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
        x509.RFC822Name("root@example.com"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "web")])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
    ],
)
def test_a_name_of_another_kind_is_refused(name: x509.GeneralName) -> None:
    """An address, a mailbox or anything else is no name of a workload, also beside the right one."""
    both = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(authorities.SPIFFE_ID), name])
    assert csr.Reason.FOREIGN_NAME == refused(authorities.request(extensions=(both,))).reason


def test_a_subject_of_several_parts_is_refused() -> None:
    """An organisation is nothing that a token proves."""
    name = x509.Name(
        [
            x509.NameAttribute(oid.NameOID.COMMON_NAME, authorities.SPIFFE_ID),
            x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, "system:masters"),
        ]
    )
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(authorities.key(), hashes.SHA256())
    refusal = refused(signed.public_bytes(serialization.Encoding.DER))
    assert csr.Reason.FOREIGN_NAME == refusal.reason


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), csr.Reason.ASKS_FOR_CA),
        (x509.BasicConstraints(ca=True, path_length=0), csr.Reason.ASKS_FOR_CA),
        (x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.CODE_SIGNING]), csr.Reason.FOREIGN_EXTENSION),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), csr.Reason.FOREIGN_EXTENSION),
    ],
)
def test_an_extension_is_refused(extension: x509.ExtensionType, reason: csr.Reason) -> None:
    """Usages and the like are set by who signs."""
    assert reason == refused(authorities.request(extensions=(extension,))).reason


def test_no_authority_is_no_wish() -> None:
    """CA:false is what is signed anyway; OpenSSL's usual template has it."""
    csr.read(authorities.request(extensions=(x509.BasicConstraints(ca=False, path_length=None),)))


@pytest.mark.parametrize(
    "private",
    [
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=lambda private: type(private).__name__,
)
def test_a_key_of_another_kind_is_refused(private: object) -> None:
    """Envoy shows ECDSA on P-256 and P-384; weak curves are nobody's business."""
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    assert csr.Reason.WEAK_KEY == refused(authorities.request(private, algorithm=algorithm)).reason


def test_the_key_of_somebody_else_is_refused() -> None:
    """Whoever cannot sign with a key does not have it."""
    mine, theirs = authorities.request(), authorities.request()
    own = (
        x509.load_der_x509_csr(mine)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    other = (
        x509.load_der_x509_csr(theirs)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert csr.Reason.BAD_SIGNATURE == refused(mine.replace(own, other)).reason


def test_a_challenge_password_is_refused() -> None:
    """An attribute that nobody reads."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_attribute(oid.AttributeOID.CHALLENGE_PASSWORD, b"let me in")
    der = builder.sign(authorities.key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert csr.Reason.FOREIGN_EXTENSION == refused(der).reason


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x80", b"-----BEGIN CERTIFICATE REQUEST-----\n", bytes(500)])
def test_what_is_no_request_is_malformed(der: bytes) -> None:
    """Also PEM, which is a usual mistake."""
    assert csr.Reason.CSR_MALFORMED == refused(der).reason


def test_bytes_behind_a_request_are_malformed() -> None:
    """A request is all of what was sent."""
    assert csr.Reason.CSR_MALFORMED == refused(authorities.request() + b"\x00").reason


def test_a_long_request_is_not_even_read() -> None:
    """Bounded before anything is parsed."""
    assert csr.Reason.CSR_TOO_LONG == refused(bytes(csr.MAX_BYTES + 1)).reason
