"""Connections that neither begin nor end as most do: each is still one connection of one edge, counted to the byte.

Left out: half-closed connections (``test_half_close``) and orderly ones (tests/prove/exact_counts.py).
"""

from agent import model
from tests.scene import counted

TIMES = 3
SENT = 11
CALLS_ITSELF = f"""
import socket
for _ in range({TIMES}):
    with socket.socket() as both:
        both.bind(("127.0.0.1", 0))
        both.connect(both.getsockname())
        both.sendall(bytes({SENT}))
        assert {SENT} == len(both.recv({SENT}, socket.MSG_WAITALL))
"""
CLOSED_WINDOW = f"""
import fcntl, socket, struct
SIOCOUTQ, SIOCOUTQNSD = 0x5411, 0x894B
def waits(connection, what):
    return struct.unpack("i", fcntl.ioctl(connection, what, bytes(4)))[0]
server = socket.create_server(("127.0.0.1", 0))
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
for _ in range({TIMES}):
    client = socket.create_connection(server.getsockname())
    served = server.accept()[0]
    client.setblocking(False)
    sent = 0
    while not sent or waits(client, SIOCOUTQ) != waits(client, SIOCOUTQNSD):
        try:
            sent += client.send(bytes(65536))
        except BlockingIOError:
            pass
    served.shutdown(socket.SHUT_WR)
    client.setblocking(True)
    assert client.recv(1) == b""
    print(sent - waits(client, SIOCOUTQ))
    client.close()
    served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1" + bytes(7))
    served.close()
"""


def test_a_socket_that_calls_itself_is_one_connection() -> None:
    """A simultaneous open is established as if it were passive; it is one call, and its slot is free afterwards."""
    with counted.programs("self") as ours:
        ours.run(CALLS_ITSELF)
        found = [each.counters for each in ours.edges()]
        assert [(1, 1, SENT, SENT)] * TIMES == [
            (each.opened, each.closed, each.sent_bytes, each.received_bytes) for each in found
        ]
        assert not any(any(each.failed) for each in found)
        assert 0 == len(ours.kernel.connections())


def test_a_fin_that_waits_behind_a_closed_window_is_no_payload_and_not_taken_off() -> None:
    """All that was sent was acknowledged, but the FIN was not sent: a reset then must not cost a byte."""
    with counted.programs("closed-window") as ours:
        acknowledged = [int(line) for line in ours.run(CLOSED_WINDOW).split()]
        found = ours.connections(model.Direction.EGRESS)
        assert [(count, "reset") for count in acknowledged] == [
            (each.counters.sent_bytes, each.end_reason) for each in found
        ]
