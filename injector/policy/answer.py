"""Explanations as lines for people and as JSON for programs.

Here because pods of one workload mostly have one answer, and then it is said once. Leaves out what is answered
(``explain``) and where it goes (``commands``).
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

from injector.policy import explain
from ipseity import table

_COLOURS: Final = {
    explain.Outcome.ALLOWED: table.Colour.GREEN,
    explain.Outcome.AUDITED: table.Colour.YELLOW,
    explain.Outcome.DENIED: table.Colour.RED,
}
_WORD: Final = 9
"""Width of the verdict, and so of the indent below it."""


def lines(found: Sequence[explain.Explanation], *, width: int, colour: bool) -> list[str]:
    """Lay out answers, those that differ only in which pod of a workload is meant once."""
    shown: list[str] = []
    for first, count in _alike(found):
        rule = f", rule {first.rule}" if first.rule else ""
        policy = f"   (AuthorizationPolicy {first.policy}{rule})" if first.policy else ""
        word = table.paint(
            first.outcome.upper().ljust(_WORD - 1), _COLOURS[first.outcome] if colour else table.Colour.NONE
        )
        shown.append(f"{word} {table.printable(first.because)}{policy}")
        notes = [f"{first.source} -> {first.target}, port {first.port}"]
        if count > 1:
            notes[0] += f", and {count - 1} more alike"
        notes += first.evidence
        if first.fix:
            notes.append(f"to allow: {first.fix}")
        for note in notes:
            shown += textwrap.wrap(
                table.printable(note),
                max(width, 40),
                initial_indent=" " * _WORD,
                subsequent_indent=" " * (_WORD + 2),
                break_on_hyphens=False,
                break_long_words=False,
            )
    return shown


def document(found: Iterable[explain.Explanation], warnings: Iterable[str]) -> dict[str, Any]:
    """Give everything, each pod for itself."""
    return {"answers": [_row(each) for each in found], "warnings": list(warnings)}


def _row(each: explain.Explanation) -> dict[str, Any]:
    return {
        "verdict": each.outcome.value,
        "reason": each.cause.value,
        "source": each.source,
        "sourceIdentity": None if each.source_identity is None else str(each.source_identity),
        "destination": each.target,
        "destinationIdentity": None if each.target_identity is None else str(each.target_identity),
        "port": each.port,
        "policy": each.policy or None,
        "rule": each.rule or None,
        "because": each.because,
        "evidence": list(each.evidence),
        "toAllow": each.fix or None,
    }


def _alike(found: Sequence[explain.Explanation]) -> list[tuple[explain.Explanation, int]]:
    """Count answers that are the same but for which pod of a workload was looked at; the first stands for them."""
    groups: dict[tuple[object, ...], list[explain.Explanation]] = {}
    for each in found:
        ends = (each.source_identity, each.target_identity, each.port)
        groups.setdefault((each.outcome, each.cause, each.policy, each.rule, *ends), []).append(each)
    return [(members[0], len(members)) for members in groups.values()]
