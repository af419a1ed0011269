"""The server's certificate authority, its certificate, the admin's token, and the kubeconfig that carries them.

All in the state directory and kept over a restart, so that a kubeconfig stays good for as long as its lab exists. TLS
because ``kubectl`` sends a token over nothing else. Leaves out client certificates.
"""

import dataclasses
import datetime as dt
import ipaddress
import os
import pathlib
import secrets
import ssl
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=3650)
"""A lab's certificates outlive any lab."""
CLOCK_SKEW = dt.timedelta(hours=1)
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Files that make clients trust the server and the server trust its clients."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path
    token: str

    def tls(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def prepare(state: pathlib.Path, host: str, now_wall_ns: int) -> Trust:
    """Return the directory's trust; make it at the first start."""
    state.mkdir(parents=True, exist_ok=True)
    trust = Trust(
        ca=state / "ca.crt", certificate=state / "tls.crt", key=state / "tls.key", token=_token(state / "token")
    )
    if not all(path.exists() for path in (trust.ca, trust.certificate, trust.key)):
        _issue(trust, host, now_wall_ns)
    return trust


def _token(path: pathlib.Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _issue(trust: Trust, host: str, now_wall_ns: int) -> None:
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = _name("ipseity lab")
    authority = _builder(ca_name, ca_name, ca_key, now_wall_ns).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    trust.ca.write_bytes(_pem(authority.sign(ca_key, hashes.SHA256())))
    server = _builder(_name("kube-apiserver"), ca_name, server_key, now_wall_ns)
    server = server.add_extension(x509.SubjectAlternativeName(_alternatives(host)), critical=False)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    trust.certificate.write_bytes(_pem(server.sign(ca_key, hashes.SHA256())))
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(trust.key, private.decode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now_wall_ns: int
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    now = dt.datetime.fromtimestamp(now_wall_ns // 10**9, tz=dt.UTC)
    return made.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternatives(host: str) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
    addresses = dict.fromkeys([host, "127.0.0.1", "::1"])
    return found + [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def kubeconfig(trust: Trust, url: str, ca_data: str) -> str:
    """Return a kubeconfig for the one user there is."""
    cluster = {"server": url, "certificate-authority-data": ca_data}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "ipseity-lab", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": trust.token}}],
        "contexts": [{"name": "ipseity-lab", "context": {"cluster": "ipseity-lab", "user": "admin"}}],
        "current-context": "ipseity-lab",
    }
    return yaml.safe_dump(config, sort_keys=False)
