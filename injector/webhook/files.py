"""A certificate that somebody else renews: cert-manager's mounted Secret, or a user's own files.

Here because such a pair changes under us, and must be served without a restart. Who trusts it is written by whoever
makes it (``cert-manager.io/inject-ca-from``), so nothing is written here. Leaves out pairs of our own: ``rotation``.
"""

import asyncio
import datetime as dt
import pathlib
from typing import Final

import structlog

from injector import errors
from injector.webhook import certificate, tls

log = structlog.get_logger("webhook")

_LOOK_S: Final = 10.0
"""The kubelet renews mounted Secrets about once a minute."""


class Files:
    """Two files, looked at for ever; fills ``credentials``."""

    def __init__(self, credentials: tls.Credentials, certificate_file: pathlib.Path, key_file: pathlib.Path) -> None:
        self._credentials = credentials
        self._certificate_file = certificate_file
        self._key_file = key_file
        self.failed = 0
        """Looks that found nothing usable; what was served is served on."""

    @property
    def expires(self) -> dt.datetime | None:
        """When what is served is worth nothing any more; None: nothing is served."""
        pair = self._credentials.pair
        return certificate.expiry(pair) if pair else None

    def load(self) -> bool:
        """Serve what is in the files now; False if it is served already. Raises CannotRun."""
        return self._credentials.use(tls.read_files(self._certificate_file, self._key_file))

    async def run(self, *, look_s: float = _LOOK_S) -> None:
        """Look again and again. Between two writes the pair may not fit together: the next look finds it does."""
        while True:
            await asyncio.sleep(look_s)
            try:
                if self.load():
                    log.info("webhook certificate read anew", file=str(self._certificate_file))
            except errors.CannotRun as error:
                self.failed += 1
                log.warning("webhook certificate not read", error=str(error), hint=error.hint)
