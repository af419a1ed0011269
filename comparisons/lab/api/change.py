"""A write as a value: who changes an object, through which path, when, and whether for real."""

import dataclasses

from comparisons.lab import clock


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

    @property
    def time(self) -> str:
        """When, as Kubernetes writes it."""
        return clock.rfc3339(self.now_wall_ns)
