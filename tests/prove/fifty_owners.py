"""One address has 50 owners within 5 minutes, under traffic in both directions: kernel and handshake misattribute none.

All but one address of a node's /29 are taken, so that every pod gets the one that is left, as soon as the one before
has let it go. Each calls a pod of the other node and is called by it all the time, with a number of bytes that is its
own, so that a record says by itself whose it is. Half of the pods end by themselves, half are deleted. The agents hear
the API 0.7 s late, and while some owners change they do not hear it at all: what an IP-based tool can know.

Held against that truth: what kernel and handshake say of the owner's end, what a look-up of the address said at the
time and when it was read, whether the agent noticed where it was wrong, and the reason that it gave.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from agent import flowjson, verdicts, walltime
from tests.prove import _handshake, _slow_api, churn, verdict
from tests.scene import agent, lab
from tests.traffic import owner

OWNERS: Final = 50
LIMIT_S: Final = 300.0
LIFE_S: Final = 3.0
LONG_LIFE_S: Final = 7.0
"""Of an owner that came while the API was out of reach: the news must come before it ends."""
LEAD_S: Final = 0.9
"""How long before an owner's end the next one is made: it waits for the address."""
LATE_S: Final = 0.7
HEARD_S: Final = LATE_S + 0.5
UNHEARD: Final = frozenset({9, 20, 31, 42})
"""Owners that get the address while the API cannot be reached."""
AWAY_S: Final = 2.0
"""How long after such an owner has begun."""
SETTLED_S: Final = 3.0
"""Until everybody has heard that the address is free."""
HELD: Final = 4
"""Addresses of the /29 that are taken for good."""
OWNER_PORT, OTHER_PORT = 7001, 7002
START_S, TOLD_S = 30.0, 15.0
NAMESPACE: Final = "owners"
METHODS: Final = ("ip", "ip_read")


class Judged(NamedTuple):
    """One owner's end of one connection, as one agent told of it."""

    number: int
    node: str
    began_ns: int
    end: flowjson.Endpoint

    def says(self, method: str) -> tuple[str, str] | None:
        """Say whom a method names, as (uid, service account); None: it says nothing."""
        found = self.end.attribution
        answer = getattr(found, method) if found is not None else None
        if found is None and method == self.end.evidence.value:
            answer = "same"
        if answer is None:
            return None
        if answer == "same":
            return self.end.pod_uid, self.end.service_account
        return ("", "") if isinstance(answer, str) else (answer.uid, answer.service_account)


@dataclasses.dataclass
class Truth:
    """What the lab knows."""

    uids: dict[int, str] = dataclasses.field(default_factory=dict)
    began_ns: dict[int, int] = dataclasses.field(default_factory=dict)
    """When an owner's first connection was opened."""
    cuts: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def is_right(self, number: int, said: tuple[str, str]) -> bool:
        """Tell whether that is the owner: by its uid, or where none is told by its account, which is its own."""
        uid, account = said
        return uid == self.uids[number] if uid else account == name(number)

    def reason(self, number: int, said: tuple[str, str]) -> verdicts.Mismatch:
        """Say why a look-up named somebody else than the owner of that number."""
        uid, account = said
        if not uid and not account:
            return verdicts.Mismatch.LATE_EVENT
        named = next((each for each, its in self.uids.items() if its == uid), 0)
        if not named:
            return verdicts.Mismatch.UNDETERMINED
        if named > number:
            return verdicts.Mismatch.IP_REUSED
        if any(began <= self.began_ns[number] <= ended for began, ended in self.cuts):
            return verdicts.Mismatch.STALE_CACHE
        return verdicts.Mismatch.TERMINAL_POD_KEPT_IP if completes(named) else verdicts.Mismatch.IP_REUSED


class Pods:
    """What the API says of the pods, as soon as it says it: the lab's own watch."""

    def __init__(self, where: lab.Lab) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.uids: dict[str, str] = {}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?watch=true"
        command = [str(lab.BIN / "kubectl"), f"--kubeconfig={where.kubeconfig}", "get", "--raw", path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self) -> None:
        """Keep it current: one event a line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            meta = event["object"]["metadata"]
            self.known[meta["name"]], self.uids[meta["name"]] = event["object"], meta["uid"]
            if event["type"] == "DELETED":
                self.gone.add(meta["name"])

    def wait(self, which: str, phase: str) -> dict[str, Any]:
        """Wait for a pod's phase; returns the pod."""
        agent.wait_until(
            lambda: self.known.get(which, {}).get("status", {}).get("phase") == phase, START_S, f"{which} is {phase}"
        )
        return self.known[which]

    def close(self) -> None:
        """Stop watching."""
        self.process.kill()
        self.process.wait()
        self.thread.join()


def prove() -> verdict.Verdict:
    """Let owners come and go, and judge every record."""
    with scene() as (where, agents, relay), contextlib.closing(Pods(where)) as pods:
        started_s = time.monotonic()
        address = come_and_go(where, pods, relay)
        took_s = time.monotonic() - started_s
        truth = Truth(uids={each: pods.uids[name(each)] for each in range(1, OWNERS + 1)}, cuts=relay.cuts)
        wait_for_records(agents)
        found = list(judged(agents, address))
        for each in found:
            truth.began_ns[each.number] = min(each.began_ns, truth.began_ns.get(each.number, each.began_ns))
        said = lab.succeed(
            str(lab.BIN / "ipseity"),
            "mismatches",
            *(word for each in agents.values() for word in ("--server", f"unix://{each.socket}")),
        )
        return judge(found, truth, took_s, said)


@contextlib.contextmanager
def scene() -> Iterator[tuple[lab.Lab, dict[str, agent.Agent], _slow_api.Relay]]:
    """Bring up two nodes with a /29 each, keys for the handshake, and agents that hear the API late."""
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(lab.up("fifty", "--nodes", "2", "--pod-cidr", "10.213.0.0/28"))
        spaces = [_handshake.namespace(_handshake.SYSTEM), _handshake.namespace(NAMESPACE)]
        accounts = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name(number))}
            for number in range(OWNERS + 1)
        ]
        where.kubectl("apply", "-f", "-", given=_handshake.as_list(spaces))
        where.kubectl("apply", "-f", "-", given=_handshake.as_list(accounts))
        _handshake.handshake(where, "init")
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        relay, kubeconfig = stack.enter_context(_slow_api.relay(where.kubeconfig, pathlib.Path(folder), LATE_S))
        through = dataclasses.replace(where, kubeconfig=kubeconfig)
        yield where, stack.enter_context(lab.agents(through, "--max-interval-s", "1")), relay


def come_and_go(where: lab.Lab, pods: Pods, relay: _slow_api.Relay) -> str:
    """Give the one address to every owner in turn; returns it."""
    held = [placeholder(number) for number in range(HELD)]
    where.kubectl("apply", "-f", "-", given=_handshake.as_list(held))
    for each in held:
        pods.wait(each["metadata"]["name"], "Running")
    where.kubectl("apply", "-f", "-", given=json.dumps(placeholder(HELD)))
    address = str(pods.wait(f"held-{HELD}", "Running")["status"]["podIP"])
    where.kubectl("apply", "-f", "-", given=json.dumps(other(address)))
    target = str(pods.wait(name(0), "Running")["status"]["podIP"])
    delete(where, f"held-{HELD}")
    rest(SETTLED_S)
    make(where, 1, target)
    for number in range(1, OWNERS + 1):
        pods.wait(name(number), "Running")
        begun_s = time.monotonic()
        unheard, last = number + 1 in UNHEARD, number == OWNERS
        if number in UNHEARD:
            rest(AWAY_S)
            relay.restore()
        life_s = lifetime(number)
        rest(begun_s + life_s - (LEAD_S + HEARD_S if unheard else LEAD_S) - time.monotonic())
        if not last:
            make(where, number + 1, target)
        if unheard:
            rest(HEARD_S)  # the agents know the pod, and nothing that comes after
            relay.cut()
        rest(begun_s + life_s - time.monotonic())
        if completes(number):
            pods.wait(name(number), "Succeeded")
        delete(where, name(number))
    return address


def delete(where: lab.Lab, which: str) -> None:
    """Tell a pod to go."""
    where.kubectl("delete", "pod", which, "-n", NAMESPACE, "--now", "--wait=false")


def rest(duration_s: float) -> None:
    """Do nothing for a while: the time is part of what is measured."""
    if duration_s > 0:
        threading.Event().wait(duration_s)


def lifetime(number: int) -> float:
    """Say how long an owner has traffic."""
    return LONG_LIFE_S if number in UNHEARD else LIFE_S


def completes(number: int) -> bool:
    """Whether an owner ends by itself; else it is deleted."""
    return number % 2 == 0


def name(number: int) -> str:
    """Name an owner, and its service account; 0 is the pod that it talks to."""
    return f"owner-{number:02}" if number else "other"


def meta(of: str) -> dict[str, Any]:
    """Name an object, in our namespace."""
    return {"name": of, "namespace": NAMESPACE}


def make(where: lab.Lab, number: int, target: str) -> None:
    """Make an owner's pod; it starts as soon as the address is free."""
    life_s = lifetime(number) if completes(number) else 0
    words = ["tests.traffic.owner", str(number), str(OWNER_PORT), target, str(OTHER_PORT), str(life_s)]
    where.kubectl("apply", "-f", "-", given=json.dumps(pod(number, words, "node-a")))


def other(target: str) -> dict[str, Any]:
    """Make the pod on the other node."""
    return pod(0, ["tests.traffic.owner", "0", str(OTHER_PORT), target, str(OWNER_PORT), "0"], "node-b")


def pod(number: int, words: list[str], node: str) -> dict[str, Any]:
    """Make a pod with its own service account."""
    made = churn.pod(name(number), words)
    made["metadata"] = meta(name(number))
    made["spec"] |= {"nodeName": node, "serviceAccountName": name(number), "terminationGracePeriodSeconds": 1}
    return made


def placeholder(number: int) -> dict[str, Any]:
    """Make a pod that has an address and says nothing."""
    made = churn.pod(f"held-{number}", [])
    made["metadata"] = meta(f"held-{number}")
    made["spec"]["containers"][0]["command"] = ["sleep", "infinity"]
    made["spec"]["terminationGracePeriodSeconds"] = 0
    return made


def wait_for_records(agents: dict[str, agent.Agent]) -> None:
    """Wait until the last owner's connections have been told: until nothing more of it comes."""

    def told() -> bool:
        before = [len(each.flows()) for each in agents.values()]
        rest(TOLD_S / 4)
        return before == [len(each.flows()) for each in agents.values()]

    with contextlib.suppress(TimeoutError):
        agent.wait_until(told, TOLD_S, "every record is there")


def judged(agents: dict[str, agent.Agent], address: str) -> Iterator[Judged]:
    """Give the owner's end of every connection whose bytes say whose it was."""
    for node, watched in agents.items():
        for flow in watched.flows():
            number, end, its_address = whose(flow)
            if number and its_address == address:
                yield Judged(number, node, walltime.parse(flow.start_time), end)


def whose(flow: flowjson.Flow) -> tuple[int, flowjson.Endpoint, str]:
    """Read from the bytes which owner it was, which end that is, and its address."""
    sent, received = flow.counters.sent_bytes, flow.counters.received_bytes
    if flow.type == "connection" and 0 < sent - owner.REQUEST_BYTES <= OWNERS:
        return sent - owner.REQUEST_BYTES, flow.source, flow.ip.source
    if flow.type == "connection" and sent == len(owner.QUESTION) and 0 < received - owner.REPLY_BYTES <= OWNERS:
        return received - owner.REPLY_BYTES, flow.destination, flow.ip.destination
    return 0, flow.source, ""


@dataclasses.dataclass
class Score:
    """How one method did."""

    right: int = 0
    wrong: int = 0
    silent: int = 0
    unnoticed: int = 0
    """Wrong, and the agent called it a match; or the other way round."""
    reasons: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    misjudged: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Reasons that are not the lab's, as "said, but was"."""

    def count(self, each: Judged, truth: Truth, method: str) -> None:
        """Judge one end."""
        said = each.says(method)
        if said is None:
            self.silent += 1
            return
        right = truth.is_right(each.number, said)
        self.right += right
        self.wrong += not right
        found = each.end.attribution
        if method not in METHODS or found is None:
            return
        prefix = "" if method == "ip" else "read_"
        match = getattr(found, f"{prefix}match")
        if match is verdicts.Match.UNCHECKED:
            return
        self.unnoticed += (match is verdicts.Match.SAME) is not right
        if not right:
            given, real = getattr(found, f"{prefix}mismatch_reason"), truth.reason(each.number, said)
            self.reasons[real] += 1
            if given is not real:
                self.misjudged[f"{given}, but was {real}"] += 1


def judge(found: Iterable[Judged], truth: Truth, took_s: float, said: str) -> verdict.Verdict:
    """Hold every answer against what the lab knows."""
    scores = {method: Score() for method in ("kernel", "handshake", *METHODS)}
    ends: collections.Counter[tuple[str, int]] = collections.Counter()
    for each in found:
        ends[each.node, each.number] += 1
        for method, score in scores.items():
            score.count(each, truth, method)
    total, complete = sum(ends.values()), len(ends) == 2 * OWNERS
    kernel, proven = scores["kernel"], scores["handshake"]
    looked = [scores[method] for method in METHODS]
    sound = all(not each.unnoticed and not each.misjudged for each in looked)
    here = sum(count for (node, _), count in ends.items() if node == "node-a")
    return verdict.Verdict(
        holds=complete
        and took_s <= LIMIT_S
        and kernel.wrong == proven.wrong == 0
        and kernel.right == here
        and proven.right > 0
        and sound
        and all(each.wrong for each in looked),
        figure=f"{kernel.wrong} of {kernel.right} ends misattributed by kernel, {proven.wrong} of {proven.right} by "
        f"handshake; by address {looked[0].wrong} of {total} at the time, {looked[1].wrong} when read",
        lines=(
            f"{OWNERS} owners of one address in {took_s:.0f} s; {total} connections told, {here} by the owners' node",
            f"every owner told by both nodes: {'yes' if complete else 'NO'}",
            f"handshake said nothing of {total - here - proven.right - proven.wrong} of the other node's",
            *(line(method, scores[method]) for method in METHODS),
            f"ipseity mismatches: {said.splitlines()[0]}",
            *(f"  {row}" for row in said[said.rfind("how long") :].splitlines()),
        ),
    )


def line(method: str, score: Score) -> str:
    """Say how a look-up did."""
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(score.reasons.items()))
    wrong = ", ".join(f"{text}: {count}" for text, count in score.misjudged.items()) or "0"
    judged_of = sum(score.reasons.values())
    return (
        f"{method}: {score.right} right, {score.wrong} wrong, {judged_of} of these checked: {why or '-'}; "
        f"unnoticed {score.unnoticed}; reasons that are not the lab's: {wrong}"
    )
