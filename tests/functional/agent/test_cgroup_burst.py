"""More cgroups than the ring holds come between two readings: the same reading finds those that were lost.

Left out: what becomes of the events (tests/unit/agent/test_lives.py).
"""

import ipaddress

from agent import clock, drops, edges, reader
from tests.scene import counted

MANY = 701
"""The ring holds 590."""


def test_a_burst_of_cgroups_is_complete_at_once() -> None:
    """A pod that lives for less than the next scan of the tree has a name too."""
    with counted.programs("burst") as ours:
        looked = reader.Reader(
            ours.kernel,
            ours.cgroup,
            edges.Prefixes([ipaddress.ip_network("10.0.0.0/8")], []),
            drops.Drops(),
            sweep_s=(1.0, 10.0),
        )
        alive = {event.cgroup for event in looked.cgroups_missed((), (), clock.boot_ns()) or ()}
        made = [ours.cgroup / f"pod-{number}" for number in range(MANY)]
        try:
            for each in made:
                each.mkdir()
            assert ours.kernel.losses()["cgroup_ring_full"]
            news = looked.cgroup_news()
            told = {event.cgroup for event in [*news, *(looked.cgroups_missed(news, alive, clock.boot_ns()) or ())]}
            assert not {each.stat().st_ino for each in made} - told
        finally:
            for each in made:
                each.rmdir()
