"""Nothing is left in the tree that only its author understands."""

import re

from tests.repo import tree

MARKS = re.compile(r"\b(" + "|".join(("FIX" + "ME", "TO" + "DO", "XX" + "X", "HA" + "CK")) + r")\b")
HOMES = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work|opt)/\w")
BARE_NOQA = re.compile(r"#\s*noqa\b(?!:\s*[A-Z0-9, ]+\s{2}#\s\S)")
BARE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s{2}#\s\S)")
NOT_OURS = (":!LICENSE", ":!bpf/LICENSES", ":!requirements.lock", ":!tests/vectors", ":!tests/golden")


def hits(pattern: re.Pattern[str], *paths: str) -> list[str]:
    """List where a pattern occurs, except in this file."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in tree.texts(*paths, *NOT_OURS)
        if path != "tests/repo/test_leftovers.py"
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_mark_stands_for_work_that_was_put_off() -> None:
    """What is not done is in docs/limitations.md, where a user finds it."""
    assert [] == hits(MARKS, ".")


def test_no_path_of_one_machine() -> None:
    """A path below somebody's home works for nobody else."""
    assert [] == hits(HOMES, ".")


def test_a_rule_is_switched_off_with_its_reason() -> None:
    """Each noqa and each type-ignore names the rule, and says why."""
    assert [] == hits(BARE_NOQA, "*.py")
    assert [] == hits(BARE_IGNORE, "*.py")


def test_no_name_that_says_nothing() -> None:
    """A file is a noun of the domain, not a drawer."""
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [] == [path for path in tree.files("*.py", "*.c", "*.h") if path.stem in drawers]
