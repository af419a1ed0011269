"""docs/network-policy.md says of every case what docs/network-policy-cases.yaml has, and of every field what it is."""

import dataclasses
import re

from comparisons.ip_policy import contender
from tests.repo import tree
from tests.scene import corners

PAGE = (tree.ROOT / "docs" / "network-policy.md").read_text()
ROW = re.compile(r"^\| ([a-z-]+) \| (.*) \((doc|api)\) \| (.*?) ?\|$", re.MULTILINE)


def test_every_case_has_its_row() -> None:
    """Name, words, source, and what was chosen: the same in both, in the same order."""
    cases = corners.documented()
    assert 39 <= len(cases)
    assert [(each.name, each.says, each.source, each.here) for each in cases] == ROW.findall(PAGE)


def test_every_case_asks_something() -> None:
    """And names are unique."""
    cases = corners.documented()
    assert len(cases) == len({each.name for each in cases})
    assert [] == [each.name for each in cases if not (each.allowed or each.denied)]
    for each in cases:
        for question in (*each.allowed, *each.denied):
            corners.probe(question)


def test_every_field_of_the_log_is_there() -> None:
    """By its name."""
    assert [] == [field.name for field in dataclasses.fields(contender.Delay) if f"`{field.name}`" not in PAGE]
