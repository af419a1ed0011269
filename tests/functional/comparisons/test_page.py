"""A real browser opens the report: no complaint, every picture drawn, nothing fetched. Leaves out whether it is so."""

import pathlib

import pytest

from comparisons import report, results, scenarios
from tests.golden.comparisons import test_observed as observed_case
from tests.scene import browser
from tests.unit.comparisons import made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Make a report with everything in it."""
    folder = tmp_path_factory.mktemp("comparison")
    made.write(folder)
    report.write(folder)
    return folder / "report.html"


def test_the_console_stays_empty_and_every_chart_is_drawn(page: pathlib.Path) -> None:
    """Each has a size, marks in it, and words for whoever does not see it; nothing is asked of anybody."""
    seen = browser.look(page)
    assert [] == seen.complaints
    assert [] == seen.asked
    assert len(scenarios.load()) + 8 == len(seen.charts)
    for chart in seen.charts:
        assert chart["width"] > 300, chart
        assert chart["height"] > 40, chart
        assert chart["marks"], chart
        assert chart["told"], chart


def test_a_phone_needs_no_sideways_scrolling(page: pathlib.Path) -> None:
    """The page fits; what is wide scrolls within itself, by keyboard too."""
    seen = browser.look(page, width=500)  # the narrowest window that this browser makes
    assert 0 >= seen.overflow
    assert seen.focusable
    assert all(seen.focusable)


def test_so_does_what_was_observed_in_a_cluster(tmp_path: pathlib.Path) -> None:
    """The other half of the page, for itself."""
    found = observed_case.observed("reuse")
    results.write(tmp_path / report.RESULTS / report.OBSERVED / "results.json", found)
    report.write(tmp_path)
    seen = browser.look(tmp_path / "report.html", width=500)
    assert ([], []) == (seen.complaints, seen.asked)
    assert 0 >= seen.overflow
    assert seen.focusable
    assert all(seen.focusable)


def test_a_browser_does_complain_of_a_page_that_is_broken(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Otherwise the test above could not fail."""
    broken = tmp_path / "broken.html"
    added = '<script>console.error("seven")</script><img src="http://127.0.0.1:1/drawing.svg"></body>'
    text = page.read_text().replace("</body>", added)
    broken.write_text(text)
    seen = browser.look(broken)
    assert any("seven" in line for line in seen.complaints)
    assert any("drawing.svg" in it for it in seen.asked)


def test_it_prints(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """To a PDF that is no empty page."""
    assert 20_000 < browser.printed(page, tmp_path / "report.pdf")
