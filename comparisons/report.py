"""``report.md`` and ``report.html`` out of ``results/``, and of nothing else: no lab, nor the machine it ran on.

Here because results outlive the run: somebody else makes the page again from the same files and gets the same. The
page is one file that asks nobody for anything. Leaves out geometry (``picture``), numbers (``stats``) and looks
(``page/``).
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Final

import jinja2
import yaml

from comparisons import picture, results, stats, styles
from comparisons.observed import told

RESULTS: Final = "results"
COST: Final = "cost"
OBSERVED: Final = "observed"
WORDS: Final[Mapping[results.Outcome, str]] = {
    "right": "right",
    "lets_in": "let in",
    "keeps_out": "kept out",
}
MARKS: Final[Mapping[results.Outcome, str]] = {"right": "\u2713", "lets_in": "\u2717", "keeps_out": "!"}
REASONS: Final = {
    "ip_reused": "address reused",
    "stale_cache": "API out of reach",
    "terminal_pod_kept_ip": "ended pod kept it",
    "host_network": "hostNetwork",
    "snat": "source translated",
    "node_ip": "behind a node's port",
    "sidecar": "own sidecar answered",
    "clusterip": "behind a Service",
    "unknown_cgroup": "pod not in the API",
    "late_event": "API told late",
    "undetermined": "undetermined",
}
COLUMNS: Final = {
    "address": "Where the address is what may mislead",
    "both": "Where neither helps",
    "identity": "Where identity loses",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found."""

    environment: results.Environment
    scenarios: Sequence[results.Scenario]
    costs: results.Costs
    observed: told.Observed | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the verdict table."""

    kind: str
    mark: str
    word: str
    number: str
    runs: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scenario of the verdict table, and what is said of it below."""

    scenario: results.Scenario
    cells: Mapping[str, Cell]
    summaries: Mapping[str, stats.Summary]
    verdict: stats.Verdict
    picture: picture.Picture | None
    command: str


def load(folder: pathlib.Path) -> Found:
    """Read all results below a folder."""
    paths = sorted((folder / RESULTS).glob("*/results.json"))
    cost = folder / RESULTS / COST / "results.json"
    found = [results.read(path, results.Scenario) for path in paths if path.parent.name not in {COST, OBSERVED}]
    observed = observation(folder)
    if not found:
        raise results.ResultsError(f"no results in {folder / RESULTS}", hint="ipseity compare writes them")
    environment = results.read(folder / RESULTS / found[0].name / "env.json", results.Environment)
    return Found(
        environment=environment,
        scenarios=sorted(found, key=lambda it: list(COLUMNS).index(it.column)),
        costs=results.read(cost, results.Costs) if cost.exists() else results.Costs(),
        observed=observed,
    )


def observation(folder: pathlib.Path) -> told.Observed | None:
    """Read what was observed in a cluster, if anything was."""
    path = folder / RESULTS / OBSERVED / "results.json"
    return results.read(path, told.Observed) if path.exists() else None


def write(folder: pathlib.Path) -> None:
    """Make both reports of what is in a folder: of what was played, of what was observed, or of both."""
    observed = observation(folder)
    if observed is not None:
        for kind in ("identity", "network"):
            results.write_text(folder / "suggested" / f"{kind}.yaml", policies(observed, kind))
    if observed is not None and not played(folder):
        about, page = seen(observed), "observed"
    else:
        about, page = context(load(folder)), "report"
    for ending in ("md", "html"):
        results.write_text(folder / f"report.{ending}", render(f"{page}.{ending}", about))


def played(folder: pathlib.Path) -> bool:
    """Tell whether there is anything but what was observed."""
    return any(path.parent.name != OBSERVED for path in (folder / RESULTS).glob("*/results.json"))


def policies(observed: told.Observed, kind: str) -> str:
    """Write the suggested policies of one kind as one file."""
    found = [getattr(it, kind) for it in observed.suggestions]
    return "---\n".join(written(it) for it in found if it is not None)


def written(document: Mapping[str, object]) -> str:
    """Write an object as YAML, in the order in which it was made."""
    return yaml.safe_dump(dict(document), sort_keys=False, width=120, allow_unicode=True)


def render(name: str, about: Mapping[str, object]) -> str:
    """Fill in a template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("comparisons", "page"),
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = milliseconds
    environment.filters["yaml"] = written
    environment.filters["g"] = lambda value: f"{value:g}" if isinstance(value, float) else str(value)
    return environment.get_template(f"{name}.j2").render(about)


def context(found: Found) -> dict[str, object]:
    """Say everything that a template may show."""
    contenders = found.environment.contenders
    titles = {it.name: it.title for it in contenders}
    rows = [row(scenario, titles, found.environment) for scenario in found.scenarios]
    return {
        **seen(found.observed),
        "environment": found.environment,
        "contenders": contenders,
        "titles": titles,
        "groups": [(title, [it for it in rows if it.scenario.column == key]) for key, title in COLUMNS.items()],
        "rows": rows,
        "answers": answers(rows, found.costs),
        "leading": next((it for it in rows if it.scenario.name == "ip-reuse-partitioned" and it.picture), None),
        "charts": charts(found.costs, titles),
        "costs": found.costs,
        "styles": styles.table(found.costs),
        "cited": styles.CITED,
        "shown": sum(it.verdict.shown for it in rows),
        "enough": results.ENOUGH_RUNS,
        "marks": MARKS,
        "words": WORDS,
        "picture_size": {
            "width": picture.WIDTH,
            "left": picture.LEFT,
            "strip": picture.STRIP,
            "packets": picture.PACKETS,
        },
    }


def seen(observed: told.Observed | None) -> dict[str, object]:
    """Say what the observational half may show."""
    outcomes = [] if observed is None else [it.outcome for it in observed.misjudged]
    return {
        "observed": observed,
        "tally": {
            "lets_in": outcomes.count("lets_in"),
            "keeps_out": outcomes.count("keeps_out"),
            "reuse": 0 if observed is None else sum(it.reason == "address_reuse" for it in observed.refused),
        },
        "reasons": REASONS,
        "marks": MARKS,
    }


def row(scenario: results.Scenario, titles: Mapping[str, str], environment: results.Environment) -> Row:
    """Sum a scenario up."""
    summaries = {entry.contender: told for entry in scenario.entries if (told := stats.summary(entry)) is not None}
    return Row(
        scenario=scenario,
        cells={name: cell(summaries.get(name)) for name in titles},
        summaries=summaries,
        verdict=stats.verdict(scenario),
        picture=picture.timeline(scenario, titles),
        command=f"ipseity compare --only {scenario.name} --runs {environment.runs} --seed {environment.seed}",
    )


def cell(told: stats.Summary | None) -> Cell:
    """Say one cell."""
    if told is None:
        return Cell(kind="missing", mark="\u2013", word="not run", number="", runs="")
    number = ""
    took_ms = max(told.window.max_ms, told.lag.max_ms)
    if told.outcome == "right":  # what was tolerated is said, and the longest of it
        number = milliseconds(took_ms) if took_ms > 0 else ""
    elif told.outcome == "lets_in":
        bound = "\u2265 " if told.window.open else ""
        number = f"{bound}{milliseconds(told.window.median_ms)}"
    else:
        number = milliseconds(told.lag.median_ms)
    affected = f"{told.affected} of {told.runs}" if told.affected != told.runs else f"{told.runs}"
    word = WORDS[told.outcome]
    return Cell(
        kind=told.outcome,
        mark=MARKS[told.outcome],
        word=f"{word}, within" if told.outcome == "right" and number else word,
        number=number,
        runs=f"{affected} {'run' if affected == '1' else 'runs'}",
    )


def milliseconds(value: float) -> str:
    """Say a duration as people do."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 or value == 0 else f"{value:.1f} ms"


def answers(rows: Sequence[Row], costs: results.Costs) -> dict[str, object]:
    """Answer the three questions of the first screen from what was measured."""

    def outcome(it: Row, name: str) -> str:
        return it.cells[name].kind if name in it.cells else "missing"

    def titles(*, ip: str, sidecar: str) -> list[Row]:
        return [it for it in rows if outcome(it, "ip") == ip and outcome(it, "sidecar") == sidecar]

    return {
        "enough": titles(ip="right", sidecar="right"),
        "not_enough": titles(ip="lets_in", sidecar="right"),
        "late": [it for it in rows if outcome(it, "ip") == "keeps_out" and outcome(it, "sidecar") == "right"],
        "loses": titles(ip="right", sidecar="lets_in"),
        "neither": titles(ip="lets_in", sidecar="lets_in"),
        "cost": price(costs),
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one contender adds to nothing at all, with the most callers that were measured."""

    contender: str
    pods: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_s: float
    memory_mb: float


def price(costs: results.Costs) -> dict[str, Price]:
    """Take the baseline off."""
    pods = max((it.pods for it in costs.usages), default=0)
    most = {it.contender: it for it in costs.usages if it.pods == pods}
    base = most.get("nothing")
    if base is None:
        return {}
    return {
        name: Price(
            contender=name,
            pods=it.pods,
            rate=it.rate,
            p50_ms=it.p50_ms - base.p50_ms,
            p99_ms=it.p99_ms - base.p99_ms,
            cpu_ms_per_s=sum(it.cpu_ms_per_s.values()) - sum(base.cpu_ms_per_s.values()),
            memory_mb=sum(it.memory_mb.values()) - sum(base.memory_mb.values()),
        )
        for name, it in most.items()
        if name != "nothing"
    }


def charts(costs: results.Costs, titles: Mapping[str, str]) -> list[picture.Chart]:
    """Draw the cost."""
    found = []
    for pods in sorted({it.pods for it in costs.usages}):
        here = [it for it in costs.usages if it.pods == pods]
        load = f"{here[0].rate:g} requests/s from {pods} {'pod' if pods == 1 else 'pods'}"
        for title, unit, pieces in (
            ("Latency, median", "ms", lambda it: [("latency", it.p50_ms)]),
            ("Latency, 99th percentile", "ms", lambda it: [("latency", it.p99_ms)]),
            ("CPU by part", "ms/s", lambda it: sorted(it.cpu_ms_per_s.items())),
            ("Memory by part", "MB", lambda it: sorted(it.memory_mb.items())),
        ):
            bars = [(titles.get(it.contender, it.contender), pieces(it)) for it in here]
            found.append(picture.chart(f"{title}, {load}", bars, unit))
    return found
