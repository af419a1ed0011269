"""One certificate for this pod, from a process that lives for a second: ``python -m injector.sidecar.certify``.

Here because cryptography and gRPC cost 60 MB, which the supervisor would hold for a day to use for a second. The key is
made here, goes to the memory-backed volume once its certificate is there, and nowhere else.

    {"task": "issue", ...}   ask the control plane, check the answer, publish it
    {"task": "adopt", ...}   check what an earlier run of this container left behind

It prints one JSON line, ``outcome`` first. Exit codes: 0 there is a certificate; 3 refused: somebody must change
something; 4 the control plane cannot be reached or cannot answer now; 5 something in this pod is not there yet or is
broken (token, trust bundle, a full volume). Leaves out when to try again: ``renewal``.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from injector.proto import identity_pb2, identity_pb2_grpc
from injector.sidecar import answer, files, journal

CERTIFIED, REFUSED, UNAVAILABLE, BROKEN = 0, 3, 4, 5
_DEADLINE_S: Final = 15.0
_MAX_TOKEN_BYTES: Final = 16 * 1024
_MAX_ANCHORS: Final = 8
"""identity.proto."""
_REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class Failed(Exception):  # noqa: N818  # it reads as what happened
    """There is no certificate. ``code`` is this process's exit code, ``reason`` a word for a machine."""

    def __init__(self, message: str, *, code: int, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked of one run."""

    task: str
    spiffe_id: str
    control_plane: str
    """The name that the service's certificate must have."""
    address: str
    token: str
    trust: str
    directory: str
    """Paths: the token, the anchors, the volume for key and certificate."""


def issue(task: Task, now: dt.datetime) -> dict[str, object]:
    """Get a certificate for a new key and publish both. Raises Failed."""
    bundle = _read(task.trust, files.MAX_BUNDLE_BYTES, "trust bundle")
    anchors = _anchors(task.trust, bundle)
    key = ec.generate_private_key(ec.SECP256R1())
    request = identity_pb2.CertifyRequest(
        csr_der=signing_request(key),
        token=_read(task.token, _MAX_TOKEN_BYTES, "token").decode("ascii", "replace").strip(),
        trusted_sha256=[anchor.fingerprint(hashes.SHA256()) for anchor in anchors[:_MAX_ANCHORS]],
    )
    chain = _parsed(_ask(task, bundle, request).chain_der)
    _check(chain, key, task, anchors, now)
    try:
        generation = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        files.publish_identity(task.directory, _key_pem(key), _chain_pem(chain), generation)
    except OSError as error:
        raise _broken(f"cannot write key and certificate to {task.directory}: {error.strerror}", "volume") from error
    return _outcome("issued", chain[0], now, age_s=0.0)


def adopt(task: Task, now: dt.datetime) -> dict[str, object]:
    """Check the pair that is there already. Raises Failed if there is none, or it cannot be used."""
    found = files.identity(task.directory)
    if found is None:
        raise _broken("there is no certificate yet", "none")
    anchors = _anchors(task.trust, _read(task.trust, files.MAX_BUNDLE_BYTES, "trust bundle"))
    try:
        key = serialization.load_pem_private_key(pathlib.Path(found.key).read_bytes(), password=None)
        chain = x509.load_pem_x509_certificates(pathlib.Path(found.chain).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise _broken(f"the certificate in {task.directory} cannot be read: {error}", "unreadable") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _broken("the key is not an elliptic curve's", "unreadable")
    _check(chain, key, task, anchors, now)
    return _outcome("adopted", chain[0], now, age_s=max(0.0, (now - chain[0].not_valid_before_utc).total_seconds()))


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Make a CSR that asks for nothing but a certificate for this key: the service knows the name. DER."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _ask(task: Task, bundle: bytes, request: identity_pb2.CertifyRequest) -> identity_pb2.CertifyResponse:
    options = [
        ("grpc.ssl_target_name_override", task.control_plane),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", 1 << 20),
    ]
    credentials = grpc.ssl_channel_credentials(root_certificates=bundle)
    with grpc.secure_channel(task.address, credentials, options=options) as channel:
        try:
            response: identity_pb2.CertifyResponse = identity_pb2_grpc.IdentityStub(channel).Certify(
                request, timeout=_DEADLINE_S
            )
        except grpc.RpcError as error:
            raise _failed_call(task, error) from error
    return response


def _failed_call(task: Task, error: grpc.RpcError) -> Failed:
    status, said = error.code(), journal.shortened(error.details() or "")
    if status not in _REFUSALS:
        return Failed(f"{task.address} does not answer: {said}", code=UNAVAILABLE, reason=status.name.lower())
    trailer = dict(error.trailing_metadata() or ())
    reason = journal.shortened(str(trailer.get("ipseity-reason", status.name.lower())))
    return Failed(f"the control plane refused: {said}", code=REFUSED, reason=reason)


def _check(
    chain: Sequence[x509.Certificate],
    key: ec.EllipticCurvePrivateKey,
    task: Task,
    anchors: Sequence[x509.Certificate],
    now: dt.datetime,
) -> None:
    asked = answer.Asked(key=key.public_key(), spiffe_id=task.spiffe_id, anchors=anchors, now=now)
    try:
        answer.check(chain, asked)
    except answer.Unusable as error:
        raise Failed(f"the certificate cannot be used: {error}", code=REFUSED, reason="unusable") from error


def _parsed(chain_der: Sequence[bytes]) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(der) for der in chain_der]
    except ValueError as error:
        raise Failed(f"the answer is not a chain of certificates: {error}", code=REFUSED, reason="unusable") from error


def _anchors(path: str, bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise _broken(f"trust bundle {path} is not certificates: {error}", "trust") from error


def _read(path: str, limit_bytes: int, what: str) -> bytes:
    try:
        data = files.read(path, limit_bytes)
    except (OSError, ValueError) as error:
        raise _broken(f"{what} {path} cannot be read: {error}", what) from error
    if not data.strip():
        raise _broken(f"{what} {path} is empty", what)
    return data


def _broken(message: str, reason: str) -> Failed:
    return Failed(message, code=BROKEN, reason=reason)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _chain_pem(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)


def _outcome(outcome: str, leaf: x509.Certificate, now: dt.datetime, *, age_s: float) -> dict[str, object]:
    return {
        "outcome": outcome,
        "spiffe_id": leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier
        )[0],
        "serial": f"{leaf.serial_number:x}",
        "not_after": leaf.not_valid_after_utc.isoformat(),
        "age_s": age_s,
        "left_s": (leaf.not_valid_after_utc - now).total_seconds(),
    }


def main(arguments: Sequence[str]) -> int:
    """Do what the one argument asks; print the outcome; give the exit code."""
    values: dict[str, Any] = json.loads(arguments[0])
    task = Task(**values)
    now = dt.datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), dt.UTC)
    code = CERTIFIED
    try:
        told = adopt(task, now) if task.task == "adopt" else issue(task, now)
    except Failed as error:
        code = error.code
        told = {"outcome": "failed", "reason": error.reason, "message": journal.shortened(str(error))}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(told), flush=True)  # noqa: T201  # the supervisor reads it
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
