"""`ipseity compare --quick` in a fresh clone: at least 6 scenarios and the report, in at most 6 minutes.

Setting the clone up comes first and is not counted. Exit status 0 of the command itself is not enough: the report must
be there, and every cell of it must have been played.
"""

import os

from comparisons import report, results
from tests.prove import verdict
from tests.scene import clone

LIMIT_S = 360
SCENARIOS = 6


def prove() -> verdict.Verdict:
    """Run it as a newcomer would."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("a comparison needs root", hint="run it with sudo")
    with clone.fresh() as mine:
        ready = mine.make(".venv/.ready")
        if ready.status != 0:
            raise verdict.CannotMeasure(f"the clone cannot be set up: {ready.last_line}")
        done = mine.make("compare")
        folder = mine.folder / "comparison"
        written = [name for name in ("report.html", "report.md") if (folder / name).is_file()]
        found = report.load(folder) if written else None
    played = [it for it in found.scenarios if _complete(it, found.environment)] if found else []
    return verdict.Verdict(
        holds=done.status == 0 and len(written) == 2 and len(played) >= SCENARIOS and done.took_s <= LIMIT_S,
        figure=f"{len(played)} scenarios in {done.took_s:.0f} s of {LIMIT_S}; {len(written)} of 2 reports",
        lines=(
            f"uncommitted here, so not in the clone: {len(clone.uncommitted())} paths",
            *done.output.splitlines()[-9:],
        ),
    )


def _complete(scenario: results.Scenario, environment: results.Environment) -> bool:
    """Tell whether everybody who was to take part did, in every run."""
    asked = [it.name for it in environment.contenders if it.name in scenario.expect]
    runs = {entry.contender: len(entry.runs) for entry in scenario.entries}
    return all(runs.get(name) == environment.runs for name in asked)
