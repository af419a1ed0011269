"""Measures a canary by its own sidecars: what they counted of calls from proven identities between two readings.

Here because it needs nothing installed. Every pod that is sent to must have been read twice, and one that is not any
more too, while it is there: one that could not be read is a measurement that is not there. Calls without an identity
(probes) are left out: they would hide failures. A request that its caller gave up waiting for has failed. Leaves out
judging (``judge``).
"""

import dataclasses
from collections.abc import Iterable, Mapping

from injector.discovery import naming
from injector.rollout import judge, model, place
from injector.seeing import measured, scrape
from ipseity import identity


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What proxies had counted at the beginning of a window."""

    read: Mapping[identity.PodRef, measured.Measured]
    unread: Mapping[identity.PodRef, str]
    """And who did not say."""


class Proxies:
    """Asks proxies."""

    def __init__(self, scraper: scrape.Scraper) -> None:
        self._scraper = scraper

    async def begin(self, where: place.Place) -> Reading:
        """Open a window."""
        found = await scrape.everybody(self._scraper, where.ready, measured.read, measured.WANTED)
        return Reading(read=found.read, unread=found.unread)

    async def end(self, where: place.Place, begun: Reading, spec: model.Spec) -> model.Observed:
        """Close it, and give what was counted meanwhile."""
        del spec
        # One that is not sent to any more may be so because of what it did in this window.
        concerned = [each for each in where.pods if each.ready or each.ref in begun.read]
        return between(where, begun, await scrape.everybody(self._scraper, concerned, measured.read, measured.WANTED))


def between(where: place.Place, begun: Reading, now: scrape.Readings[measured.Measured]) -> model.Observed:
    """Give what was counted between two readings."""
    bare = sorted(each.ref.name for each in where.ready if not each.meshed)
    if bare:
        return model.Observed(problem=f"pod {bare[0]} has no sidecar to ask")
    unread = {**{ref: why for ref, why in begun.unread.items() if ref in now.read}, **now.unread}
    if unread:
        ref, why = min(unread.items(), key=lambda each: each[0].name)
        return model.Observed(problem=f"the sidecar of pod {ref.name} cannot be read: {why}")
    # A pod that became ready meanwhile was not read before: its share of this window is not known.
    both = [ref for ref in now.read if ref in begun.read]
    if not both:
        return model.Observed(problem="no sidecar could be read twice")
    return judge.observed(_added(measured.since(now.read[ref], begun.read[ref]) for ref in both))


def _added(grown: Iterable[measured.Measured]) -> model.Counts:
    requests = failed = 0
    within: dict[float, int] = {}
    for one in grown:
        for peer, served in one.inbound.items():
            if peer.account == naming.NOBODY:
                continue
            requests += served.requests + served.abandoned
            failed += served.failed + served.abandoned
            for bound, count in served.within.items():
                within[bound] = within.get(bound, 0) + count
    return model.Counts(requests=requests, failed=failed, within=within)
