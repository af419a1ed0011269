"""Connections that one side closes first: payload is counted to the byte, whatever way it ends.

The client has said all (its FIN is out) and still receives. Left out: a close that aborts such a connection
(docs/limitations.md), and orderly ends (tests/prove/exact_counts.py).
"""

import collections
from collections.abc import Iterator

import pytest

from agent import model
from tests.scene import counted

TIMES = 7
ASKED, ANSWERED = 503, 1009
BEGIN = f"""
import socket
server = socket.create_server(("127.0.0.1", 0))
reset = b"\\1" + bytes(7)
for _ in range({TIMES}):
    client = socket.create_connection(server.getsockname())
    served = server.accept()[0]
    client.sendall(bytes({ASKED}))
    client.shutdown(socket.SHUT_WR)
    assert {ASKED} == len(served.recv({ASKED}, socket.MSG_WAITALL))
"""
READ = f"    assert {ANSWERED} == len(client.recv({ANSWERED}, socket.MSG_WAITALL))\n"
SAY_AFTER_EOF = f"    assert served.recv(1) == b''\n    served.sendall(bytes({ANSWERED}))\n"
SAY_AND_END_TOGETHER = f"""
    served.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    served.sendall(bytes({ANSWERED}))
    served.close()
"""
RESET = "    served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)\n    served.close()\n"
EOF = "    assert client.recv(1) == b''\n"
ERROR = """
    try:
        client.recv(1)
        raise SystemExit("no reset")
    except ConnectionResetError:
        pass
"""
CLOSE = "    client.close()\n    served.close()\n"


@pytest.fixture(scope="module")
def programs() -> Iterator[counted.Counted]:
    """Count in a cgroup of our own."""
    with counted.programs("half-close") as ours:
        yield ours


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        pytest.param(SAY_AFTER_EOF + READ + "    served.close()\n" + EOF + CLOSE, "closed", id="waits for the end"),
        pytest.param(SAY_AFTER_EOF + READ + CLOSE, "closed", id="knows the length and does not wait"),
        pytest.param(SAY_AND_END_TOGETHER + READ + EOF + CLOSE, "closed", id="last data and end in one segment"),
        pytest.param("    served.close()\n" + EOF + CLOSE, "closed", id="no answer"),
        pytest.param(CLOSE, "closed", id="no answer and no wait"),
        pytest.param(SAY_AFTER_EOF + READ + RESET + ERROR + CLOSE, "reset", id="the peer resets"),
    ],
)
def test_what_a_half_closed_connection_received_is_exact(programs: counted.Counted, steps: str, reason: str) -> None:
    """The peer's FIN takes a sequence number and is no payload; where none came, none is taken off."""
    programs.run(BEGIN + steps)
    found = [
        (each.counters.sent_bytes, each.counters.received_bytes, each.end_reason)
        for each in programs.connections(model.Direction.EGRESS)
    ]
    answered = ANSWERED if "sendall" in steps else 0
    assert {(ASKED, answered, reason): TIMES} == collections.Counter(found)
