"""ipseity/check and ipseity/findings: who is asked, and how the answer looks.

Leaves out what programs find: ``tests/unit/agent/test_checks.py``, ``tests/unit/injector/seeing``.
"""

import dataclasses
import io
import json

import click
import pytest

from ipseity import check, contribution, findings, screen, settings

OK, WARN, FAIL = findings.Status.OK, findings.Status.WARN, findings.Status.FAIL


def finding(name: str, status: findings.Status) -> findings.Finding:
    return findings.Finding(name=name, status=status, text="word " * 30, hint="" if status is OK else f"mend {name}")


def section(*found: findings.Finding) -> findings.Section:
    return findings.Section(verdict="so it is", findings=found)


def test_the_report_begins_with_the_verdicts() -> None:
    """A sentence of each; then a line for each finding, hints below, nothing beyond 100 columns."""
    page = screen.Page.of(io.StringIO(), {})
    sections = [section(finding("kernel", OK), finding("bpffs", WARN)), section(finding("bcc", FAIL))]
    lines = findings.report(sections, page)
    assert ["so it is", "so it is", ""] == lines[:3]
    assert max(map(len, lines)) <= 100
    rows = [line.split()[:2] for line in lines[3:] if line[:1].strip()]
    assert [["kernel", "ok"], ["bpffs", "warn"], ["bcc", "fail"]] == rows
    assert ["hint: mend bpffs", "hint: mend bcc"] == [line.strip() for line in lines if "hint:" in line]


def test_statuses_have_colours() -> None:
    """On a terminal."""
    page = screen.Page(stream=io.StringIO(), terminal=True, colour=True)
    assert "\x1b[31mfail\x1b[0m" in "\n".join(findings.report([section(finding("bcc", FAIL))], page))


def test_programs_get_one_array() -> None:
    """Of all sections."""
    found = json.loads(findings.document([section(finding("a", OK)), section(finding("b", FAIL))]))
    assert [("a", "ok", ""), ("b", "fail", "mend b")] == [
        (each["name"], each["status"], each["hint"]) for each in found
    ]


def test_a_warning_holds_and_a_failure_does_not() -> None:
    """It is the exit code."""
    assert findings.hold([section(finding("a", OK), finding("b", WARN))])
    assert not findings.hold([section(finding("a", OK)), section(finding("b", FAIL))])


def test_a_name_is_listed_once() -> None:
    """Several findings may be about the same thing."""
    found = [finding("proxies", WARN), finding("proxies", WARN), finding("clocks", WARN), finding("a", OK)]
    assert "proxies, clocks" == findings.names(found, WARN)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    place: str = settings.field("here", "Where.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needy:
    place: str = settings.field("here", "Where.")
    limit: int = settings.field(1, "How many.", minimum=1)


def asking(seen: list[object], name: str, answer: findings.Section | None) -> object:
    def look(given: object, *, asked: bool) -> findings.Section | None:
        seen.append((name, given, asked))
        return answer

    return look


@pytest.fixture
def seen() -> list[object]:
    return []


@pytest.fixture
def known(seen: list[object]) -> dict[str, contribution.Contribution]:
    def made(order: int, name: str, kind: type, answer: findings.Section | None) -> contribution.Contribution:
        return contribution.Contribution(order=order, only="Only it.", settings=kind, look=asking(seen, name, answer))

    return {"one": made(1, "one", Both, section(finding("a", OK))), "two": made(2, "two", Needy, None)}


def test_all_are_asked(known: dict[str, contribution.Contribution], seen: list[object]) -> None:
    """Each with its own settings; who has nothing to say has no section."""
    found = check.look(known, {"place": "there", "limit": None}, {"IPSEITY_LIMIT": "3"})
    assert 1 == len(found)
    assert [("one", Both(place="there"), False), ("two", Needy(place="there", limit=3), False)] == seen


def test_one_is_asked_alone(known: dict[str, contribution.Contribution], seen: list[object]) -> None:
    """Then what the others would need is not even read."""
    check.look(known, {"only_one": True, "only_two": False, "limit": "nonsense"}, {})
    assert [("one", Both(), True)] == seen


def test_a_setting_of_two_is_one_option() -> None:
    """Else click would warn, and one of the two would not get it."""
    options = [option for each in check.check.params if isinstance(each, click.Option) for option in each.opts]
    assert len(set(options)) == len(options)
    assert {"--node", "--mesh", "--kubeconfig", "--trust-domain", "--cgroup-root"} <= set(options)


def test_every_option_has_its_line() -> None:
    """In --help."""
    assert [] == [each.name for each in check.check.params if isinstance(each, click.Option) and not each.help]
