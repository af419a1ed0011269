"""The server's certificate authority and certificate, the admin's token and kubeconfig, the key that signs tokens.

All in the state directory and kept over a restart, so that a kubeconfig and a pod's token stay good for as long as
their lab exists. TLS because ``kubectl`` sends a token over nothing else. Leaves out client certificates.
"""

import dataclasses
import datetime as dt
import ipaddress
import os
import pathlib
import secrets
import ssl
from collections.abc import Sequence
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from comparisons.lab import errors
from comparisons.lab.api import tokens

LIFETIME = dt.timedelta(days=3650)
"""A lab's certificates outlive any lab."""
CLOCK_SKEW = dt.timedelta(hours=1)
NAMES = (
    *("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    "kubernetes.default.svc.cluster.local",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Files that make clients trust the server and the server trust its clients."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path
    token: str
    signer: tokens.Signer

    def tls(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def prepare(state: pathlib.Path, hosts: Sequence[str], now_wall_ns: int) -> Trust:
    """Return the directory's trust; make it at the first start. ``hosts``: the addresses by which clients come."""
    state.mkdir(parents=True, exist_ok=True)
    trust = Trust(
        ca=state / "ca.crt",
        certificate=state / "tls.crt",
        key=state / "tls.key",
        token=_token(state / "token"),
        signer=_signer(state / "sa.key"),
    )
    if not all(path.exists() for path in (trust.ca, trust.certificate, trust.key)):
        _issue(trust, hosts, now_wall_ns)
    return trust


def _signer(path: pathlib.Path) -> tokens.Signer:
    if not path.exists():
        write_private(path, _private(rsa.generate_private_key(public_exponent=65537, key_size=tokens.KEY_BITS)))
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise _no_key(path) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _no_key(path)
    return tokens.Signer(key)


def _no_key(path: pathlib.Path) -> errors.LabError:
    return errors.LabError(f"{path} is no RSA key in PEM", hint="remove the file: a new key is made, old tokens end")


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


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


def _issue(trust: Trust, hosts: Sequence[str], now_wall_ns: int) -> None:
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = _name("ipseity lab")
    authority = _builder(ca_name, ca_name, ca_key, now_wall_ns).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    trust.ca.write_bytes(_pem(authority.sign(ca_key, hashes.SHA256())))
    server = _builder(_name("kube-apiserver"), ca_name, server_key, now_wall_ns)
    server = server.add_extension(x509.SubjectAlternativeName(_alternatives(hosts)), critical=False)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    trust.certificate.write_bytes(_pem(server.sign(ca_key, hashes.SHA256())))
    write_private(trust.key, _private(server_key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now_wall_ns: int
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    now = dt.datetime.fromtimestamp(now_wall_ns // 10**9, tz=dt.UTC)
    return made.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternatives(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
    addresses = dict.fromkeys([*hosts, "127.0.0.1", "::1"])
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
