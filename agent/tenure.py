"""Who had one address, from when to when: what is proven, what is possible, and how the two are weighed.

Here because this is where an IP look-up goes wrong: an address changes hands between the moment a pod takes it and the
moment the API tells. So a fact is an interval: "it had the address at some moment from ... to ...". For a local socket
that is one instant; for an API event it begins as early as the pod may have had the address before it was told.

From its facts a tenure follows: it had begun by the earliest end of a fact, and it lasted at least to the latest begin
of one. One address has one owner at a time, so where two tenures can only have been in one order, each bounds the
other. What is left of several possible owners is an ambiguity, and stays one. The order in which facts arrive does not
matter. Leaves out where facts come from and what an owner is (``ownership``).
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

FOREVER_NS = 1 << 62


class Source(enum.StrEnum):
    """Where the first fact of a tenure came from."""

    API = "api"
    KERNEL = "kernel"


@dataclasses.dataclass(slots=True, kw_only=True)
class Tenure:
    """One owner's time with one address. Widened and ended in place as facts arrive."""

    owner: str
    """Uid of a pod, service or node."""
    source: Source
    from_ns: int = FOREVER_NS
    """It did not begin before this."""
    until_ns: int = FOREVER_NS
    """It was over by this."""
    began_by_ns: int = FOREVER_NS
    lasted_to_ns: int = -1

    def fact(self, earliest_ns: int, latest_ns: int) -> bool:
        """Take that the owner had the address at some moment from earliest to latest; True if that is news."""
        before = (self.from_ns, self.until_ns, self.began_by_ns, self.lasted_to_ns)
        self.from_ns = min(self.from_ns, earliest_ns)
        self.until_ns = max(self.until_ns, earliest_ns + 1)
        self.began_by_ns = min(self.began_by_ns, latest_ns)
        self.lasted_to_ns = max(self.lasted_to_ns, earliest_ns)
        return before != (self.from_ns, self.until_ns, self.began_by_ns, self.lasted_to_ns)

    def end(self, at_ns: int) -> None:
        """Take the news that the owner has let go, which happened at that moment or before."""
        self.until_ns = min(self.until_ns, max(at_ns, self.lasted_to_ns + 1))

    @property
    def is_open(self) -> bool:
        """Whether no end is known."""
        return self.until_ns == FOREVER_NS

    @property
    def is_proven(self) -> bool:
        """Whether there is any moment for which it is proven."""
        return self.began_by_ns <= self.lasted_to_ns

    def was_before(self, other: "Tenure") -> bool:
        """Whether this one can only have come first: it had begun before a moment that the other lasted to."""
        return self.began_by_ns < other.lasted_to_ns

    def covers(self, start_ns: int, end_ns: int) -> bool:
        """Whether it is proven for all the time from start to end."""
        return self.began_by_ns <= start_ns and end_ns <= self.lasted_to_ns


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What is left of a tenure when the others of its address are taken into account: ``from_ns <= t < until_ns``."""

    tenure: Tenure
    from_ns: int
    until_ns: int


def spans(tenures: Sequence[Tenure]) -> list[Span]:
    """Bound every tenure by the others, in order of time."""
    left = [span for span in (_bounded(each, tenures) for each in tenures) if span.from_ns < span.until_ns]
    return sorted(left, key=lambda span: (span.from_ns, span.until_ns))


def owners(tenures: Sequence[Tenure], start_ns: int, end_ns: int) -> set[str]:
    """Uids of all who may have had the address at some moment from start to end, both included."""
    near = [each for each in tenures if each.from_ns <= end_ns and start_ns < each.until_ns]
    if len(tenures) > 1:  # asked for every edge, and the usual address has one owner
        bounded = [_bounded(each, tenures) for each in near]
        near = [span.tenure for span in bounded if span.from_ns <= end_ns and start_ns < span.until_ns]
    proven = {each.owner for each in near if each.covers(start_ns, end_ns)}
    return proven if len(proven) == 1 else {each.owner for each in near}


def _bounded(tenure: Tenure, tenures: Iterable[Tenure]) -> Span:
    """Bound one tenure. Two that each came before the other are two pods with one address: neither bounds the other."""
    from_ns, until_ns = tenure.from_ns, tenure.until_ns
    for other in tenures:
        if other is tenure:
            continue
        first, second = other.was_before(tenure), tenure.was_before(other)
        if first and not second:
            from_ns = max(from_ns, other.lasted_to_ns + 1)
        if second and not first:
            until_ns = min(until_ns, other.began_by_ns)
    return Span(tenure, from_ns, until_ns)
