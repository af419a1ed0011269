"""The trust bundle as the kubelet delivers it, copied for Envoy whenever it has changed and is whole.

Here because Envoy would take a bundle that is half written, empty or missing for the truth and refuse every peer; the
last good one stays instead. Leaves out what a change means for our own certificate (``certificate``).
"""

import os
from typing import Final

from injector.sidecar import files, journal, orders

_EVERY_S: Final = 1.0
"""A look is one stat(2); the kubelet itself takes up to a minute."""
_Seen = tuple[int, int, int]


class Trust:
    """Follows one file; never raises."""

    def __init__(self, told: orders.Orders) -> None:
        self.published = False
        """Envoy has anchors to read."""
        self._source: Final = f"{told.identity_dir}/ca.crt"
        self._directory: Final = told.workload_dir
        self._seen: _Seen | None = None
        self._bundle = b""
        self._complaint = ""
        self._due_s = 0.0

    def step(self, now_s: float) -> bool:
        """Look, if it is time; True if Envoy was given other anchors than before."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + _EVERY_S
        try:
            return self._follow(now_s)
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return False

    def _follow(self, now_s: float) -> bool:
        found = os.stat(self._source)  # noqa: PTH116  # pathlib is megabytes
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return False
        bundle = files.read(self._source, files.MAX_BUNDLE_BYTES)
        if bundle != self._bundle:
            anchors = len(files.certificates(bundle))
            files.publish_trust(self._directory, bundle, int(now_s * 1e9))
            journal.say("info", "trust", message="trust bundle is in use", anchors=anchors)
            changed, self.published, self._bundle = self.published, True, bundle
        else:
            changed = False
        self._seen, self._complaint = seen, ""
        return changed

    def _complain(self, text: str) -> None:
        """Say it once, not every second."""
        if text != self._complaint:
            kept = "the last good one stays" if self.published else "Envoy waits for it"
            journal.say("warning", "trust", message=f"trust bundle {self._source}: {text}; {kept}")
        self._complaint = text
