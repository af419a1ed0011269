"""What a tick takes and cannot read again: records of ended connections, events of cgroups and of the watch.

Outcome: a tick that fails loses none of it. What it had comes once more with the next one; what two ticks have failed
with is dropped and counted, so that one poisonous event cannot stop the agent. Here because edges are cumulative and
need none of this, and these are not. Leaves out reading (``reader``, ``pods``) and edges that are read for the last
time (``kernel.let_go``).
"""

import dataclasses

from agent import drops, model, records


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """What one step is given. Cgroups and objects in the order in which they happened."""

    cgroup_events: list[model.CgroupEvent] = dataclasses.field(default_factory=list)
    object_events: list[model.ObjectEvent] = dataclasses.field(default_factory=list)
    connections: list[records.Connection] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        """Add them up."""
        return len(self.cgroup_events) + len(self.object_events) + len(self.connections)


class Inbox:
    """What waits for a step. One event loop's."""

    def __init__(self, lost: drops.Drops) -> None:
        self._drops = lost
        self.fresh = Taken()
        """What no step has had yet; whoever reads something adds it."""
        self._again = Taken()
        lost.count("tick_inputs_lost", 0)

    def all(self) -> Taken:
        """Give what waits, oldest first. It goes on waiting until ``done``."""
        return Taken(
            self._again.cgroup_events + self.fresh.cgroup_events,
            self._again.object_events + self.fresh.object_events,
            self._again.connections + self.fresh.connections,
        )

    def done(self) -> None:
        """Forget all of it: a step has had it."""
        self.fresh, self._again = Taken(), Taken()

    def failed(self) -> None:
        """Give what was fresh its second try, after a tick that failed; what had that is dropped."""
        self._drops.count("tick_inputs_lost", len(self._again))
        self.fresh, self._again = Taken(), self.fresh
