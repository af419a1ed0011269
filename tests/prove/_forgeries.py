"""Handshakes that are forged, kind by kind: what was sent, what was counted, what was believed.

Two rooms on one wire; one has a TCP stack of its own (``tests.traffic.forger``). Here because the same is measured on
this machine's kernel and on those of ``make kernels``, with Debian's Python and numpy alone.
"""

import contextlib
import dataclasses
import itertools
import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

from agent import wire
from tests.scene import handshake, room
from tests.traffic import forger

COUNT = 1000
PORT, GENUINE_PORT, FORGED_PORT = 7001, 7002, 7003
PORTS = itertools.count(10_000)
"""To call from: none twice, since what a connection leaves behind is not what is measured."""
ADDRESSES = ("10.203.0.1", "10.203.0.2")
CALL_AND_RESET = """
import socket, struct, sys
for _ in range(int(sys.argv[3])):
    with socket.socket() as client:
        client.settimeout(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.connect((sys.argv[1], int(sys.argv[2])))
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to forge."""

    name: str
    sent: int
    """Handshakes begun."""
    expected: dict[str, int]
    """What is to be counted, by name."""
    counted: dict[str, int]
    believed: int
    known: int
    """Connections that the programs followed to their end: as many as were completed."""
    completed: int

    @property
    def holds(self) -> bool:
        """Nothing was believed, and everything was counted."""
        return self.believed == 0 and self.counted == self.expected and self.known == self.completed and self.sent > 0

    def line(self) -> str:
        """In words."""
        counted = ", ".join(f"{name} {count}" for name, count in self.counted.items() if count)
        return (
            f"{self.name:62} {self.sent} sent, {self.completed} completed: {self.believed} believed, counted {counted}"
        )


def measure(count: int = COUNT) -> Iterator[Kind]:
    """Forge in every way."""
    chance = random.Random(7)
    with handshake.street("forgery") as street, contextlib.ExitStack() as stack:
        stack.enter_context(room.talking(street.callee, handshake.SERVE, str(PORT)))
        stack.enter_context(room.talking(street.caller, handshake.SERVE, str(GENUINE_PORT)))
        for where in (street.caller, street.callee):
            silence(where)
        genuine = overheard(street, count)
        other_isn = [{**each, "isn": each["isn"] ^ 0x5A5A5A5A} for each in genuine]
        random_mac = [
            {"isn": chance.getrandbits(32), "syn": any_mac(chance), "ack": any_mac(chance)} for _ in range(count)
        ]
        full = {"complete": True}
        yield forge(street, "a SYN with a random MAC", random_mac, forged=count)
        yield forge(street, "a SYN with another pod's option and another number", other_isn, forged=count)
        yield forge(street, "another pod's SYN, copied again and again", genuine[-1:] * count, forged=count)
        yield forge(street, "a SYN with a random MAC from a raw IP socket", raw(random_mac), forged=count, raw=count)
        yield forge(street, "a handshake with random MACs", with_all(random_mac, full), forged=2 * count)
        yield forge(
            street, "a handshake with another pod's options, other numbers", with_all(other_isn, full), forged=2 * count
        )
        for name, ack, expected in (
            ("a copied SYN on a node that never saw it, then no proof", {"ack": ""}, {"unproven": count}),
            ("a copied SYN on a node that never saw it, then the copied proof", {}, {"forged": count}),
        ):
            yield forge(street, name, with_all(genuine, full | ack), forget=True, **expected)
        yield forged_server(street, "a SYN-ACK with random MACs", [each["syn"] for each in random_mac])
        yield forged_server(street, "a SYN-ACK with another pod's option", [each["ack"] for each in genuine])


def any_mac(chance: random.Random) -> str:
    """Claim to be the callee, signed with nothing."""
    return forger.option(*handshake.CALLEE, chance.getrandbits(32)).hex()


def with_all(orders: list[dict[str, Any]], more: dict[str, Any]) -> list[dict[str, Any]]:
    """Say more in every order."""
    return [order | more for order in orders]


def raw(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Have them sent with a raw IP socket."""
    return with_all(orders, {"raw": True})


def silence(where: room.Room) -> None:
    """Keep the room's kernel from resetting what the forger does. The rules go with the room."""
    enter = ["ip", "netns", "exec", where.name, "nft", "-f", "-"]
    subprocess.run(enter, input=forger.SILENCE, text=True, check=True)


def overheard(street: handshake.Street, count: int) -> list[dict[str, Any]]:
    """Have the callee call in earnest, and listen: options of another pod, as they were on the wire."""
    with start(street.caller, "listen", *ADDRESSES, count) as listening:
        street.callee.run("python3", "-c", handshake.CALL, ADDRESSES[0], str(GENUINE_PORT), str(count))
        found: list[dict[str, Any]] = json.loads(listening.communicate(timeout=300)[0])
    if count != sum(each.peer == handshake.CALLEE for each in street.ends(2 * count)):
        raise RuntimeError("the genuine handshakes were not believed")
    for each in found:
        _, _, _, tag, pod, mac = forger.read_option(bytes.fromhex(each["syn"]))
        if (tag, pod) != handshake.CALLEE or mac != handshake.mac(handshake.CALLEE, each["isn"], 0):
            raise RuntimeError(f"an option is not signed as it should be: {each}")
    if len(found) != count:
        raise RuntimeError(f"{len(found)} of {count} handshakes were overheard")
    return found


def forge(
    street: handshake.Street, name: str, orders: list[dict[str, Any]], *, forget: bool = False, **expected: int
) -> Kind:
    """Send them from the caller's room to the callee's server."""
    if forget:
        street.clear("syns_seen")
    before = street.handshake_losses()
    calls = [{**order, "port": next(PORTS)} for order in orders]
    with start(street.caller, "call", *ADDRESSES, PORT, reads=json.dumps(calls)) as forging:
        did = json.loads(forging.communicate(timeout=300)[0])
    return judge(street, name, sent=len(orders), completed=did["completed"], before=before, expected=expected)


def forged_server(street: handshake.Street, name: str, options: list[str]) -> Kind:
    """Answer the caller's genuine calls from a stack of its own in the callee's room."""
    before = street.handshake_losses()
    with start(street.callee, "serve", *reversed(ADDRESSES), FORGED_PORT) as serving:
        assert serving.stdin is not None
        serving.stdin.write(json.dumps(options) + "\n")
        serving.stdin.flush()
        assert serving.stdout is not None
        assert serving.stdout.readline() == "ready\n"
        street.caller.run("python3", "-c", CALL_AND_RESET, ADDRESSES[1], str(FORGED_PORT), str(len(options)))
        did = json.loads(serving.communicate(timeout=300)[0])
    expected = {"forged": len(options)}
    return judge(street, name, sent=len(options), completed=did["answered"], before=before, expected=expected)


def judge(  # what was done, and what was there before
    street: handshake.Street,
    name: str,
    *,
    sent: int,
    completed: int,
    before: dict[str, int],
    expected: dict[str, int],
) -> Kind:
    """Read what came of it."""
    ends = [each for each in street.ends(completed) if each.established]
    after = street.handshake_losses()
    return Kind(
        name=name,
        sent=sent,
        expected={kind: expected.get(kind, 0) for kind in after},
        counted={kind: after[kind] - before[kind] for kind in after},
        believed=sum(each.peer != (0, 0) or each.told == wire.TOLD_PROVEN for each in ends),
        known=len(ends),
        completed=completed,
    )


@contextlib.contextmanager
def start(where: room.Room, *words: str | int, reads: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run the forger in a room; what it reads is given at once, or by whoever asked for it."""
    command = where.command(*room.python("tests.traffic.forger", *map(str, words)))
    with subprocess.Popen(
        command, cwd=room.clone.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdin is not None
            if reads:
                running.stdin.write(reads)
                running.stdin.close()
                running.stdin = None
            elif words[0] == "listen":
                assert running.stdout is not None
                assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()
