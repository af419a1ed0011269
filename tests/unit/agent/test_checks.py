"""agent/requirements and agent/checks: what is missing is found, named, and comes with what to do about it.

Rules are tested on facts of machines that are not at hand; the reading of facts on made-up trees, a made-up interpreter
and a real API on a socket. Left out: that the agent then really runs (tests/functional).
"""

import json
import pathlib
from collections.abc import Iterator

import pytest

from agent import api, checks, config, requirements
from ipseity import cli, findings
from tests.fakes import agent_api

OK, WARN, FAIL = requirements.Status.OK, requirements.Status.WARN, requirements.Status.FAIL
ALL_CAPABILITIES = (1 << 41) - 1


@pytest.mark.parametrize(
    ("release", "status", "says"),
    [
        ("6.18.44-fc-v509", OK, "nothing is missing"),
        ("5.15.0-91-generic", OK, "nothing is missing"),
        ("5.14.0-427.el9.x86_64", WARN, "no pins of tracepoint programs (5.15)"),
        ("5.10.0-28-cloud-amd64", WARN, "no sock:inet_sk_error_report (5.14)"),
        ("5.10.0", WARN, "RLIMIT_MEMLOCK bounds the tables"),
        ("5.9.16", FAIL, "older than 5.10"),
        ("4.18.0-513.el8.x86_64", FAIL, "older than 5.10"),
        ("odd", FAIL, "odd: older than 5.10"),
    ],
)
def test_kernel(release: str, status: requirements.Status, says: str) -> None:
    """The floor, and from there what each older kernel lacks."""
    found = requirements.kernel(release)
    assert status is found.status
    assert says in found.text
    assert bool(found.hint) is (status is not OK)


def test_what_kernels_lack_is_in_order() -> None:
    """Newest last, as a reader expects and docs/kernels.md has it."""
    assert sorted(requirements.LACKS, key=lambda lack: lack.since) == list(requirements.LACKS)


@pytest.mark.parametrize(
    ("release", "limit", "may_raise", "expected"),
    [
        ("6.1.0", 65536, False, None),
        ("5.10.0", 65536, False, FAIL),
        ("5.10.0", 65536, True, OK),
        ("5.10.0", None, False, OK),
    ],
)
def test_memory_limit(
    release: str,
    limit: int | None,
    may_raise: bool,  # noqa: FBT001  # a parameter of the test
    expected: requirements.Status | None,  # a parameter
) -> None:
    """It matters before 5.11 only."""
    found = requirements.memory_limit(release, limit, may_raise=may_raise)
    assert expected is (found.status if found else None)


def without(*bits: int) -> int:
    return ALL_CAPABILITIES & ~sum(1 << bit for bit in bits)


@pytest.mark.parametrize(
    ("effective", "status", "missing"),
    [
        (ALL_CAPABILITIES, OK, set()),
        (0, FAIL, {"BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN"}),
        (without(38, 39), OK, set()),
        (without(21), WARN, {"SYS_ADMIN"}),
        (without(19, 2), WARN, {"SYS_PTRACE", "DAC_READ_SEARCH"}),
        (without(39, 21), FAIL, {"BPF", "SYS_ADMIN"}),
        (without(12), FAIL, {"NET_ADMIN"}),
    ],
)
def test_capabilities(effective: int, status: requirements.Status, missing: set[str]) -> None:
    """Each that is missing, what it is for, and that SYS_ADMIN includes BPF and PERFMON."""
    found = requirements.capabilities(effective)
    assert status is found.status
    assert missing == {each.name for each in requirements.CAPABILITIES if f"no {each.name}:" in found.text}
    assert all(name in found.hint for name in missing)


def test_tracepoints() -> None:
    """All, some, none, or no tracefs at all: the agent runs in each case, and what it cannot see is said."""
    everything = list(requirements.TRACEPOINTS)
    assert OK is requirements.tracepoints(everything, mounted=True, path="/t").status
    some = requirements.tracepoints(everything[1:], mounted=True, path="/t")
    assert (WARN, True) == (some.status, "sock/inet_sk_error_report" in some.text)
    none = requirements.tracepoints([], mounted=False, path="/t")
    assert (WARN, "mount -t tracefs tracefs /t") == (none.status, none.hint)


def test_cgroup2() -> None:
    """The root of a cgroup namespace shows only ourselves; a directory that was chosen is what it is."""
    assert OK is requirements.cgroup2("/c", is_own_namespace=False, is_whole_tree=True).status
    assert OK is requirements.cgroup2("/c/node-a", is_own_namespace=True, is_whole_tree=False).status
    hidden = requirements.cgroup2("/c", is_own_namespace=True, is_whole_tree=True)
    assert (WARN, True) == (hidden.status, "--cgroup-root" in hidden.hint)


def test_bpffs() -> None:
    """Mounted, mountable, or neither."""
    assert OK is requirements.bpffs("/b", mounted=True, may_mount=False).status
    assert OK is requirements.bpffs("/b", mounted=False, may_mount=True).status
    neither = requirements.bpffs("/b", mounted=False, may_mount=False)
    assert (FAIL, True) == (neither.status, "mount -t bpf bpf /b" in neither.hint)


def test_tracefs_is_read(tmp_path: pathlib.Path) -> None:
    """Directories below events/ are the tracepoints."""
    settings = config.Config(tracefs=tmp_path)
    assert "nothing is mounted" in checks._tracefs(settings).text
    (tmp_path / "events/tcp/tcp_receive_reset").mkdir(parents=True)
    found = checks._tracefs(settings)
    assert "tcp/tcp_receive_reset" not in found.text
    assert "cgroup/cgroup_mkdir" in found.text


def test_a_directory_that_is_no_cgroup(tmp_path: pathlib.Path) -> None:
    """Named, with the flag."""
    found = checks._cgroup2(config.Config(cgroup_root=tmp_path))
    assert FAIL is found.status
    assert str(tmp_path) in found.text
    assert found.hint


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ("#!/bin/sh\necho 0.26.0\n", OK, "0.26.0"),
        (
            "#!/bin/sh\necho 'Traceback:' >&2\necho \"No module named 'bcc'\" >&2\nexit 1\n",
            FAIL,
            "No module named 'bcc'",
        ),
        ("#!/bin/sh\nexit 9\n", FAIL, "exit status 9"),
        ("#!/nothing/there\n", FAIL, "No such file"),
    ],
)
def test_bcc(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str, status: requirements.Status, says: str
) -> None:
    """Imported by an interpreter of its own; what that says last is the reason."""
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)
    monkeypatch.setattr(checks.sys, "executable", str(python))
    found = checks._bcc(config.Config())
    assert status is found.status
    assert says in found.text
    assert ("python3-bpfcc" in found.hint) is (status is FAIL)


def test_bcc_that_hangs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out is an answer."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec cat /dev/zero >/dev/null\n")
    python.chmod(0o755)
    monkeypatch.setattr(checks.sys, "executable", str(python))
    monkeypatch.setattr(checks, "_BCC_TIMEOUT_S", 0.05)
    assert FAIL is checks._bcc(config.Config()).status


def test_no_kubernetes(tmp_path: pathlib.Path) -> None:
    """No way to the API server is told, and no server at the end of one."""
    missing = checks._kubernetes(config.Config(kubeconfig=str(tmp_path / "none")))
    assert (FAIL, True) == (missing.status, "no such file" in missing.text)
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "x", "user": {"token": "x"}}],
            }
        )
    )
    found = checks._kubernetes(config.Config(kubeconfig=str(nobody)))
    assert (FAIL, True) == (found.status, "http://127.0.0.1:1" in found.text)
    assert found.hint


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[agent_api.RunningAgent]:
    with agent_api.RunningAgent(tmp_path) as running:
        yield running


def test_the_agent(agent: agent_api.RunningAgent) -> None:
    """Well; not ready; not well; not there."""
    settings = config.Config(api=str(agent.address))
    assert OK is checks._agent(settings).status
    agent.ready = api.Report(ok=False, detail={"drained": True, "kubernetes_synced": False})
    found = checks._agent(settings)
    assert (WARN, True) == (found.status, "drained yes, kubernetes synced no" in found.text)
    agent.healthy = api.Report(ok=False, detail={"last_drain_seconds_ago": 61})
    found = checks._agent(settings)
    assert (FAIL, "not well: last drain seconds ago 61") == (found.status, found.text)
    agent.stop()
    found = checks._agent(settings)
    assert (WARN, True) == (found.status, "ipseity agent" in found.hint)


def finding(name: str, status: requirements.Status) -> findings.Finding:
    hint = "" if status is OK else f"mend {name}"
    return findings.Finding(name=name, status=status, text="word " * 30, hint=hint)


def test_the_verdict() -> None:
    """One sentence that names what is wrong; the API server alone is no reason that the agent cannot run."""
    found = [finding("kernel", OK), finding("bpffs", WARN), finding("bcc", FAIL)]
    assert "the agent cannot run here: bcc" == checks.verdict(found)
    assert "the agent can run here, with less: bpffs" == checks.verdict(found[:2])
    assert "the agent can run here" == checks.verdict(found[:1])
    assert checks.verdict([finding("kubernetes", FAIL)]).startswith(
        "the agent can run here, but without the API server"
    )


def test_the_command(
    agent: agent_api.RunningAgent,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On this machine, whatever it has: every check has an answer, and the exit code is that of the verdict."""
    monkeypatch.setattr(checks, "_bcc", lambda _: finding("bcc", OK))
    words = ["check", "--node", "--api", str(agent.address), "--kubeconfig", str(tmp_path / "none")]
    assert cli.run(words) == 1
    assert capsys.readouterr().out.startswith("the agent can")
    cli.run([*words, "-o", "json"])
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert {"kernel", "cgroup2", "bpffs", "tracefs", "capabilities", "bcc", "kubernetes", "agent"} <= set(found)
    assert (found["kubernetes"]["status"], found["agent"]["status"]) == ("fail", "ok")
    assert all(each["hint"] for each in found.values() if each["status"] != "ok")


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, warnings included."""
    names = ("_kernel", "_memory_limit", "_cgroup2", "_bpffs", "_tracefs", "_capabilities", "_bcc", "_kubernetes")
    for name in names:
        monkeypatch.setattr(checks, name, lambda _, name=name: finding(name, OK))
    monkeypatch.setattr(checks, "_agent", lambda _: finding("agent", WARN))
    assert cli.run(["check", "--node"]) == 0
    assert "with less: agent" in capsys.readouterr().out


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that cannot be used is exit code 2, as everywhere."""
    assert cli.run(["check", "--api", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
