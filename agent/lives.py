"""Which cgroup id was what, and when: ids are inode numbers, so a number has lives, not one meaning.

Here because a socket outlives its cgroup and a drain comes after both: the question is asked when the directory is
gone. Leaves out who tells (the kernel's tracepoint, ``cgroups``) and what a place means to Kubernetes (``ownership``).
"""

import collections
import dataclasses

from agent import model, places


@dataclasses.dataclass(slots=True, kw_only=True)
class Life:
    """One life of a cgroup id."""

    place: places.Place
    from_ns: int
    gone_ns: int | None = None


class Lives:
    """Lives by cgroup id. A gone one is remembered for the history's length, and then only if there is no successor."""

    def __init__(self, *, history_ns: int, limit: int) -> None:
        """Remember at most ``limit`` ids; beyond it the longest gone is evicted, or else the new one refused."""
        self._history_ns = history_ns
        self._limit = limit
        self._gone: collections.deque[tuple[int, model.CgroupId]] = collections.deque()
        self.by_id: dict[model.CgroupId, list[Life]] = {}
        self.evicted = 0

    def apply(self, event: model.CgroupEvent) -> bool:
        """Take the coming or going of a directory; True if an answer may have changed."""
        lives = self.by_id.get(event.cgroup)
        last = lives[-1] if lives else None
        if event.gone:
            self._end(last, event)
            return False
        place = places.parse(event.path)
        if last is not None and last.place == place:
            last.gone_ns = None  # a scan and the kernel may tell of the same directory, in either order
            return False
        return self._begin(event, place, lives)

    def alive(self) -> set[model.CgroupId]:
        """Ids whose directories exist, as far as is known: what a scan is compared with."""
        return {cgroup for cgroup, lives in self.by_id.items() if lives[-1].gone_ns is None}

    def in_pods(self) -> dict[int, str]:
        """Those of them that are a pod's, with the uid in their path."""
        there = {cgroup: self.by_id[cgroup][-1].place for cgroup in self.alive()}
        return {cgroup: place.uid for cgroup, place in there.items() if isinstance(place, places.InPod)}

    def place(self, cgroup: model.CgroupId, at_boot_ns: int) -> places.Place | None:
        """Say what the id meant at that moment; after its end too, as long as nobody else has it."""
        lives = self.by_id.get(cgroup)
        if not lives:
            return None
        return next((life.place for life in reversed(lives) if life.from_ns <= at_boot_ns), lives[0].place)

    def expire(self, now_boot_ns: int) -> None:
        """Forget lives that ended longer than the history ago."""
        while self._gone and self._gone[0][0] < now_boot_ns - self._history_ns:
            self._forget(*self._gone.popleft())

    def load(self, cgroup: model.CgroupId, lives: list[Life]) -> None:
        """Take back what an earlier run knew of one id."""
        self.by_id[cgroup] = lives
        self._gone.extend((life.gone_ns, cgroup) for life in lives if life.gone_ns is not None)

    def loaded(self) -> None:
        """Take that all is taken back: what is gone goes on in order of time."""
        self._gone = collections.deque(sorted(self._gone))

    def _end(self, last: Life | None, event: model.CgroupEvent) -> None:
        """End the id's last life; an empty path ends whatever it is, another path was an earlier life's."""
        if last is None or last.gone_ns is not None or (event.path and places.parse(event.path) != last.place):
            return
        last.gone_ns = event.boot_ns
        self._gone.append((event.boot_ns, event.cgroup))

    def _begin(self, event: model.CgroupEvent, place: places.Place, lives: list[Life] | None) -> bool:
        if lives is None and len(self.by_id) >= self._limit and not self._evict():
            return False
        # An id's first meaning holds for all time before: a scan finds a directory long after it was made.
        life = Life(place=place, from_ns=event.boot_ns if lives else 0)
        self.by_id.setdefault(event.cgroup, []).append(life)
        return True

    def _evict(self) -> bool:
        """Make room for one; False if every id is alive."""
        self.evicted += 1
        while self._gone:
            before = len(self.by_id)
            self._forget(*self._gone.popleft())
            if len(self.by_id) < before:
                return True
        return False

    def _forget(self, gone_ns: int, cgroup: model.CgroupId) -> None:
        lives = [life for life in self.by_id.get(cgroup, []) if life.gone_ns is None or life.gone_ns > gone_ns]
        if lives:
            self.by_id[cgroup] = lives
        else:
            self.by_id.pop(cgroup, None)
