"""The workload whose every count is known: primes, each way through the kernel, each way to end and to fail.

Here because proofs, kernel tests and functional tests compare with the same truth.
"""

from tests.scene import room
from tests.traffic import plan

PORT = 7001
"""Where everything is answered in order."""
RESET_PORT = 7013
"""Where connections are reset, so that they are an edge of their own."""
CLOSED_PORT = 7019
"""Where nobody listens."""
CONNECTIONS = 23
REFUSED, TIMED_OUT, RESET, UNREACHABLE = 7, 5, 3, 2
DATAGRAMS = 17


def orderly(callee: room.Room) -> list[plan.Step]:
    """Return 23 connections that all end in order, over IPv4, IPv6 and IPv4-mapped sockets."""
    four, six = callee.address4, callee.address6
    by, end, exchange = plan.By, plan.End, plan.Exchange
    return [
        exchange(address=four, port=PORT, count=5, request_bytes=4099, reply_bytes=10007),
        exchange(address=six, port=PORT, count=3, request_bytes=5003, reply_bytes=7919, end=end.SERVER),
        exchange(address=four, port=PORT, count=3, request_bytes=127, reply_bytes=0, end=end.HALF, mapped=True),
        exchange(address=six, port=PORT, count=3, request_bytes=1009, reply_bytes=300007, end=end.HALF),
        exchange(address=four, port=PORT, count=3, request_bytes=200003, reply_bytes=199999, by=by.SENDFILE),
        exchange(
            address=six, port=PORT, count=3, request_bytes=100003, reply_bytes=99991, by=by.SPLICE, end=end.SERVER
        ),
        exchange(address=four, port=PORT, count=2, request_bytes=1000003, reply_bytes=31, by=by.SPLICE, mapped=True),
        exchange(address=six, port=PORT, count=1, request_bytes=23, reply_bytes=3000017, by=by.SENDFILE),
    ]


def failing(callee: room.Room) -> list[plan.Step]:
    """Return connections that fail or break: 7 refused, 5 timed out, 3 reset (by either side), 2 unreachable."""
    four, six = callee.address4, callee.address6
    end, exchange, attempt = plan.End, plan.Exchange, plan.Attempt
    return [
        attempt(address=four, port=CLOSED_PORT, count=5),
        attempt(address=six, port=CLOSED_PORT, count=2),
        attempt(address=room.SILENT[0], port=PORT, count=2),
        attempt(address=room.SILENT[0], port=RESET_PORT, count=1),
        attempt(address=room.SILENT[1], port=PORT, count=2),
        exchange(address=four, port=RESET_PORT, count=1, request_bytes=2003, reply_bytes=1501, end=end.CLIENT_RESETS),
        exchange(address=six, port=RESET_PORT, count=2, request_bytes=2003, reply_bytes=1501, end=end.SERVER_RESETS),
        attempt(address=room.UNREACHABLE[0], port=PORT, count=1),
        attempt(address=room.UNREACHABLE[1], port=PORT, count=1),
    ]


def datagrams(callee: room.Room) -> list[plan.Step]:
    """Return 17 datagrams each way, from connected and unconnected sockets."""
    ask = plan.Datagrams
    return [
        ask(address=callee.address4, port=PORT, count=11, request_bytes=101, reply_bytes=211),
        ask(address=callee.address6, port=PORT, count=6, request_bytes=307, reply_bytes=1201, connected=False),
    ]
