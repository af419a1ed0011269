"""Nothing that connected before fails: peers without the agent, full headers, devices that drop the option.

1,000 connections of each kind; none fails, and what is dropped costs at most one retransmission of the SYN. To keep it
short those that wait for one are called at once.
"""

import os

from tests.prove import _compat, verdict


def prove() -> verdict.Verdict:
    """Connect in every way."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    kinds = list(_compat.measure())
    failed, count = sum(kind.failed for kind in kinds), sum(kind.count for kind in kinds)
    slowest_s = max(kind.slowest_s for kind in kinds)
    return verdict.Verdict(
        holds=all(kind.holds for kind in kinds),
        figure=f"{failed} of {count} connections failed; none took longer than {slowest_s:.2f} s to be established",
        lines=tuple(kind.line() for kind in kinds),
    )
