"""Every scenario's claim is shown by 20 runs or said not to be; the same seed gives the same attempts and verdicts.

Plays everything once with 20 runs of each, and again with 3: their plans must be those of the first three, and each
cell's outcome the same. Takes most of an hour; may be interrupted, and goes on where it was.
"""

from comparisons import report, scenarios, stats
from tests.prove import _whole, verdict

AGAIN = 3


def prove() -> verdict.Verdict:
    """Play twice."""
    first = _whole.play("first")
    second = _whole.play("second", "--no-cost", "--runs", str(AGAIN))
    page = _whole.page("first")
    told = {it.name: stats.verdict(it) for it in first.scenarios}
    shown = [name for name, it in told.items() if it.shown]
    said = [name for name, it in told.items() if not it.shown and f"Not shown: {it.why}" in page]
    differing = _differences(first, second)
    everything = set(told) == set(scenarios.load())
    return verdict.Verdict(
        holds=everything and len(shown) + len(said) == len(told) and not differing,
        figure=f"{len(shown)} of {len(told)} claims shown, {len(said)} said not to be; "
        f"{len(differing)} differences with the same seed",
        lines=(*(f"{name:22} {'shown' if it.shown else it.why}" for name, it in told.items()), *differing),
    )


def _differences(first: report.Found, second: report.Found) -> list[str]:
    """List where the same seed did not give the same. What nothing decides may come out either way in a few runs."""
    found = []
    others = {(it.name, entry.contender): entry for it in second.scenarios for entry in it.entries}
    for scenario in first.scenarios:
        for entry in scenario.entries:
            other = others[scenario.name, entry.contender]
            plans = [run.plan for run in entry.runs[:AGAIN]], [run.plan for run in other.runs]
            if plans[0] != plans[1]:
                found.append(f"{scenario.name}, {entry.contender}: other attempts")
            one, two = stats.summary(entry), stats.summary(other)
            free = scenario.expect.get(entry.contender) == "may_let_in"
            if one is not None and two is not None and one.outcome != two.outcome and not free:
                found.append(f"{scenario.name}, {entry.contender}: {one.outcome}, then {two.outcome}")
    return found
