"""The report out of results alone. Leaves out how a browser shows it: ``tests/functional/comparisons``."""

import html.parser
import pathlib
import re

import msgspec
import pytest

from comparisons import picture, report, results, scenarios, stats, styles
from tests.unit.comparisons import made

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Reads a page as a strict reader would."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in said:
            self.ids.append(str(said["id"]))
        if tag == "a":
            self.links.append(str(said["href"]))
        self.fetched += [str(said[key]) for key in ("src", "srcset", "data") if said.get(key)]
        if tag == "link":
            self.fetched.append(str(said["href"]))
        self.charts += "data-chart" in said

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    """Make it."""
    folder = tmp_path_factory.mktemp("comparison")
    made.write(folder)
    report.write(folder)
    text = (folder / "report.html").read_text()
    read = Page()
    read.feed(text)
    return text, read


def test_tags_close_and_names_are_unique(page: tuple[str, Page]) -> None:
    """Whatever reads it aloud finds its way."""
    _, read = page
    assert [] == read.open
    assert len(read.ids) == len(set(read.ids))


def test_links_within_the_page_lead_somewhere(page: tuple[str, Page]) -> None:
    """Each of them."""
    _, read = page
    assert [] == [link for link in read.links if link.startswith("#") and link[1:] not in read.ids]


def test_nothing_is_fetched(page: tuple[str, Page]) -> None:
    """No script, no style sheet, no picture, no font from anywhere."""
    text, read = page
    assert ["data:,"] == read.fetched
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_every_scenario_has_its_row_its_picture_and_its_command(page: tuple[str, Page]) -> None:
    """And the cost its charts."""
    text, read = page
    assert len(scenarios.load()) + 8 == read.charts
    for name in scenarios.load():
        assert f'id="{name}"' in text
        assert f"ipseity compare --only {name} --runs 20 --seed 7" in text


def test_measured_and_cited_are_never_in_one_table(page: tuple[str, Page]) -> None:
    """What others say has a source and a date, and is nowhere near a number of ours."""
    text, _ = page
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    cited = [it for it in tables if "<b>Cited</b>" in it]
    measured = [it for it in tables if "<b>Measured</b>" in it]
    assert (1, 1) == (len(cited), len(measured))
    assert all(it.source in cited[0] and it.date in cited[0] for it in styles.CITED)
    assert not any(it.source in measured[0] for it in styles.CITED)
    assert "Ipseity" not in cited[0]


def test_what_is_in_results_is_not_markup(page: tuple[str, Page]) -> None:
    """It is escaped."""
    text, _ = page
    assert "a &lt;new&gt; owner" in text
    assert "a <new> owner" not in text


def test_the_same_results_give_the_same_page(tmp_path: pathlib.Path) -> None:
    """Byte for byte."""
    made.write(tmp_path)
    report.write(tmp_path)
    first = [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")]
    report.write(tmp_path)
    assert first == [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")]


def test_too_few_runs_show_nothing_and_the_page_says_so(tmp_path: pathlib.Path) -> None:
    """The verdicts stand, the claims do not."""
    made.write(tmp_path, runs=2)
    report.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert f"0 of {len(scenarios.load())} claims are shown" in text
    assert ">shown</span>" not in text


def test_one_contender_and_no_cost_is_a_report_too(tmp_path: pathlib.Path) -> None:
    """What was not run is said to be so."""
    told = scenarios.load()["udp"].told
    entry = results.Entry(contender="nothing", runs=(made.run(0, "lets_in"),), picture=made.picture())
    environment = msgspec.structs.replace(made.environment(1), contenders=made.environment(1).contenders[:1])
    results.write(tmp_path / "results/udp/env.json", environment)
    results.write(tmp_path / "results/udp/results.json", msgspec.structs.replace(told, entries=(entry,)))
    report.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "not run: ip, node, sidecar, both" in text
    assert "Cost was not measured in this run." in text


def test_without_results_there_is_no_report(tmp_path: pathlib.Path) -> None:
    """A message with a hint, and no file."""
    with pytest.raises(results.ResultsError, match="no results") as caught:
        report.write(tmp_path)
    assert caught.value.hint
    assert [] == list(tmp_path.iterdir())


def test_the_first_screen_answers_from_what_was_measured(tmp_path: pathlib.Path) -> None:
    """Each list has exactly the scenarios that came out so."""
    made.write(tmp_path)
    told = report.context(report.load(tmp_path))
    answers = told["answers"]
    assert isinstance(answers, dict)
    named = {key: {it.scenario.name for it in answers[key]} for key in ("not_enough", "late", "loses", "neither")}
    assert {
        "not_enough": {"ip-reuse-partitioned", "mutable-label", "on-the-wire", "snat-ip-block"},
        "late": {"snat"},
        "loses": {
            "stolen-credential",
            "udp",
            "skip-port",
            "shared-account",
            "permissive",
            "spoof",
            "uid-escape",
            "webhook-down",
        },
        "neither": {"node-compromise", "same-port", "host-network", "external", "plaintext-fall-back"},
    } == named
    assert 4.0 == pytest.approx(answers["cost"]["sidecar"].p50_ms)


def test_a_right_cell_says_what_was_tolerated() -> None:
    """The longest window or refusal of all runs; nothing where there was none."""

    def said(**run: float) -> tuple[str, str]:
        entry = results.Entry(
            contender="ip", runs=(made.run(0, window_ms=0.0), made.run(0, **{"window_ms": 0.0, **run}))
        )
        cell = report.cell(stats.summary(entry))
        return cell.word, cell.number

    assert ("right", "") == said()
    assert ("right, within", "34 ms") == said(lag_ms=34.0)
    assert ("right, within", "1.2 s") == said(window_ms=1200.0, lag_ms=34.0)


def test_a_picture_stays_in_its_frame() -> None:
    """Whatever times a run had."""
    told = made.scenario(scenarios.load()["ip-reuse-partitioned"].told, 1)
    drawn = picture.timeline(told, {})
    assert drawn is not None
    for band in drawn.bands:
        bars = [bar for strip in band.strips for bar in strip.bars]
        assert all(picture.LEFT <= bar.x <= bar.x + bar.width <= picture.WIDTH for bar in bars)
        assert all(picture.LEFT <= tick.x <= picture.WIDTH for tick in band.ticks)
        assert band.packets_y + picture.PACKETS < drawn.height
        assert "40 passed" in band.verdict
