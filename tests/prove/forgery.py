"""Forged handshakes, 1,000 of each kind: none is believed, every one is counted.

From a TCP stack of its own in a pod with CAP_NET_RAW, on packet sockets and raw IP sockets: bare SYNs and whole
handshakes, as client and as server, with random MACs, and with options that another pod was overheard telling.
"""

import os

from tests.prove import _forgeries, verdict


def prove() -> verdict.Verdict:
    """Forge and count."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    kinds = list(_forgeries.measure())
    sent, believed = sum(kind.sent for kind in kinds), sum(kind.believed for kind in kinds)
    counted = sum(kind.counted == kind.expected for kind in kinds)
    return verdict.Verdict(
        holds=all(kind.holds for kind in kinds),
        figure=f"{believed} of {sent} forged handshakes believed; all counted in {counted} of {len(kinds)} kinds",
        lines=tuple(kind.line() for kind in kinds),
    )
