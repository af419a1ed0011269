"""`ipseity compare` with all scenarios, contenders and costs, 20 runs of each, in at most 40 minutes, unattended.

Interruptions count with what was played before them. The processor time says how much of that the machine was busy with
it: on one that has other work, the rest is waiting.
"""

from comparisons import results, scenarios
from tests.prove import _whole, verdict

LIMIT_S = 40 * 60


def prove() -> verdict.Verdict:
    """Play everything, or take what was played for ``claims``."""
    found = _whole.play("first")
    told = found.environment
    fewest = min(len(entry.runs) for it in found.scenarios for entry in it.entries if entry.contender in it.expect)
    loads = sorted({it.pods for it in found.costs.usages})
    whole = len(found.scenarios) == len(scenarios.load()) and fewest >= results.ENOUGH_RUNS and loads == [1, 10, 50]
    return verdict.Verdict(
        holds=whole and told.took_s <= LIMIT_S,
        figure=f"{len(found.scenarios)} scenarios, {fewest} runs of each or more, cost with {loads} pods, in "
        f"{told.took_s / 60:.0f} of {LIMIT_S / 60:.0f} min ({told.cpu_s / 60:.0f} min of processor time)",
        lines=(
            f"{told.cores} cores, up to {told.lanes} runs side by side",
            f"the machine was busy for {told.busy_s / 60:.0f} min of processor time meanwhile",
        ),
    )
