"""The sidecar's files: names, atomic replacement, and the two that tell Envoy which key and which anchors to use.

Here because Envoy must never see a key beside another key's certificate. Each generation has files of its own; the one
rename of ``sds-workload.json`` is the moment when Envoy goes over from one pair to the next, and the pair before stays
for whoever was reading it. The same for the trust bundle and ``sds-trust.json``.

Loaded by the long-lived process, so it imports next to nothing (not even hashlib, whose OpenSSL is megabytes). Leaves
out what certificates say: here they are blocks of base64.
"""

import binascii
import contextlib
import json
import os
from typing import Any, Final, NamedTuple

Json = dict[str, Any]
WORKLOAD: Final = "workload"
"""SDS resource: this pod's certificate and key."""
TRUST: Final = "trust"
"""SDS resource: the anchors that peers' certificates must lead to."""
MAX_BUNDLE_BYTES: Final = 1 << 20
"""A ConfigMap's limit, so the kubelet never delivers more."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_RESOURCE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_PRIVATE, _PUBLIC = 0o600, 0o644
_KEPT: Final = 2
"""Generations of a file: the current one, and the one that Envoy may be reading at this moment."""


class Identity(NamedTuple):
    """Where the current key and certificate are."""

    key: str
    chain: str


def sds_workload(directory: str) -> str:
    """Tell where Envoy is told of the certificate."""
    return f"{directory}/sds-workload.json"


def sds_trust(directory: str) -> str:
    """Tell where Envoy is told of the anchors."""
    return f"{directory}/sds-trust.json"


def admin_socket(directory: str) -> str:
    """Tell where Envoy listens for its administrator."""
    return f"{directory}/admin.sock"


def tap_socket(directory: str) -> str:
    """Tell where Envoy tells of requests while somebody taps."""
    return f"{directory}/tap.sock"


def bootstrap(directory: str) -> str:
    """Tell where Envoy's own configuration is."""
    return f"{directory}/bootstrap.json"


def publish_identity(directory: str, key_pem: bytes, chain_pem: bytes, generation: int) -> Identity:
    """Write a pair and make it the current one; ``generation`` grows from call to call. All or nothing: OSError."""
    fresh = Identity(f"{directory}/key-{generation:020d}.pem", f"{directory}/cert-{generation:020d}.pem")
    certificate = {
        "certificate_chain": {"filename": fresh.chain},
        "private_key": {"filename": fresh.key},
    }
    try:
        _create(fresh.key, key_pem, _PRIVATE)
        _create(fresh.chain, chain_pem, _PUBLIC)
        replace(sds_workload(directory), _answer(WORKLOAD, {"tls_certificate": certificate}))
    except OSError:
        _remove(fresh)
        raise
    _forget(directory, "key-")
    _forget(directory, "cert-")
    return fresh


def publish_trust(directory: str, bundle_pem: bytes, generation: int) -> str:
    """Write anchors and make them the current ones; returns their file. All or nothing: OSError."""
    fresh = f"{directory}/trust-{generation:020d}.pem"
    try:
        _create(fresh, bundle_pem, _PUBLIC)
        replace(sds_trust(directory), _answer(TRUST, {"validation_context": {"trusted_ca": {"filename": fresh}}}))
    except OSError:
        _remove((fresh,))
        raise
    _forget(directory, "trust-")
    return fresh


def identity(directory: str) -> Identity | None:
    """Tell which pair is the current one; None if there is none (yet), or its record cannot be read."""
    try:
        with open(sds_workload(directory), "rb") as file:  # noqa: PTH123  # pathlib is megabytes
            certificate = json.loads(file.read())["resources"][0]["tls_certificate"]
        return Identity(certificate["private_key"]["filename"], certificate["certificate_chain"]["filename"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def replace(path: str, data: bytes, mode: int = _PUBLIC) -> None:
    """Put a file in place at once: whoever opens the path reads the old content or the new, whole. Raises OSError."""
    directory, _, name = path.rpartition("/")
    passing = f"{directory}/.{name}.new"
    try:
        _write(passing, data, mode, os.O_TRUNC)
        os.rename(passing, path)  # noqa: PTH104  # pathlib is megabytes
    except OSError:
        _remove((passing,))
        raise


def read(path: str, limit_bytes: int) -> bytes:
    """Read a file whole. Raises OSError, and ValueError for one that is longer."""
    with open(path, "rb") as file:  # noqa: PTH123  # pathlib is megabytes
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"longer than {limit_bytes} bytes")
    return data


def certificates(pem: bytes) -> list[bytes]:
    """Take certificates (DER) out of a PEM text; raises ValueError if there is none or one is damaged.

    Looks at the outermost length only: enough to know that a file is whole, which is what a reader must know.
    """
    found = []
    for block in pem.split(_BEGIN)[1:]:
        body, end, _ = block.partition(_END)
        if not end:
            raise ValueError("a certificate has no end")
        der = binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
        if not _is_whole(der):
            raise ValueError("a certificate is damaged")
        found.append(der)
    if not found:
        raise ValueError("there is no certificate in it")
    return found


def _is_whole(der: bytes) -> bool:
    """X.690 8.1.3: a sequence (0x30) whose length, one byte or as many as that byte says, is that of the rest."""
    if len(der) < 2 or der[0] != 0x30:
        return False
    extra = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + extra], "big") if extra else der[1]
    return len(der) == 2 + extra + length


def _answer(name: str, secret: Json) -> bytes:
    """Write a resource as an SDS server would send it."""
    return json.dumps({"resources": [{"@type": _RESOURCE, "name": name, **secret}]}, indent=1).encode()


def _create(path: str, data: bytes, mode: int) -> None:
    _write(path, data, mode, os.O_EXCL)


def _write(path: str, data: bytes, mode: int, how: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, mode)
    try:
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])
    finally:
        os.close(fd)


def _remove(paths: tuple[str, ...]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108  # pathlib is megabytes


def _forget(directory: str, prefix: str) -> None:
    """Remove generations that nobody reads any more; names sort by age."""
    with contextlib.suppress(OSError):
        generations = sorted(name for name in os.listdir(directory) if name.startswith(prefix))  # noqa: PTH208  # see above
        _remove(tuple(f"{directory}/{name}" for name in generations[:-_KEPT]))
