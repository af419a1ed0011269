"""Watching costs next to nothing: rates, kernel time, memory, processor time, time to the first flow, all in limits.

Limits, and how each figure is measured, are in ``tests.bench.figures``. On a busy machine, rates are noise.
"""

import os

from tests.bench import figures, stage
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Measure every figure."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    found = []
    with stage.ready() as where:
        for figure in figures.all_figures(where):
            print(f"  {figure.row()}", flush=True)
            found.append(figure)
    kept = [figure for figure in found if figure.holds]
    return verdict.Verdict(
        holds=len(kept) == len(found),
        figure=f"{len(kept)} of {len(found)} figures within their limits",
        lines=(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",),
    )
