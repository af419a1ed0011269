"""Results as a comparison would have found them, for tests of what is made of results."""

import pathlib
from typing import Any

from comparisons import results, scenarios, styles

CONTENDERS = ("nothing", "agent", "ip-lax", "ip", "sidecar", "node", "both")


def run(number: int = 0, outcome: results.Outcome = "right", **said: Any) -> results.Run:
    """Make a run."""
    wrong = 7 if outcome == "lets_in" else 0
    given = {
        "plan": {"every_ms": 9}, "attempts": 100, "entitled": 50, "passed": 50 + wrong, "false_allows": wrong,
        "false_denies": 3 if outcome == "keeps_out" else 0, "window_ms": 100.0 * wrong + number, "closed": True,
        "lag_ms": 0.0, **said,
    }  # fmt: skip
    return results.Run(number=number, outcome=outcome, **given)


def picture() -> results.Timeline:
    """Make a picture with all that one may have."""
    return results.Timeline(
        run=0,
        spans=(
            results.Span(lane="owner", text="client-0", from_ms=-500, to_ms=-100),
            results.Span(lane="owner", text="intruder-0", from_ms=0, to_ms=900),
            results.Span(lane="belief", text="client-0", from_ms=-500, to_ms=400),
            results.Span(lane="link", text="cut off", from_ms=-200, to_ms=400),
        ),
        marks=(results.Mark(at_ms=0, text="a <new> owner"),),
        packets=tuple(
            results.Packet(at_ms=10.0 * at, who="intruder-0", entitled=False, passed=at < 40) for at in range(90)
        ),
    )


def outcome(told: results.Scenario, name: str) -> results.Outcome:
    """Give what a run must come out as."""
    expected = told.expect[name]
    return "lets_in" if expected == "may_let_in" else expected


def scenario(told: results.Scenario, runs: int) -> results.Scenario:
    """Make a scenario in which every claim holds."""
    entries = tuple(
        results.Entry(
            contender=name, runs=tuple(run(number, outcome(told, name)) for number in range(runs)), picture=picture()
        )
        for name in CONTENDERS
        if name in told.expect
    )
    return results.Scenario(**{**{name: getattr(told, name) for name in told.__struct_fields__}, "entries": entries})


def environment(runs: int) -> results.Environment:
    """Make an environment."""
    return results.Environment(
        seed=7, runs=runs, started="2026-01-02T03:04:05+00:00", took_s=61.0, cpu_s=50.0, busy_s=170.0, lanes=6,
        kernel="6.1.0", machine="x86_64", cores=2,
        versions={"envoy": "1.40.0"}, command="ipseity compare",
        contenders=tuple(results.Contender(name=name, title=name.title(), what="what it is") for name in CONTENDERS),
    )  # fmt: skip


def costs() -> results.Costs:
    """Make costs."""
    return results.Costs(
        usages=tuple(
            results.Usage(
                contender=name, pods=pods, rate=200.0, answered=200.0, failed=0, p50_ms=0.3 + at, p99_ms=2.0 + at,
                cpu_ms_per_s={"application": 20.0, "proxy": 10.0 * at}, memory_mb={"application": 30.0},
            )
            for pods in (1, 10)
            for at, name in enumerate(CONTENDERS)
        )
    )  # fmt: skip


def write(folder: pathlib.Path, runs: int = 20) -> None:
    """Write everything as a finished comparison leaves it."""
    for name, it in scenarios.load().items():
        results.write(folder / "results" / name / "env.json", environment(runs))
        results.write(folder / "results" / name / "results.json", scenario(it.told, runs))
    results.write(folder / "results/cost/results.json", costs())


CITED = styles.CITED
