"""Forgets Events when their hour is over, so that a lab that runs for long does not grow.

The real server leaves this to etcd's leases (``--event-ttl``).
"""

import asyncio

from comparisons.lab import clock
from comparisons.lab.api import kinds, store

EVENT_TTL_S = 3600
SWEEP_S = 30.0


def expired(objects: store.Store, now_wall_ns: int) -> list[store.Key]:
    """Events whose time is over."""
    found = objects.objects(kinds.EVENT).items()
    return [key for key, event in found if _age_s(event["metadata"]["creationTimestamp"], now_wall_ns) > EVENT_TTL_S]


def _age_s(moment: str, now_wall_ns: int) -> float:
    return (now_wall_ns - clock.parse(moment)) / 1e9


async def keep_short(objects: store.Store) -> None:
    """Sweeps for ever."""
    while True:
        await asyncio.sleep(SWEEP_S)
        for key in expired(objects, clock.wall_ns()):
            last = objects.get(kinds.EVENT, key)
            if last is not None:
                objects.remove(kinds.EVENT, key, last)
