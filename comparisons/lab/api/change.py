"""A write as a value: who changes an object, through which path, when, and whether for real."""

import dataclasses
from collections.abc import Mapping

from comparisons.lab import clock
from comparisons.lab.api import users


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the rules need to know of a write, beside the object."""

    manager: str
    """As ``managedFields`` will say it."""
    now_wall_ns: int
    subresource: str = ""
    """``status``, ``scale``, ``binding``, ``finalize``, or none."""
    dry_run: bool = False
    applied: bool = False
    """Whether the fields' owners were already worked out (server-side apply)."""
    user: users.User = users.ADMIN
    """Whoever asks."""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``fieldManager`` and ``fieldValidation`` as the client said them."""
    warnings: list[str] = dataclasses.field(default_factory=list)
    """What admission has to say to the client; filled while the write is done."""

    @property
    def time(self) -> str:
        """When, as Kubernetes writes it."""
        return clock.rfc3339(self.now_wall_ns)
