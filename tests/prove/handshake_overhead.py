"""Identities in handshakes cost little: 0.96 of the connections without the agent, and nothing after a handshake.

Also printed: what the agent without them keeps, what programs that do nothing keep, callbacks and kernel time a
connection. On a busy machine, rates are noise.
"""

import os

from tests.bench import figure, handshake, stage
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Measure every figure."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    with stage.ready() as where:
        lines = tuple(handshake.notes(where))
        tally = figure.printed(handshake.all_figures(where), indent="  ")
    return verdict.Verdict(holds=tally.holds, figure=tally.said, lines=(*lines, f"the machine: {figure.machine()}"))
