"""The TLS context that the webhook serves with: TLS 1.3, and a certificate that can be exchanged while it serves.

Here because a renewal must not cost a connection: those that are open keep what they have, new ones get the new pair.
Leaves out where a pair comes from: ``rotation`` makes it, or a user's files have it.
"""

import os
import pathlib
import ssl

from injector import errors
from injector.webhook import certificate


class Credentials:
    """A server's context, and what is in it."""

    def __init__(self) -> None:
        self.context = _context()
        self._pair: certificate.Pair | None = None

    @property
    def pair(self) -> certificate.Pair | None:
        """What is served; None: nothing yet, and every handshake fails."""
        return self._pair

    def use(self, pair: certificate.Pair) -> bool:
        """Serve a pair from now on; False if it is served already. Raises CannotRun if it cannot be used."""
        if pair == self._pair:
            return False
        _load(_context(), pair)  # tried elsewhere first: a key that does not fit would leave the context half changed
        _load(self.context, pair)
        self._pair = pair
        return True


def read_files(certificate_file: pathlib.Path, key_file: pathlib.Path) -> certificate.Pair:
    """Read the pair that a user, or cert-manager, keeps in files. Raises CannotRun."""
    try:
        return certificate.Pair(
            certificate_pem=certificate_file.read_bytes(), key_pem=key_file.read_bytes(), authority_pem=b""
        )
    except OSError as error:
        raise errors.CannotRun(
            f"cannot read the webhook's certificate: {error}", hint="give files that exist and may be read"
        ) from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pair: certificate.Pair) -> None:
    """Load from memory: OpenSSL reads files only, and a key has no business on a disk."""
    held = [_in_memory(pair.certificate_pem), _in_memory(pair.key_pem)]
    try:
        context.load_cert_chain(*(f"/proc/self/fd/{each}" for each in held))
    except (ssl.SSLError, OSError) as error:
        raise errors.CannotRun(
            f"the webhook's certificate and key cannot be used: {error}", hint="they must be PEM, and belong together"
        ) from error
    finally:
        for each in held:
            os.close(each)


def _in_memory(content: bytes) -> int:
    made = os.memfd_create("ipseity-webhook", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(made), "wb") as file:
        file.write(content)
    return made
