"""The report in a real browser: no complaint, nothing fetched, every chart drawn; it fits a phone, and answers first.

The page is made of results with every scenario and contender in them. Whether a reader understands it cold no program
can say; that the first screen has the four answers in it, one can.
"""

import pathlib
import tempfile

from comparisons import report
from tests.prove import verdict
from tests.scene import browser
from tests.unit.comparisons import made

QUESTIONS = ("When is IP policy enough?", "When is it not?", "Where does identity lose?", "What does identity cost?")


def prove() -> verdict.Verdict:
    """Make it, and look at it in three ways."""
    with tempfile.TemporaryDirectory(prefix="ipseity-page-") as name:
        folder = pathlib.Path(name)
        made.write(folder)
        report.write(folder)
        page = folder / "report.html"
        desk, dark, phone = browser.look(page), browser.look(page, dark=True), browser.look(page, width=500)
        paper = browser.printed(page, folder / "report.pdf")
        head = page.read_text().partition('<main id="main">')[0]
    drawn = sum(bool(chart["marks"]) and bool(chart["told"]) for chart in desk.charts)
    complaints = [*desk.complaints, *dark.complaints, *phone.complaints, *desk.asked, *phone.asked]
    answered = sum(question in head for question in QUESTIONS)
    holds = (
        not complaints
        and drawn == len(desk.charts) > 0
        and phone.overflow <= 0
        and all(desk.focusable)
        and answered == len(QUESTIONS)
        and paper > 0
    )
    return verdict.Verdict(
        holds=holds,
        figure=f"{drawn} of {len(desk.charts)} charts drawn, {len(complaints)} complaints or requests, "
        f"{answered} of {len(QUESTIONS)} questions answered before the first table",
        lines=(
            f"wider than a phone's window: {max(0, phone.overflow):.0f} px",
            f"parts that scroll and can be reached by keyboard: {sum(desk.focusable)} of {len(desk.focusable)}",
            f"printed: {paper} bytes of PDF",
            *complaints,
        ),
    )
