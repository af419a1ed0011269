"""agent/cli and agent/flags: what each flag becomes, what is refused, and what a command imports.

Left out: what the commands print (test_observe.py, test_owners.py) and the agent itself.
"""

import dataclasses
import pathlib
import subprocess
import sys
import types
from typing import Any

import click
import pytest

from agent import apiaddress, config, flags, graph, model, observe, selection
from agent import cli as agent_cli
from ipseity import cli

NOW = 1_795_352_400_000_000_000
SOCKET = apiaddress.ApiAddress(path="/run/ipseity/agent.sock")


def question(*words: str, terminal: bool = False, environ: dict[str, str] | None = None) -> observe.Question:
    with agent_cli.observe.make_context("observe", list(words)) as context:
        return flags.question(context.params, now_wall_ns=NOW, terminal=terminal, environ=environ or {})


def test_without_flags() -> None:
    """A table of workloads, of everything that the agent of this machine keeps."""
    assert question() == observe.Question(
        servers=(SOCKET,), wanted=selection.Selection(), output=observe.Output.TABLE, by=graph.By.WORKLOAD
    )


def test_every_filter() -> None:
    """The flag names of hubble observe, and where each value goes."""
    asked = question(
        *("--pod", "shop/a", "--from-pod", "b", "--to-pod", "c", "--namespace", "d", "--from-namespace", "e"),
        *("--to-namespace", "f", "--label", "g=1", "--from-label", "h", "--to-label", "!i", "--ip", "10.0.0.0/8"),
        *("--from-ip", "10.0.0.1", "--to-ip", "fd00::1", "--port", "80", "--port", "443", "--protocol", "TCP"),
        *("--evidence", "ip", "--traffic-direction", "EGRESS", "--type", "edge", "--node-name", "node-a"),
    )
    end = selection.EndFilter
    selector, prefix = selection.label_selector, selection.prefix
    assert asked.wanted == selection.Selection(
        either=end(pods=("shop/a",), namespaces=("d",), labels=(selector("g=1"),), addresses=(prefix("10.0.0.0/8"),)),
        source=end(pods=("b",), namespaces=("e",), labels=(selector("h"),), addresses=(prefix("10.0.0.1"),)),
        destination=end(pods=("c",), namespaces=("f",), labels=(selector("!i"),), addresses=(prefix("fd00::1"),)),
        ports=(80, 443),
        protocols=("tcp",),
        evidence=(model.Evidence.IP,),
        directions=("egress",),
        types=("edge",),
        nodes=("node-a",),
    )


def test_short_flags() -> None:
    """Those that fingers know."""
    assert question("-n", "shop", "-l", "app").wanted == question("--namespace", "shop", "--label", "app").wanted
    assert question("-f", "-o", "jsonl") == question("--follow", "--output", "jsonl")


@pytest.mark.parametrize(
    ("words", "terminal", "by"),
    [
        ([], False, graph.By.WORKLOAD),
        (["-o", "json"], False, graph.By.WORKLOAD),
        (["-o", "jsonl"], False, None),
        (["-f"], True, graph.By.WORKLOAD),
        (["-f"], False, None),
        (["--aggregate-by", "none"], True, None),
        (["--aggregate-by", "pod", "-o", "jsonl"], False, graph.By.POD),
        (["--aggregate-by", "service-account"], False, graph.By.SERVICE_ACCOUNT),
    ],
)
def test_what_is_one_row(words: list[str], terminal: bool, by: graph.By | None) -> None:  # noqa: FBT001  # a parameter
    """Rows for people and documents, records for streams, unless it was said."""
    assert by == question(*words, terminal=terminal).by


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ([], {}, ["unix:///run/ipseity/agent.sock"]),
        ([], {"IPSEITY_API": "http://127.0.0.1:9477"}, ["http://127.0.0.1:9477"]),
        (["/a", "/b", "/a"], {"IPSEITY_API": "http://127.0.0.1:9477"}, ["unix:///a", "unix:///b"]),
    ],
)
def test_servers(given: list[str], environ: dict[str, str], expected: list[str]) -> None:
    """Those given, else where an agent here would serve; each once, in order."""
    assert expected == [str(each) for each in flags.servers(given, environ)]


def test_times() -> None:
    """Ago, and the last ones."""
    asked = question("--since", "5m", "--last", "7")
    assert (asked.since_wall_ns, asked.last) == (NOW - 300 * 10**9, 7)


@pytest.mark.parametrize(
    ("words", "quotes"),
    [
        (["--server", "ftp://x"], "ftp://x"),
        (["--label", "a in (b)"], "a in (b)"),
        (["--from-label", "=x"], "--from-label"),
        (["--to-ip", "10.7"], "--to-ip: '10.7'"),
        (["--since", "soon"], "--since: 'soon'"),
        (["-f", "-o", "json"], "use -o jsonl"),
        (["--port", "70000"], "70000"),
        (["--protocol", "sctp"], "sctp"),
        (["--evidence", "gossip"], "gossip"),
        (["--last", "-1"], "-1"),
        (["--aggregate-by", "colour"], "colour"),
        (["-o", "yaml"], "yaml"),
    ],
)
def test_what_cannot_be_meant(words: list[str], quotes: str) -> None:
    """Refused with the flag and the value."""
    with pytest.raises(click.UsageError) as caught:
        question(*words)
    assert quotes in caught.value.format_message()


class App(types.ModuleType):
    """Stands in for agent.app: remembers what it was to run with."""

    settings: config.Config | None = None

    def run(self, settings: config.Config) -> int:
        self.settings = settings
        return 7


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    import agent

    stand_in = App("agent.app")
    monkeypatch.setitem(sys.modules, "agent.app", stand_in)
    monkeypatch.setattr(agent, "app", stand_in, raising=False)
    return stand_in


@pytest.mark.parametrize("words", [["agent"], ["agent", "run"]])
def test_agent_runs_by_default(app: App, words: list[str]) -> None:
    """``ipseity agent --flag`` and ``ipseity agent run --flag`` are the same."""
    assert cli.run([*words, "--node-name", "node-a", "--max-edges", "128"]) == 7
    assert app.settings == dataclasses.replace(config.Config(), node_name="node-a", max_edges=128)


def test_agent_with_a_wrong_setting(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """Named flag, quoted value, exit code 2, and nothing has run."""
    assert cli.run(["agent", "--max-edges", "many"]) == 2
    assert "--max-edges: 'many'" in capsys.readouterr().err
    assert app.settings is None


def test_cleanup(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of this instance, and says what went."""
    words = ["agent", "cleanup", "--bpffs", str(tmp_path), "--instance", "test"]
    assert cli.run(words) == 0
    assert capsys.readouterr().out == "there was nothing to remove\n"
    pin = tmp_path / "ipseity/test/1-abc/link_x"
    other = tmp_path / "ipseity/other/1-abc/link_x"
    for path in (pin, other):
        path.parent.mkdir(parents=True)
        path.touch()
    assert cli.run(words) == 0
    assert capsys.readouterr().out == f"removed {pin}\n1 removed\n"
    assert other.exists()


def test_cleanup_takes_the_checkpoint_that_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other: instances have their own."""
    words = ["agent", "cleanup", "--bpffs", str(tmp_path), "--instance", "test"]
    state, other = tmp_path / "state", tmp_path / "other"
    for path in (state, other):
        path.touch()
    monkeypatch.setenv("IPSEITY_CHECKPOINT", str(state))
    assert cli.run(words) == 0
    assert capsys.readouterr().out == f"removed {state}\n1 removed\n"
    assert (False, True) == (state.exists(), other.exists())
    assert cli.run(words) == 0


@pytest.mark.parametrize("words", [["agent"], ["agent", "run"], ["agent", "cleanup"], ["observe"], ["who-owned"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself, each option with a line."""
    assert cli.run([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: ipseity {' '.join(words)}")
    command: Any = {"agent": agent_cli.agent, "observe": agent_cli.observe}.get(words[0])
    for option in command.params if command else []:
        assert not isinstance(option, click.Option) or option.help or option.name in ("output", "help")


def loaded_by(code: str) -> set[str]:
    """Tell what a fresh interpreter has imported after some code."""
    whole = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_command_imports_what_it_needs() -> None:
    """Help costs no aiohttp, no numpy, no Kubernetes; the agent's parts cost no tables and no terminal."""
    heavy = {"aiohttp", "numpy", "kubernetes", "bcc", "rich", "prometheus_client", "pyroute2"}
    assert set() == heavy & loaded_by("import agent.cli")
    assert set() == heavy & loaded_by("import agent.cli, agent.observe, agent.owners, agent.flags, ipseity.screen")
    ours = {"agent.table", "agent.observe", "agent.screen", "agent.client", "agent.graph", "agent.checks"}
    edges = "import agent.api, agent.feed, agent.flowlog, agent.metrics, agent.health, agent.exposition"
    assert set() == (ours | {"rich", "bcc", "numpy", "kubernetes"}) & loaded_by(edges)
