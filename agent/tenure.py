"""Who had one address, from when to when: what is certain, what is only possible, and how the two are weighed.

Here because this is where an IP look-up goes wrong: an address changes hands between the moment a pod takes it and the
moment the API tells. So a tenure has two ranges. It is *certain* from the first to the last moment at which a fact (an
API event that brought the address, a local socket that used it) put the owner there. It is *possible* from when the
owner may have taken the address at the earliest to when it had let it go at the latest. One address has one owner at a
time, so certainties of others cut what is possible. What is left of several possible owners is an ambiguity, and stays
one. The order in which facts arrive does not matter.

Leaves out where facts come from and what an owner is (``ownership``).
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

FOREVER_NS = 1 << 62


class Source(enum.StrEnum):
    """Where the first certain fact of a tenure came from."""

    API = "api"
    KERNEL = "kernel"


@dataclasses.dataclass(slots=True, kw_only=True)
class Tenure:
    """One owner's time with one address. Widened and ended in place as facts arrive."""

    owner: str
    """Uid of a pod, service or node."""
    possible_from_ns: int
    possible_until_ns: int = FOREVER_NS
    certain_from_ns: int = FOREVER_NS
    """Certain is empty (from after until) for a pod whose address was only told when it had ended."""
    certain_until_ns: int = -1
    source: Source = Source.API

    def confirm(self, at_ns: int) -> bool:
        """Take a fact that the owner had the address at that moment; True if it widens what was known."""
        news = not self.certain_from_ns <= at_ns <= self.certain_until_ns
        self.certain_from_ns = min(self.certain_from_ns, at_ns)
        self.certain_until_ns = max(self.certain_until_ns, at_ns)
        self.possible_from_ns = min(self.possible_from_ns, at_ns)
        self.possible_until_ns = max(self.possible_until_ns, at_ns + 1)
        return news

    def end(self, at_ns: int) -> None:
        """Take the news that the owner has let go, which happened at that moment or before."""
        self.possible_until_ns = min(self.possible_until_ns, max(at_ns, self.certain_until_ns + 1))

    @property
    def is_certain(self) -> bool:
        """Whether there is any moment at which the owner certainly had it."""
        return self.certain_from_ns <= self.certain_until_ns


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What is left of a tenure when the others of its address are taken into account: ``from_ns <= t < until_ns``."""

    tenure: Tenure
    from_ns: int
    until_ns: int


def spans(tenures: Sequence[Tenure]) -> list[Span]:
    """Cut every tenure by the certainties of the others, in order of time."""
    cut = [_cut(tenure, tenures) for tenure in tenures]
    return sorted(
        (span for span in cut if span.from_ns < span.until_ns), key=lambda span: (span.from_ns, span.until_ns)
    )


def owners(tenures: Sequence[Tenure], start_ns: int, end_ns: int) -> set[str]:
    """Uids of all who may have had the address at some moment from start to end, both included."""
    if len(tenures) == 1:  # the usual case, and it is asked for every edge
        [only] = tenures
        inside = only.possible_from_ns <= end_ns and start_ns < only.possible_until_ns
        return {only.owner} if inside else set()
    return {
        span.tenure.owner
        for span in spans(tenures)
        if span.from_ns <= end_ns and start_ns < span.until_ns and not _excluded(span.tenure, tenures, start_ns, end_ns)
    }


def _cut(tenure: Tenure, tenures: Iterable[Tenure]) -> Span:
    """Bound a tenure: whoever was certain before it is over by then, whoever is certain after it has begun."""
    from_ns, until_ns = tenure.possible_from_ns, tenure.possible_until_ns
    for other in tenures:
        if other is tenure or not (other.is_certain and tenure.is_certain):
            continue
        if other.certain_until_ns < tenure.certain_from_ns:
            from_ns = max(from_ns, other.certain_until_ns + 1)
        if other.certain_from_ns > tenure.certain_until_ns:
            until_ns = min(until_ns, other.certain_from_ns)
    return Span(tenure, from_ns, until_ns)


def _excluded(tenure: Tenure, tenures: Iterable[Tenure], start_ns: int, end_ns: int) -> bool:
    """Whether another owner certainly had the address all the time from start to end, and this one not."""
    return not (tenure.certain_from_ns <= end_ns and start_ns <= tenure.certain_until_ns) and any(
        other.certain_from_ns <= start_ns and end_ns <= other.certain_until_ns
        for other in tenures
        if other.owner != tenure.owner
    )
