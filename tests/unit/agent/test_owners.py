"""agent/owners: who had an address, from the agent's answer to the line that is marked.

Left out: how the agent knows (test_ownership.py, test_answers.py).
"""

import json
import pathlib
import re
from collections.abc import Iterator

import pytest

from agent import flowjson, model, owners, walltime
from ipseity import cli
from tests.fakes import agent_api

REPORT = flowjson.Owner(
    kind=model.Kind.POD,
    evidence=model.Evidence.KERNEL,
    start_time="2026-11-22T12:02:51.204Z",
    end_time="2026-11-22T12:03:05.881Z",
    namespace="shop",
    name="report-28x4k",
    service_account="report",
    uid="6f0c2b1a-52e0-4a43-8a2c-f1ad01b2a7e3",
)
CRON = flowjson.Owner(
    kind=model.Kind.POD,
    evidence=model.Evidence.IP,
    start_time="2026-11-22T12:03:06.310Z",
    namespace="shop",
    name="cron-9d7tz",
    service_account="cron",
    uid="a91e77aa-52e0-4a43-8a2c-f1ad01b2a7e3",
)


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[agent_api.RunningAgent]:
    with agent_api.RunningAgent(tmp_path) as running:
        running.owned = (REPORT, CRON)
        yield running


def who_owned(agent: agent_api.RunningAgent, asked: str, *more: str) -> int:
    return cli.run(["who-owned", "--server", str(agent.address), asked, *more])


def table(text: str) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in text.splitlines()[2:]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show times of day as they are here, not in the machine's zone."""
    monkeypatch.setattr(walltime, "clock", lambda wall_ns: walltime.text(wall_ns)[11:23])
    monkeypatch.setattr(owners, "_moment", lambda wall_ns, _: walltime.text(wall_ns)[11:23])


def test_the_owner_then(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer first; then everybody who had it, the gap included, with the line that is meant."""
    assert who_owned(agent, "10.7.0.9@2026-11-22T12:03:05Z") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "10.7.0.9 at 12:03:05.000: shop/report-28x4k"
    assert table(out)[1:] == [
        ["shop/report-28x4k", "report", "6f0c2b1a…", "12:02:51.204", "12:03:05.881", "kernel", "<- at that time"],
        ["nobody", "12:03:05.881", "12:03:06.310"],
        ["shop/cron-9d7tz", "cron", "a91e77aa…", "12:03:06.310", "now", "ip"],
    ]
    assert agent.asked_at_wall_ns == walltime.parse("2026-11-22T12:03:05Z")


@pytest.mark.parametrize(
    ("moment", "code", "answer"),
    [
        ("12:02:51.203", 1, "nobody, as far as is known"),
        ("12:02:51.204", 0, "shop/report-28x4k"),
        ("12:03:05.881", 1, "nobody, as far as is known"),
        ("12:03:06.310", 0, "shop/cron-9d7tz"),
        ("23:59:59", 0, "shop/cron-9d7tz"),
    ],
)
def test_to_the_moment(
    agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str], moment: str, code: int, answer: str
) -> None:
    """From is included, to is not; nobody is an answer, and exit code 1."""
    assert code == who_owned(agent, f"10.7.0.9@2026-11-22T{moment}Z")
    assert capsys.readouterr().out.splitlines()[0].endswith(f": {answer}")


def test_now_is_the_default(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a time it is now."""
    assert who_owned(agent, "10.7.0.9") == 0
    assert "shop/cron-9d7tz" in capsys.readouterr().out.splitlines()[0]


def test_two_at_once_cannot_be_told(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Where histories overlap nobody is guessed."""
    agent.owned = (REPORT, flowjson.Owner(kind=model.Kind.NODE, evidence=model.Evidence.IP, name="node-a", uid="n"))
    assert who_owned(agent, "10.7.0.9@2026-11-22T12:03:05Z") == 1
    out = capsys.readouterr().out
    assert "it cannot be told: node node-a or shop/report-28x4k" in out.splitlines()[0]
    assert out.count("one of several") == 2
    assert "before" in out, "the node has it since before anything was known"


def test_nobody_ever(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that no agent has heard of: one line."""
    agent.owned = ()
    assert who_owned(agent, "fd00::9") == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """The agent's answer as it came, with the same exit code."""
    assert who_owned(agent, "10.7.0.9@2026-11-22T12:03:06Z", "-o", "json") == 1
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["owners"]] == ["report-28x4k", "cron-9d7tz"]


def test_the_agent_that_has_proof_is_believed(
    agent: agent_api.RunningAgent, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several agents the one whose own node has the sockets knows best."""
    with agent_api.RunningAgent(tmp_path, "node-b") as other:
        other.owned = (CRON,)
        who_owned(other, "10.7.0.9@2026-11-22T12:03:05Z", "--server", str(agent.address))
    assert "shop/report-28x4k" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("asked", ["10.7", "shop/web", "10.7.0.9@noon", "@12:03"])
def test_a_wrong_question(agent: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    """Quoted, exit code 2."""
    assert who_owned(agent, asked) == 2
    assert repr(asked) in capsys.readouterr().err
