"""One node's rules in the kernel: brought to what is wanted, in one transaction each time.

Here so that one object knows what the kernel has. Small changes are sent as differences; after a refusal, and the
first time, the whole is loaded, which needs to know nothing of what was there. Leaves out what is wanted
(``compiler``) and what has become of connections (``connections``).
"""

import enum
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import TypeVar

import structlog

from comparisons.ip_policy import errors, ruleset
from comparisons.lab import netns

T = TypeVar("T")
NFT_S = 30.0
"""Arbitrary: a thousand times what a load takes."""
log = structlog.get_logger("ip-policy")


class How(enum.Enum):
    """What a change took."""

    NOTHING = "nothing"
    """No rule of this node has to do with it."""
    DIFFERENCE = "difference"
    WHOLE = "whole"


class Kernel:
    """The tables in one network namespace; None: the process's own. Its methods block."""

    def __init__(self, namespace: pathlib.Path | None) -> None:
        self._namespace = namespace
        self._present = ruleset.NOTHING
        self.failures = 0
        """Differences that were refused: somebody else has changed the tables."""

    def inside(self, function: Callable[[], T]) -> T:
        """Run a function in the namespace."""
        return function() if self._namespace is None else netns.inside(self._namespace, function)

    def bring(self, wanted: ruleset.Ruleset) -> How:
        """Make the kernel have these rules. Refused: it has those of before, whole."""
        if self._present and ruleset.alike(self._present, wanted):
            change = ruleset.difference(self._present, wanted)
            if not change:
                return How.NOTHING
            try:
                self._run(change)
            except errors.Refused as error:
                self.failures += 1
                log.warning("rules were changed by somebody else; loading all of them", error=str(error))
            else:
                self._present = wanted
                return How.DIFFERENCE
        self._present = ruleset.NOTHING
        self._run(ruleset.whole(wanted))
        self._present = wanted
        return How.WHOLE

    def doubt(self) -> None:
        """Load the whole the next time, whatever the kernel is thought to have."""
        self._present = ruleset.NOTHING

    def remove(self, titles: tuple[str, ...]) -> None:
        """Remove tables, if they are there."""
        self._present = ruleset.NOTHING
        self._run(ruleset.removal(titles))

    def _run(self, transaction: str) -> None:
        self.inside(lambda: _nft(transaction))


def _nft(transaction: str) -> None:
    """Run one transaction in the thread's namespace, which a child inherits."""
    command = ["nft", "-f", "-"]
    try:
        done = subprocess.run(  # noqa: S603  # fixed words
            command, input=transaction, capture_output=True, text=True, check=False, timeout=NFT_S, env=_environment()
        )
    except OSError as error:
        raise errors.Refused(f"cannot run nft: {error.strerror}", hint="apt-get install nftables") from error
    except subprocess.TimeoutExpired as error:
        raise errors.Refused(f"nft did not end within {NFT_S:g} s", hint="is the machine overloaded?") from error
    if done.returncode != 0:
        words = done.stderr.strip().partition("\n")[0] or f"exit status {done.returncode}"
        hint = "this needs root (CAP_NET_ADMIN)" if os.geteuid() else ""
        raise errors.Refused(f"cannot set the policy rules: nft: {words}", hint=hint)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"}
