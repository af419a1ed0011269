"""What a check is: a sentence, what it stands on, a coroutine that says what was seen or raises ``record.Failed``."""

import dataclasses
from collections.abc import Awaitable, Callable

from tests.cluster import ground

Run = Callable[[ground.Ground], Awaitable[str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check."""

    key: str
    """``subject/name``."""
    says: str
    """What holds if it holds."""
    run: Run
    needs: tuple[str, ...] = ()
    """Keys of checks without which it tells nothing."""
    admin: bool = False
    """Whether it takes the rights of cluster-admin."""
    changes: bool = False
    """Whether it installs, upgrades or removes Ipseity."""


def check(key: str, says: str, *needs: str, admin: bool = False, changes: bool = False) -> Callable[[Run], Check]:
    """Make a check of a coroutine."""

    def made(run: Run) -> Check:
        return Check(key=key, says=says, run=run, needs=needs, admin=admin, changes=changes)

    return made
