"""A lab comes up, is hurt, comes back, goes. Leaves out what pods do meanwhile."""

import asyncio
import json
import secrets
import signal
from collections.abc import Iterator

import pytest
from click import testing

from comparisons import cli
from comparisons.lab import cgroups, cluster, errors, lab, layout, processes
from ipseity import kube
from tests.functional.lab import conftest


@pytest.fixture
def other() -> Iterator[layout.Lab]:
    """Name a second lab, and remove whatever it has become."""
    it = layout.Lab(name=f"t{secrets.token_hex(3)}")
    try:
        yield it
    finally:
        lab.down(it)
        assert conftest.traces(it) == []


def killed(names: layout.Lab, process: str) -> processes.Identity:
    """Kill one of a lab's processes."""
    it = processes.read(names.processes / process)
    assert it is not None
    assert it.end(signal.SIGKILL, timeout_s=5)
    return it


def test_up_twice_is_harmless(state: lab.State) -> None:
    """What runs stays what it is; asking for something else is refused with a hint."""
    before = {path.name: path.read_text() for path in state.names.processes.iterdir()}
    again = lab.up(state.names, lab.Wishes())
    assert before == {path.name: path.read_text() for path in state.names.processes.iterdir()}
    assert set(again.health.values()) == {lab.Health.RUNNING}
    with pytest.raises(errors.LabError, match="with 2 nodes, not 3") as refused:
        lab.up(state.names, lab.Wishes(nodes=3))
    assert refused.value.hint == f"ipseity lab down --name {state.names.name}"


def test_two_labs_at_a_time(state: lab.State, other: layout.Lab) -> None:
    """They share no range, and taking one down leaves the other as it was."""
    second = lab.up(other, lab.Wishes(nodes=1))
    assert second.plan.pod_cidr != state.plan.pod_cidr
    lab.down(other)
    assert lab.state(other) is None
    now = lab.state(state.names)
    assert now is not None
    assert set(now.health.values()) == {lab.Health.RUNNING}


async def test_killed_node_comes_back(state: lab.State, api: conftest.Api) -> None:
    """Its pods are started again, under their own names and UIDs."""
    made = await api.pod("stays", "sleep", "100")
    await api.phase("stays", "Running")
    killed(state.names, "node-a")
    now = lab.state(state.names)
    assert now is not None
    assert now.health["node-a"] is lab.Health.DEAD
    lab.up(state.names, lab.Wishes())
    back = await api.until("stays", lambda status: conftest.main(status).get("restartCount") == 1)
    assert made["metadata"]["uid"] == back["metadata"]["uid"]
    assert "running" in conftest.main(back["status"])["state"]
    ended = conftest.main(back["status"])["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


async def test_down_after_everything_was_killed(other: layout.Lab) -> None:
    """Nothing is left, although nobody could say goodbye; a second time is harmless."""
    state = lab.up(other, lab.Wishes(nodes=1))
    api = conftest.Api(cluster.Cluster(await kube.connect(str(other.kubeconfig)), "test"))
    await api.pod("orphan", "sleep", "100", volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}])
    await api.phase("orphan", "Running")
    await api.leave()
    for process in state.health:
        killed(other, process)
    assert any(cgroups.unified().glob(f"ipseity-{other.name}/node-a/kubepods/*/pod*"))
    assert lab.down(other)
    assert conftest.traces(other) == []
    assert not lab.down(other)


def test_command_line(state: lab.State) -> None:
    """``status`` says what runs, in words and in JSON; ``kubeconfig`` says how to reach it."""
    run = testing.CliRunner().invoke
    shown = run(cli.lab, ["status", "--name", state.names.name])
    assert shown.exit_code == 0
    assert f"lab {state.names.name} is up: 2 nodes" in shown.output
    assert max(len(line) for line in shown.output.splitlines()) <= 100
    plain = json.loads(run(cli.lab, ["status", "--name", state.names.name, "-o", "json"]).output)
    assert plain["health"] == {"api": "running", "node-a": "running", "node-b": "running"}
    assert run(cli.lab, ["kubeconfig", "--name", state.names.name]).output.strip() == str(state.names.kubeconfig)
    absent = run(cli.lab, ["status", "--name", "nowhere"], standalone_mode=False)
    assert (absent.return_value, absent.output.splitlines()[1]) == (1, "next: ipseity lab up --name nowhere")


async def test_exec(state: lab.State, api: conftest.Api, capfd: pytest.CaptureFixture[str]) -> None:
    """``lab exec`` runs a command in a pod and ends as it ends."""
    await api.pod("entered", "sleep", "100", node="node-b")
    await api.phase("entered", "Running")
    arguments = ["exec", "--name", state.names.name, "entered", "--", "sh", "-c", "hostname; exit 5"]
    assert await asyncio.to_thread(cli.lab.main, arguments, "lab", standalone_mode=False) == 5
    assert capfd.readouterr().out == "entered\n"
