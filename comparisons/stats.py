"""Numbers out of runs. Pure; here so that report and command line say the same."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence

from comparisons import results


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long a contender was wrong, over its runs."""

    median_ms: float
    p95_ms: float
    max_ms: float
    open: int
    """Runs in which it was still wrong when the run ended: the numbers are then lower bounds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One cell of the table."""

    runs: int
    outcome: results.Outcome
    affected: int
    """Runs with that outcome."""
    false_allows: int
    false_denies: int
    attempts: int
    window: Windows
    lag: Windows
    named_right: int
    named_wrong: int
    unnamed: int


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank: always a value that was measured."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def windows(values: Sequence[float], still_open: int) -> Windows:
    """Sum durations up."""
    return Windows(
        median_ms=quantile(values, 0.5), p95_ms=quantile(values, 0.95), max_ms=max(values, default=0.0), open=still_open
    )


def summary(entry: results.Entry) -> Summary | None:
    """Sum an entry up; None if it has no runs. One run in which somebody was let in makes the cell."""
    if not entry.runs:
        return None
    outcomes = collections.Counter(run.outcome for run in entry.runs)
    worst: results.Outcome = "right"
    for outcome in ("keeps_out", "lets_in"):
        if outcomes[outcome]:
            worst = outcome
    return Summary(
        runs=len(entry.runs),
        outcome=worst,
        affected=outcomes[worst],
        false_allows=sum(run.false_allows for run in entry.runs),
        false_denies=sum(run.false_denies for run in entry.runs),
        attempts=sum(run.attempts for run in entry.runs),
        window=windows([run.window_ms for run in entry.runs], sum(not run.closed for run in entry.runs)),
        lag=windows([run.lag_ms for run in entry.runs], 0),
        named_right=sum(run.named_right for run in entry.runs),
        named_wrong=sum(run.named_wrong for run in entry.runs),
        unnamed=sum(run.unnamed for run in entry.runs),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a claim."""

    shown: bool
    why: str
    """Empty if it was shown."""


def _as_expected(outcome: results.Outcome, expected: results.Expected) -> bool:
    return outcome in {"right", "lets_in"} if expected == "may_let_in" else outcome == expected


def _seen(runs: Iterable[results.Run]) -> str:
    """Tell what refused callers saw, where refusing them is the fault: it says where to look."""
    counted = (collections.Counter(run.denied_as) for run in runs if run.outcome == "keeps_out")
    seen = sum(counted, collections.Counter[str]())
    return f" (refused: {', '.join(f'{count} x {what}' for what, count in seen.most_common())})" if seen else ""


def verdict(scenario: results.Scenario) -> Verdict:
    """Hold the claim against the runs: every run of every contender that it speaks of, and enough of them."""
    entries = {entry.contender: entry for entry in scenario.entries}
    short, missing, against = [], [], []
    for contender, expected in scenario.expect.items():
        runs = entries[contender].runs if contender in entries else ()
        other = [run for run in runs if not _as_expected(run.outcome, expected)]
        if not runs:
            missing.append(contender)
        elif other:
            against.append(f"{contender}: {len(other)} of {len(runs)} runs came out otherwise{_seen(other)}")
        elif expected == "may_let_in" and not any(run.outcome == "lets_in" for run in runs):
            against.append(f"{contender}: it let nobody in in {len(runs)} runs")
        elif len(runs) < results.ENOUGH_RUNS:
            short.append(f"{contender}: {len(runs)}")
    if against:
        return Verdict(shown=False, why="contradicted: " + "; ".join(against))
    if missing:
        return Verdict(shown=False, why="not run: " + ", ".join(missing))
    if short:
        return Verdict(shown=False, why=f"fewer than {results.ENOUGH_RUNS} runs (" + ", ".join(short) + ")")
    return Verdict(shown=True, why="")
