"""Watching costs next to nothing: rates, kernel time, memory, processor time, time to the first flow, all in limits.

Limits, and how each figure is measured, are in ``tests.bench.figures``. On a busy machine, rates are noise.
"""

import os

from tests.bench import contenders, figure, figures, stage, turns
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Measure every figure."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    with stage.ready() as where:
        tally = figure.printed(figures.all_figures(where), indent="  ")
        lines = tuple(turns.notes(where, contenders.nobody, contenders.hooks, contenders.ipseity))
    return verdict.Verdict(holds=tally.holds, figure=tally.said, lines=(*lines, f"the machine: {figure.machine()}"))
