"""The mesh costs what it must: latency of hand-written sidecars, memory, reviews, certificates, changes, all in limits.

Requests come at a fixed rate and count from when they were due. Limits, and how each figure is measured, are in
``tests.bench.mesh_latency`` and ``tests.bench.mesh_control``.
"""

import os

from tests.bench import figure, mesh
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Measure every figure."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("pods cannot be run without root", hint="run it with sudo")
    tally = figure.printed(mesh.all_figures(), indent="  ")
    return verdict.Verdict(holds=tally.holds, figure=tally.said, lines=(f"the machine: {figure.machine()}",))
