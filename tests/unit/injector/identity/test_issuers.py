"""Which issuers are taken, and why others are not. Leaves out when they are taken (test_authority)."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import oid

from injector import errors
from injector.identity import anchors, issuers
from ipseity import identity
from tests.fakes import authorities

NOW_S = authorities.NOW_S
NOW = dt.datetime.fromtimestamp(NOW_S, dt.UTC)

ODD = b"""\
-----BEGIN CERTIFICATE-----
MIIBajCCARWgAwIBAgIUW1oFGdxp+x4lqRuQYwTgFCEl1fswCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb2RkMCAXDTI2MTEyNzIwNDA0NVoYDzIxMjYxMTAzMjA0MDQ1
WjAOMQwwCgYDVQQDDANvZGQwVTATBgcqhkjOPQIBBggqhkjOPQMBBAM+AAQ5MlZl
tEf6jwS4Ahvj4z6QBBG3KA9mtg8/SCQZCB1TLxWRzj49e9n5hllYjwhmqNVkQAly
wcrz207iGFmjUzBRMB0GA1UdDgQWBBRHQ65YakXvkVcBs5K33k6JRzOkmDAfBgNV
HSMEGDAWgBRHQ65YakXvkVcBs5K33k6JRzOkmDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0MAMEACHkf6uS3VcaZkpUJUKsH8EOPx9cOUEC30ZhQOYZD7nQIe
J5gkb0WoIjaWkcOYJjn9HpgD6aloLoyh7ZNfLOrS
-----END CERTIFICATE-----
"""
"""Its key is on prime239v1, which openssl makes and the library does not read."""


def pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]  # any private key
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signed(  # what somebody may bring
    above: anchors.Authority,
    key: object,
    *,
    name: str = "brought",
    ca: bool | None = True,
    path_length: int | None = None,
    sign: bool | None = True,
    uri: str = "",
    begins: dt.timedelta = dt.timedelta(0),
    lives: dt.timedelta = dt.timedelta(days=30),
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, name)]))
        .issuer_name(above.certificate.subject)
        .serial_number(authorities.serial())
        .public_key(key.public_key())  # type: ignore[attr-defined]  # any private key
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + begins + lives)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if sign is not None:
        usage = x509.KeyUsage(
            *[False] * 5, key_cert_sign=sign, crl_sign=not sign, encipher_only=False, decipher_only=False
        )
        builder = builder.add_extension(usage, critical=True)
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(above.key, hashes.SHA256())


def taken(chain: list[x509.Certificate], key: object, trusted: list[x509.Certificate]) -> issuers.Issuer:
    return issuers.read(anchors.to_pem(chain), pem(key), trusted, authorities.TRUST_DOMAIN, now_s=NOW_S)


def refusal(chain: list[x509.Certificate], key: object, trusted: list[x509.Certificate]) -> str:
    with pytest.raises(errors.Refused) as caught:
        taken(chain, key, trusted)
    assert "stays" in caught.value.hint
    return caught.value.reason


ANCHOR = authorities.anchor()
KEY = authorities.key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
def test_an_issuer_as_cert_manager_brings_it(key: object) -> None:
    """ECDSA or RSA, without any URI name."""
    issuer = taken([signed(ANCHOR, key)], key, [ANCHOR.certificate])
    assert ANCHOR.certificate == issuer.anchor
    assert 1 == len(issuer.presented)


def test_a_chain_of_three_tiers() -> None:
    """What is between is presented, the anchor is not, and the first to end counts."""
    middle = anchors.Authority(certificate=signed(ANCHOR, KEY, name="middle", lives=dt.timedelta(days=3)), key=KEY)
    own = authorities.key()
    issuer = taken(
        [signed(middle, own), middle.certificate], own, [authorities.anchor().certificate, ANCHOR.certificate]
    )
    assert (issuer.certificate, middle.certificate) == issuer.presented
    assert (NOW + dt.timedelta(days=3)).timestamp() == issuer.not_after_s


def test_an_anchor_may_sign_leaves_itself() -> None:
    """One tier is somebody's choice; then nothing but the leaf is presented."""
    assert () == taken([ANCHOR.certificate], ANCHOR.key, [ANCHOR.certificate]).presented


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        (issuers.Reason.NOT_AN_AUTHORITY, {"ca": False}),
        (issuers.Reason.NOT_AN_AUTHORITY, {"ca": None}),
        (issuers.Reason.NOT_AN_AUTHORITY, {"sign": False}),
        (issuers.Reason.NOT_AN_AUTHORITY, {"sign": None}),
        (issuers.Reason.FOREIGN_TRUST_DOMAIN, {"uri": "spiffe://other.example"}),
        (issuers.Reason.FOREIGN_TRUST_DOMAIN, {"uri": authorities.SPIFFE_ID}),
        (issuers.Reason.NOT_VALID_NOW, {"begins": dt.timedelta(hours=1)}),
        (issuers.Reason.NOT_VALID_NOW, {"begins": dt.timedelta(days=-31)}),
    ],
)
def test_an_issuer_that_would_sign_what_nobody_accepts(reason: issuers.Reason, how: dict[str, object]) -> None:
    """Found out before it signs anything."""
    assert reason == refusal([signed(ANCHOR, KEY, **how)], KEY, [ANCHOR.certificate])


def test_our_own_trust_domain_may_be_named() -> None:
    """As our own authorities do."""
    taken([signed(ANCHOR, KEY, uri="spiffe://cluster.local")], KEY, [ANCHOR.certificate])


def test_an_anchor_that_nobody_has_is_no_chain() -> None:
    """The reason why an issuer is not swapped before its anchor is in the bundle."""
    other = authorities.anchor()
    assert issuers.Reason.NO_CHAIN == refusal([signed(other, KEY)], KEY, [ANCHOR.certificate])
    assert issuers.Reason.NO_CHAIN == refusal([signed(other, KEY), other.certificate], KEY, [ANCHOR.certificate])
    assert issuers.Reason.NO_CHAIN == refusal([signed(other, KEY)], KEY, [])


def test_a_path_that_is_too_long() -> None:
    """An issuer of ours signs leaves only."""
    own = authorities.issuer_of(ANCHOR)
    below = signed(own, KEY)
    assert issuers.Reason.PATH_TOO_LONG == refusal([below, own.certificate], KEY, [ANCHOR.certificate])


def test_keys_that_do_not_fit() -> None:
    """The key of another certificate; a kind that Envoy does not verify; RSA that is too short."""
    assert issuers.Reason.KEY_MISMATCH == refusal([signed(ANCHOR, KEY)], authorities.key(), [ANCHOR.certificate])
    for weak in (ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 1024)):
        assert issuers.Reason.WEAK_KEY == refusal([signed(ANCHOR, weak)], weak, [ANCHOR.certificate])


@pytest.mark.parametrize(
    ("crt", "key"),
    [(b"", b""), (b"x", b"y"), (ANCHOR.certificate_pem, b""), (b"", ANCHOR.key_pem), (ODD, ANCHOR.key_pem)],
)
def test_what_is_no_pem_is_unreadable(crt: bytes, key: bytes) -> None:
    """Also an empty Secret, and a certificate for a key of a kind that nobody reads."""
    with pytest.raises(errors.Refused) as caught:
        issuers.read(crt, key, [ANCHOR.certificate], authorities.TRUST_DOMAIN, now_s=NOW_S)
    assert issuers.Reason.UNREADABLE == caught.value.reason


def test_an_authority_says_its_trust_domain() -> None:
    """Which a new anchor is made for; one without says none."""
    assert identity.TrustDomain("cluster.local") == anchors.trust_domain_of(ANCHOR.certificate)
    assert None is anchors.trust_domain_of(signed(ANCHOR, KEY))
    assert None is anchors.trust_domain_of(signed(ANCHOR, KEY, uri=authorities.SPIFFE_ID))


def test_made_issuers_end_before_their_anchor() -> None:
    """Ten years and one; an anchor in its last year cuts the issuer short."""
    late_s = NOW_S + anchors.ANCHOR_LIFE_S - 100 * anchors.DAY_S
    made = authorities.issuer_of(ANCHOR, now_s=late_s)
    assert ANCHOR.certificate.not_valid_after_utc == made.certificate.not_valid_after_utc
