"""The agent as a comparison uses it: started on a node of a lab, waited for, frozen, and gone without a trace.

    with contender.start(lab.node("node-a"), lab.kubeconfig, strict=True, gate=True) as agent:
        applied = ...                       # kubectl apply -o json
        agent.wait(lambda delay: delay.name == "web" and delay.version == applied["metadata"]["resourceVersion"])
        agent.freeze()                      # a policy agent that hears nothing more; agent.thaw()

Here so that whoever compares need not know how it is run. Leaves out what is compared.
"""

import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from comparisons.ip_policy import errors, kernel, ports
from comparisons.lab import cgroups, layout

T = TypeVar("T")
TABLES = tuple(f"{family} {ports.TABLE}" for family in ("inet", "bridge"))
READY_S = 60.0
STOP_S = 10.0
WAIT_S = 30.0
LOOK_S = 0.002
"""Between two looks at a log. Arbitrary: shorter than what is measured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One change that the node enforces; docs/network-policy.md says what each field is."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    gone: bool
    addresses: tuple[str, ...]
    heard_mono_ns: int
    enforced_mono_ns: int
    delay_ms: float
    how: str
    ended: int


class Agent:
    """An agent that runs."""

    def __init__(self, node: layout.Node, process: "subprocess.Popen[bytes]", log: pathlib.Path) -> None:
        self.node = node
        self.pid = process.pid
        self.log = log
        self._process = process
        self._frozen = False
        self._offset = 0
        self._enforcing = False
        self._delays: list[Delay] = []

    @property
    def cgroup(self) -> str:
        """Where its processor time is counted, from the root of each hierarchy."""
        return f"{self.node.cgroup}/ip-policy.service"

    def alive(self) -> None:
        """NotReady if it has ended: its rules stay, and nothing changes them any more."""
        if self._process.poll() is not None:
            last = self._said.read_text(errors="replace").strip().rpartition("\n")[2]
            raise errors.NotReady(f"the policy agent of {self.node.name} has ended: {last}", hint=f"see {self._said}")

    def delays(self) -> list[Delay]:
        """Return what is enforced since the start, in order."""
        self._read()
        return list(self._delays)

    def wait(self, matching: Callable[[Delay], bool], *, timeout_s: float = WAIT_S) -> Delay:
        """Return the first change that matches, as soon as it is enforced. NotReady: it was not within the time."""
        seen = 0

        def look() -> Delay | None:
            nonlocal seen
            fresh = self.delays()[seen:]
            seen += len(fresh)
            return next(filter(matching, fresh), None)

        return self._until(look, timeout_s, "enforce the change that was waited for")

    def freeze(self) -> None:
        """Stop its clock: it hears nothing and changes nothing, and its rules stay."""
        self._process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)
        self._frozen = False

    def ready(self, timeout_s: float) -> None:
        """Return once the node enforces what it was told."""
        self._until(lambda: self._read() or None, timeout_s, "enforce anything")

    def stop(self) -> None:
        """End it. Its rules stay."""
        if self._frozen:
            self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> bool:
        """Take in the lines that were added; whether the node enforces anything yet."""
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self._offset)
                whole = log.read().rpartition(b"\n")
            self._offset += len(whole[0]) + len(whole[1])
            found = [read for line in whole[0].splitlines() if (read := _line(line)) is not None]
            self._enforcing = self._enforcing or any(line["event"] == "enforcing" for line in found)
            self._delays += [_delay(line) for line in found if line["event"] == "change"]
        return self._enforcing

    def _until(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        deadline_s = time.monotonic() + timeout_s
        while (found := look()) is None:
            self.alive()
            if time.monotonic() > deadline_s:
                raise errors.NotReady(
                    f"the policy agent of {self.node.name} did not {what} within {timeout_s:g} s",
                    hint=f"see {self._said}",
                )
            threading.Event().wait(LOOK_S)
        return found

    @property
    def _said(self) -> pathlib.Path:
        return self.node.lab.log(f"ip-policy-{self.node.name}")


@contextlib.contextmanager
def start(  # noqa: PLR0913  # what a contender can be told
    node: layout.Node,
    kubeconfig: str | pathlib.Path,
    *,
    strict: bool = True,
    gate: bool = True,
    log: pathlib.Path | None = None,
    timeout_s: float = READY_S,
) -> Iterator[Agent]:
    """Enforce NetworkPolicies on a node of a lab meanwhile; afterwards nothing of it is left but its log.

    ``strict``: connections that are no longer allowed end. ``gate``: a new pod's traffic waits for its rules. ``log``:
    where delays are written; without it, in the lab's own directory, which goes with the lab. Raises PolicyError.
    """
    told = log or node.state / "ip-policy.jsonl"
    told.unlink(missing_ok=True)
    told.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "comparisons.ip_policy", *_words(node, kubeconfig, told, strict=strict, gate=gate)]
    said = node.lab.log(f"ip-policy-{node.name}")
    said.parent.mkdir(parents=True, exist_ok=True)
    with said.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603  # words of ours, no shell
    agent = Agent(node, process, told)
    try:
        cgroups.adopt(agent.cgroup, agent.pid)
        agent.ready(timeout_s)
        yield agent
    finally:
        agent.stop()
        if node.netns.exists():
            kernel.Kernel(node.netns).remove(TABLES)
        cgroups.end(agent.cgroup)


def _words(
    node: layout.Node, kubeconfig: str | pathlib.Path, log: pathlib.Path, *, strict: bool, gate: bool
) -> list[str]:
    return [
        *("run", "--node", node.name, "--kubeconfig", str(kubeconfig)),
        *("--netns", str(node.netns), "--log", str(log)),
        "--strict" if strict else "--no-strict",
        "--gate" if gate else "--no-gate",
    ]


def _line(text: bytes) -> dict[str, Any] | None:
    """Read a line; None for what a full disk left of one."""
    with contextlib.suppress(ValueError):
        return dict(json.loads(text))
    return None


def _delay(line: dict[str, Any]) -> Delay:
    known = {field.name: line[field.name] for field in dataclasses.fields(Delay)}
    return Delay(**{**known, "addresses": tuple(known["addresses"])})
