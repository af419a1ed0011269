"""What came of each check: one line at once, a summary at the end, or JSON. Leaves out what is checked."""

import dataclasses
import enum
import json
from collections.abc import Iterable
from typing import Final

from ipseity import screen, table

_TITLE_WIDTH: Final = 68
_MARGIN: Final = "      "


class Outcome(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    FAIL = "FAIL"
    LEFT = "left"
    """Not made: what it stands on failed, or this account may not, or nobody asked for it."""


_COLOURS: Final = {
    Outcome.OK: table.Colour.GREEN,
    Outcome.FAIL: table.Colour.RED,
    Outcome.LEFT: table.Colour.YELLOW,
}


class Failed(Exception):  # noqa: N818  # it reads as what happened
    """What is checked does not hold. ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check."""

    key: str
    """``subject/name``."""
    says: str
    outcome: Outcome
    text: str = ""
    hint: str = ""
    took_s: float = 0.0


class Record:
    """Keeps results and tells each."""

    def __init__(self, page: screen.Page) -> None:
        self._page = page
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        """Keep and tell one."""
        self.results.append(result)
        self._page.print(self._lines(result))

    def say(self, text: str) -> None:
        """Tell what is being done."""
        self._page.print([text])

    def passed(self, *keys: str) -> bool:
        """Tell whether all of these checks held."""
        held = {each.key for each in self.results if each.outcome is Outcome.OK}
        return held.issuperset(keys)

    def count(self, outcome: Outcome) -> int:
        """Count results."""
        return sum(each.outcome is outcome for each in self.results)

    def _lines(self, result: Result) -> Iterable[str]:
        outcome = result.outcome.ljust(4)
        if self._page.colour:
            outcome = table.paint(outcome, _COLOURS[result.outcome])
        title = f"{result.key.partition('/')[0]:12}{result.says}"
        if result.outcome is Outcome.OK:
            yield f"{outcome}  {title.ljust(_TITLE_WIDTH)}  {result.took_s:5.1f} s  {result.text}".rstrip()
            return
        yield f"{outcome}  {title}"
        for word, text in (("why", result.text), ("do", result.hint)):
            for number, line in enumerate(text.splitlines()):
                yield f"{_MARGIN}{word if not number else '':4} {line}"

    def summary(self, took_s: float) -> list[str]:
        """Say it in the end, what failed by name."""
        failed = [each for each in self.results if each.outcome is Outcome.FAIL]
        left = self.count(Outcome.LEFT)
        counted = f"{self.count(Outcome.OK)} of {len(self.results)} checks hold"
        more = f", {left} not made" if left else ""
        lines = ["", f"{counted}{more}, {took_s:.0f} s"]
        return lines + [f"failed: {each.key}: {each.says}" for each in failed]

    def document(self, **more: object) -> str:
        """Write everything for programs."""
        found = [{**dataclasses.asdict(each), "took_s": round(each.took_s, 3)} for each in self.results]
        return json.dumps({**more, "holds": self.holds(), "checks": found}, indent=2)

    def holds(self) -> bool:
        """Tell whether something was checked and nothing failed."""
        return bool(self.count(Outcome.OK)) and not self.count(Outcome.FAIL)
