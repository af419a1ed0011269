"""What the kernel is told about handshakes: who this node's cgroups are, and with which keys that is signed.

Here because both must be told at once, not at the next tick: a pod connects milliseconds after its start, and a key is
rotated under load. Without keys nothing is told and nothing believed. What stands in the kernel holds while the agent
restarts. Leaves out which cgroup is whom (``identities``), what keys look like (``keys``) and the kernel (``kernel``).
"""

import os
import pathlib
import stat
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from agent import config, drops, identities, kernel, keys, model
from ipseity import identity

_LOOK_NS: Final = 2_000_000_000
"""How often the file with the keys is looked at."""
_FILE_BYTES: Final = 4096
"""More than two keys and what is said about them."""
_INIT: Final = "make them: ipseity handshake init; or say that there are none: --handshake-secret ''"

log = structlog.get_logger("agent")


class Handshake:
    """What was told to the kernel. One event loop's."""

    def __init__(self, held: kernel.Kernel, settings: config.Config, lost: drops.Drops) -> None:
        """Leave what a former agent told as it is until more is known, but for what the settings switch off."""
        self._kernel = held
        self._drops = lost
        self._identities = identities.Identities(identity.TrustDomain(settings.trust_domain), settings.node())
        self._file = settings.handshake_key_file
        self._seen: tuple[int, int, int] | None = None
        self._look_due_ns = 0
        self._strangers_left = True
        self._scanned = False
        self._refused = 0
        self._keys: keys.Keys | None = None
        self.follows_secret: Final = bool(settings.handshake_secret) and self._file is None
        self.wanted: Final = self.follows_secret or self._file is not None
        self._is_off = False
        self._keys_left = False
        self._left: identities.Changes = {}
        """What the kernel did not take: said again at each tick."""
        for stage in ("identities_full", "identities_failed", "identities_refused"):
            lost.count(stage, 0)
        for stage in ("handshake_keys_unusable", "handshake_keys_failed"):
            lost.count(stage, 0)
        if not self.wanted:
            self._off()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Name the keys in use; empty: identities are neither told nor believed."""
        return self._keys.named() if self._keys else {}

    def begin(self, pods: Iterable[model.Pod], uids: Mapping[int, str]) -> None:
        """Go on with what a former agent knew: pods, and by cgroup in a pod the uid in its path."""
        for pod in pods:
            self.object(model.ObjectEvent(change=model.Change.SEEN, object=pod, boot_ns=0))
        self._enter(self._identities.begin(uids))

    def cgroups(self, events: Iterable[model.CgroupEvent]) -> None:
        """Take directories that came and went."""
        self._enter(self._identities.cgroups(events))

    def object(self, event: model.ObjectEvent) -> None:
        """Take what the API told of a pod."""
        self._write(self._identities.pod(event))

    def tick(self, *, scanned: bool, pods_known: bool) -> None:
        """Take back what a former agent wrote for others, once every directory was told of: the tree was ``scanned``.

        Not before the pods are known too, as long as the API can be asked: they are still who they were.
        """
        self._scanned |= scanned
        if self._keys_left:
            self._tell_keys()
        changes = dict(self._left)
        if self._strangers_left and self._scanned and pods_known:
            try:
                changes |= self._identities.strangers(self._kernel.identified())
                self._strangers_left = False
            except OSError as error:
                self._failed(error)
        self._write(changes)

    def take(self, found: keys.Keys | keys.Unusable | None) -> None:
        """Take new keys, or that there are none any more. Unusable ones change nothing."""
        if isinstance(found, keys.Unusable):
            self._drops.count("handshake_keys_unusable")
            self._drops.say("handshake", f"handshake keys: {found}", hint=found.hint)
            return
        if found is None:
            self._drops.say("handshake", "no handshake keys: peers are known by their addresses alone", hint=_INIT)
            self._off()
            return
        self._drops.over("handshake")
        if found == self._keys:
            return
        self._keys, self._is_off = found, False
        self._tell_keys()
        log.info("handshake keys", **found.named())

    def look(self, boot_ns: int) -> None:
        """Read the file with the keys, if it has changed since it was read."""
        if self._file is None or boot_ns < self._look_due_ns:
            return
        self._look_due_ns = boot_ns + _LOOK_NS
        try:
            now = _stamp(self._file)
            if now != self._seen:
                self.take(read_file(self._file))
                self._seen = now
        except keys.Unusable as error:
            self.take(error)

    def _off(self) -> None:
        if self._is_off:
            return
        self._keys, self._is_off = None, True
        self._tell_keys()

    def _tell_keys(self) -> None:
        """Give the kernel the keys in use. What it does not take is said again at the next tick."""
        try:
            self._kernel.handshake(self._keys.for_kernel() if self._keys else (), on=self._keys is not None)
            self._keys_left = False
            self._drops.over("handshake_keys")
        except OSError as error:
            self._keys_left = True
            self._drops.count("handshake_keys_failed")
            hint = "the kernel goes on with the keys that it has; it is tried again"
            self._drops.say("handshake_keys", "cannot write keys into the kernel", error=str(error), hint=hint)

    def _enter(self, changes: identities.Changes) -> None:
        """Write what became of directories, and count those that the picture had no room for."""
        refused = self._identities.refused
        self._drops.count("identities_refused", refused - self._refused)
        self._refused = refused
        self._write(changes)

    def _write(self, changes: identities.Changes) -> None:
        """Tell the kernel. What it does not take is kept for the next tick: who delivers events goes on."""
        if not changes:
            return
        before = set(self._left)
        try:
            refused = self._kernel.identify(changes)
        except OSError as error:
            self._failed(error)
            self._left |= changes
            return
        self._drops.over("identities")
        self._drops.count("identities_full", len(refused - before))
        for cgroup, told in changes.items():
            if cgroup in refused:
                self._left[cgroup] = told
            else:
                self._left.pop(cgroup, None)

    def _failed(self, error: OSError) -> None:
        self._drops.count("identities_failed")
        hint = "cgroups may say nothing in handshakes, or who they were; it is tried again"
        self._drops.say("identities", "cannot write identities into the kernel", error=str(error), hint=hint)


def read_file(path: pathlib.Path) -> keys.Keys:
    """Read a file of keys. Raises keys.Unusable."""
    try:
        with path.open(encoding="ascii") as opened:
            if os.fstat(opened.fileno()).st_mode & stat.S_IROTH:
                hint = f"chmod 600 {path}, and make new keys"
                raise keys.Unusable(f"{path} can be read by everybody on this node", hint=hint)
            return keys.from_text(opened.read(_FILE_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        # What cannot be decoded is not quoted: it may be a key.
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise keys.Unusable(f"{path}: {why}", hint="give a file of keys: --handshake-key-file") from None


def _stamp(path: pathlib.Path) -> tuple[int, int, int]:
    """Tell one state of a file from another. Raises keys.Unusable."""
    try:
        status = path.stat()
    except OSError as error:
        hint = "give a file of keys: --handshake-key-file"
        raise keys.Unusable(f"{path}: {error.strerror}", hint=hint) from None
    return status.st_ino, status.st_mtime_ns, status.st_size
