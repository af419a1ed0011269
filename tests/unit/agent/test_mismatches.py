"""``ipseity mismatches``: from agents' answers to the page. Left out: what agents know (test_answers)."""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent import flowjson, mismatches, mismatchjson, model, verdicts, walltime
from ipseity import cli
from tests.fakes import agent_api

CRON, REPORT = (
    flowjson.Answer(
        kind=model.Kind.POD,
        namespace="shop",
        name=f"{name}-1",
        uid=f"uid-of-{name}",
        workloads=(flowjson.Workload(name=name, kind="Job"),),
        service_account=name,
    )
    for name in ("cron", "report")
)
NODE = flowjson.Answer(kind=model.Kind.NODE, name="node-a")
LINE = mismatchjson.Line(
    end="local",
    method="ip",
    reason=verdicts.Mismatch.IP_REUSED,
    address="10.7.0.9",
    was=CRON,
    said=REPORT,
    start_time="2026-11-22T12:03:06.310Z",
    time="2026-11-22T12:03:07Z",
    flows=7,
    opened=11,
    moved_bytes=3012,
    peers=("shop/web",),
    window="closed",
    window_us=1_400_000,
)
HOST = msgspec.structs.replace(
    LINE, reason=verdicts.Mismatch.HOST_NETWORK, address="192.0.2.4", said=NODE, window="none", window_us=0, flows=3
)
CHECKED = mismatchjson.Checked(
    end="local",
    method="ip",
    checked=1000,
    mismatches={verdicts.Mismatch.IP_REUSED: 10, verdicts.Mismatch.HOST_NETWORK: 3},
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show times of day as they are here, not in the machine's zone."""
    monkeypatch.setattr(walltime, "clock", lambda wall_ns: walltime.text(wall_ns)[11:23])


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[agent_api.RunningAgent]:
    with agent_api.RunningAgent(tmp_path) as running:
        running.misnamed, running.checked = (HOST, LINE), (CHECKED,)
        yield running


def asked(agent: agent_api.RunningAgent, *more: str) -> int:
    return cli.run(["mismatches", "--server", str(agent.address), *more])


def rows(text: str) -> list[list[str]]:
    lines = text.split("\n\n")[1].splitlines()[1:]
    return [re.split(r" {2,}", line.strip()) for line in lines]


def test_the_answer_is_the_first_line(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """How often; then whom, most flows first, in words; then for how long."""
    assert 0 == asked(agent)
    out = capsys.readouterr().out
    first = "1.30 %: the address was wrong about 13 of 1000 ends, at the time; 1 node"
    assert first == out.splitlines()[0].replace("1,000", "1000").replace("1.0 k", "1000")
    assert [
        ["shop/cron", "shop/report", "10.7.0.9", "address reused", "1", "7", "12:03:06.310", "1.4 s"],
        ["shop/cron", "node node-a", "192.0.2.4", "hostNetwork", "1", "3", "12:03:06.310", "always"],
    ] == rows(out)
    assert re.search(r"< 10 s +█+ 1\n", out)


def test_owners_of_one_workload_are_one_row(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """With the longest window; each for itself where the table is wide."""
    second = msgspec.structs.replace(
        LINE,
        address="10.7.0.10",
        was=msgspec.structs.replace(CRON, name="cron-2", uid="another"),
        window="open",
        window_us=9_000_000,
    )
    agent.misnamed = (LINE, second)
    asked(agent)
    [row] = rows(capsys.readouterr().out)
    assert ["2 addresses", "2", "14", "9.0 s, still"] == [row[2], row[4], row[5], row[7]]
    asked(agent, "-o", "wide")
    wide = rows(capsys.readouterr().out)
    assert ["shop/cron-1", "shop/cron-2"] == [each[0] for each in wide]
    assert ["local", "11", "3.0 kB", "shop/web", "node-a"] == wide[0][8:]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), 2),
        (("--reason", "ip_reused"), 1),
        (("--reason", "ip_reused", "--reason", "host_network"), 2),
        (("--reason", "snat"), 0),
        (("--method", "ip_read"), 0),
        (("-n", "shop"), 2),
        (("-n", "kube-system"), 0),
    ],
)
def test_filters(
    agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], expected: int
) -> None:
    """Values of one filter are alternatives; the counters are about all."""
    assert 0 == asked(agent, *flags, "-o", "json")
    [answer] = json.loads(capsys.readouterr().out)
    assert expected == len(answer.get("mismatches", []))
    assert 1000 == answer["checked"][0]["checked"]


def test_several_agents_are_one_answer(
    tmp_path: pathlib.Path, agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counters and lines are added up."""
    with agent_api.RunningAgent(tmp_path, "node-b") as other:
        other.checked = (CHECKED,)
        asked(agent, "--server", str(other.address))
    assert "26 of" in (first := capsys.readouterr().out.splitlines()[0])
    assert first.endswith("; 2 nodes")


def test_nothing_checked_is_not_nothing_wrong(
    agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent without kernel evidence has nothing to hold an address against."""
    agent.misnamed, agent.checked = (), ()
    assert 0 == asked(agent)
    assert capsys.readouterr().out.startswith("nothing could be checked yet")


def test_nobody_is_a_word(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """What the API told too late has no name."""
    late: Any = msgspec.structs.replace(LINE, said="nobody", reason=verdicts.Mismatch.LATE_EVENT)
    agent.misnamed = (late,)
    asked(agent)
    [row] = rows(capsys.readouterr().out)
    assert ["nobody", "API told late"] == [row[1], row[3]]


def test_every_reason_has_words() -> None:
    """The closed list."""
    assert {reason for reason in verdicts.Mismatch if reason} == mismatches._WORDS.keys()
