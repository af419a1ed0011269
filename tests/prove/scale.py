"""A cluster larger than this machine, simulated: memory, processor and push times within the aims of ``make scale``.

Aims, and how each figure is measured, are in ``tests.scale``.
"""

import itertools

from tests.bench import figure
from tests.prove import verdict
from tests.scale import __main__ as scale


def prove() -> verdict.Verdict:
    """Measure every half."""
    found = itertools.chain.from_iterable(half() for half in scale.HALVES.values())
    tally = figure.printed(found, indent="  ")
    return verdict.Verdict(holds=tally.holds, figure=tally.said, lines=(f"the machine: {figure.machine()}",))
