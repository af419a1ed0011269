"""Results on disk: whole or not at all, and refused if they are not what they say. Leaves out what is in them."""

import errno
import pathlib

import msgspec
import pytest

from comparisons import results, scenarios, stats
from tests.unit.comparisons import made


def test_what_is_written_is_read_again(tmp_path: pathlib.Path) -> None:
    """Every field of every scenario."""
    told = made.scenario(scenarios.load()["ip-reuse-partitioned"].told, 3)
    results.write(tmp_path / "results.json", told)
    assert told == results.read(tmp_path / "results.json", results.Scenario)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"name": 7}', '{"version": 2}', '{"name": "x", "unknown": 1}'],
    ids=["empty", "cut off", "a list", "a wrong type", "another version", "an unknown field"],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: pathlib.Path, text: str) -> None:
    """The error names the file and has a hint."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(results.ResultsError, match=r"results\.json") as caught:
        results.read(tmp_path / "results.json", results.Scenario)
    assert caught.value.hint


def test_a_disk_that_is_full_leaves_what_was_there_and_nothing_else(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file stays whole; no draft stays beside it."""
    results.write_text(tmp_path / "report.md", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(results.ResultsError, match="No space left") as caught:
        results.write_text(tmp_path / "report.md", "new")
    assert caught.value.hint
    assert ["report.md"] == [path.name for path in tmp_path.iterdir()]
    assert "old" == (tmp_path / "report.md").read_text()


def test_one_run_in_which_somebody_was_let_in_makes_the_cell() -> None:
    """Nineteen right ones do not outweigh it."""
    entry = results.Entry(contender="ip", runs=(*(made.run(number) for number in range(19)), made.run(19, "lets_in")))
    told = stats.summary(entry)
    assert told is not None
    assert ("lets_in", 1, 20) == (told.outcome, told.affected, told.runs)


@pytest.mark.parametrize(
    ("runs", "against", "shown", "why"),
    [
        (20, None, True, ""),
        (19, None, False, "fewer than 20"),
        (20, "sidecar", False, "contradicted: sidecar: 1 of 20"),
    ],
)
def test_a_claim_needs_enough_runs_and_no_other(runs: int, against: str | None, *, shown: bool, why: str) -> None:
    """Each of the three ways in which it may stand."""
    told = made.scenario(scenarios.load()["ip-reuse"].told, runs)
    if against:
        entries = tuple(
            msgspec.structs.replace(it, runs=(made.run(0, "lets_in"), *it.runs[1:])) if it.contender == against else it
            for it in told.entries
        )
        told = msgspec.structs.replace(told, entries=entries)
    verdict = stats.verdict(told)
    assert shown == verdict.shown
    assert why in verdict.why


def test_a_contradiction_says_what_refused_callers_saw() -> None:
    """All runs together in which refusing was the fault, the most frequent first."""
    told = made.scenario(scenarios.load()["ip-reuse"].told, 20)
    faults = (
        made.run(0, "keeps_out", denied_as={"503": 1}),
        made.run(1, "keeps_out", denied_as={"TimeoutError": 1, "503": 1}),
        made.run(2, "lets_in", denied_as={"403": 9}),
    )
    entries = tuple(
        msgspec.structs.replace(it, runs=(*faults, made.run(3, denied_as={"403": 9}), *it.runs[4:]))
        if it.contender == "sidecar"
        else it
        for it in told.entries
    )
    why = stats.verdict(msgspec.structs.replace(told, entries=entries)).why
    assert "sidecar: 3 of 20 runs came out otherwise (refused: 2 x 503, 1 x TimeoutError)" in why


def test_what_nothing_decides_is_shown_by_one_run_and_by_none_contradicted() -> None:
    """No promise: whoever is let in once shows it. Kept out is another fault."""

    def judged(*outcomes: results.Outcome) -> stats.Verdict:
        runs = tuple(made.run(number, it) for number, it in enumerate(outcomes))
        told = msgspec.structs.replace(
            scenarios.load()["udp"].told,
            expect={"ip-lax": "may_let_in"},
            entries=(results.Entry(contender="ip-lax", runs=runs),),
        )
        return stats.verdict(told)

    right: tuple[results.Outcome, ...] = ("right",) * 19
    assert judged("lets_in", *right).shown
    assert "let nobody in in 20 runs" in judged("right", *right).why
    assert "1 of 21 runs came out otherwise" in judged("lets_in", "keeps_out", *right).why


def test_a_contender_that_was_not_run_shows_nothing() -> None:
    """A claim about five is not shown by four."""
    told = made.scenario(scenarios.load()["ip-reuse"].told, 20)
    told = msgspec.structs.replace(told, entries=told.entries[:-1])
    assert stats.Verdict(shown=False, why="not run: both") == stats.verdict(told)


def test_a_quantile_was_measured() -> None:
    """Nearest rank, never between two."""
    values = [float(it) for it in range(1, 21)]
    assert (10.0, 19.0, 20.0, 0.0) == (
        stats.quantile(values, 0.5),
        stats.quantile(values, 0.95),
        stats.quantile(values, 1),
        stats.quantile([], 0.5),
    )
