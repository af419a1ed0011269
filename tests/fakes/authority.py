"""A certificate authority of a test's own: anchor, issuer, and leaves for whoever. Asks nobody for permission."""

import dataclasses
import datetime as dt
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CONTROL_PLANE = "ipseity-control.ipseity-system.svc"
CONTROL_PLANE_ID = "spiffe://cluster.local/ns/ipseity-system/sa/ipseity-control"
Key = ec.EllipticCurvePrivateKey


def now() -> dt.datetime:
    """Read the clock, in whole seconds as certificates have it."""
    return dt.datetime.fromtimestamp(int(time.clock_gettime(time.CLOCK_REALTIME)), dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An anchor and an issuer below it."""

    anchor: x509.Certificate
    anchor_key: Key
    issuer: x509.Certificate
    issuer_key: Key

    @property
    def bundle(self) -> bytes:
        """The anchor, PEM."""
        return pem(self.anchor)

    def leaf(
        self, key: ec.EllipticCurvePublicKey, spiffe_id: str, *, life_s: float = 3600, age_s: float = 20, dns: str = ""
    ) -> list[x509.Certificate]:
        """Sign a leaf, with the issuer behind it."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
        names += [x509.DNSName(dns)] if dns else []
        moment = now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - dt.timedelta(seconds=age_s))
            .not_valid_after(moment + dt.timedelta(seconds=life_s))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
        )
        return [builder.sign(self.issuer_key, hashes.SHA256()), self.issuer]

    def identity(self, spiffe_id: str, *, dns: str = "", life_s: float = 3600) -> tuple[bytes, bytes]:
        """Make a key and a chain for it, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return key_pem(key), pem(*self.leaf(key.public_key(), spiffe_id, dns=dns, life_s=life_s))


def make(name: str = "test") -> Authority:
    """Make an authority; two of them do not trust each other."""
    anchor_key, issuer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    anchor = _ca(f"{name} anchor", anchor_key, f"{name} anchor", anchor_key)
    issuer = _ca(f"{name} issuer", issuer_key, f"{name} anchor", anchor_key)
    return Authority(anchor=anchor, anchor_key=anchor_key, issuer=issuer, issuer_key=issuer_key)


def pem(*chain: x509.Certificate) -> bytes:
    """Write certificates as PEM."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)


def key_pem(key: Key) -> bytes:
    """Write a key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _ca(name: str, key: Key, issuer_name: str, issuer_key: Key) -> x509.Certificate:
    moment = now()
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - dt.timedelta(minutes=5))
        .not_valid_after(moment + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
