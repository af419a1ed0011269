"""The ring buffer of a real map, filled by real connections: many times its size goes through it, in order.

Left out: a ring that nobody reads (test_bad_input).
"""

from agent import model, wire
from tests.scene import counted

RING_BYTES = 4096
FITS = RING_BYTES // (wire.CONNECTION_RECORD.itemsize + 8)
"""Records with their headers."""
ROUNDS, EACH = 13, 11
"""Both ends write a record: 22 a round, 286 in all, so that the data wraps nine times, mostly inside a record."""
CODE = f"""
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
for number in range({EACH}):
    client = socket.create_connection(server.getsockname())
    served = server.accept()[0]
    client.sendall(bytes(int(sys.argv[1]) * {EACH} + number + 1))
    client.close()
    while served.recv(4096):
        pass
    served.close()
"""


def test_records_come_whole_and_in_order_however_often_the_ring_wraps() -> None:
    """Each connection sent one byte more than the one before: none is missing, none is damaged, none comes twice."""
    assert 2 * EACH < FITS < 2 * EACH * ROUNDS
    seen: list[int] = []
    with counted.programs("ring-wraps", ring_bytes=RING_BYTES) as ours:
        for turn in range(ROUNDS):
            ours.run(CODE, str(turn))
            seen += [each.counters.sent_bytes for each in ours.connections(model.Direction.EGRESS)]
        assert 0 == ours.kernel.losses()["record_ring_full"]
    assert list(range(1, ROUNDS * EACH + 1)) == seen


def test_a_full_ring_that_is_read_again_goes_on_whole() -> None:
    """What did not fit is lost and counted; what comes after the reading is there."""
    with counted.programs("ring-full", ring_bytes=RING_BYTES) as ours:
        for turn in range(3):
            ours.run(CODE, str(turn))
        assert FITS == len(ours.kernel.records())
        lost = ours.kernel.losses()["record_ring_full"]
        assert 3 * 2 * EACH - FITS == lost
        ours.run(CODE, "3")
        sent = [each.counters.sent_bytes for each in ours.connections(model.Direction.EGRESS)]
        assert list(range(3 * EACH + 1, 4 * EACH + 1)) == sent
        assert lost == ours.kernel.losses()["record_ring_full"]


def test_no_more_than_asked_for_is_taken() -> None:
    """A reading is bounded; the rest waits for the next one."""
    with counted.programs("ring-bounded", ring_bytes=RING_BYTES) as ours:
        ours.run(CODE, "0")
        ring = ours.kernel._records
        taken = [len(ring.read(most)) for most in (7, 0, 13, 65536, 65536)]
    assert [7, 0, 13, 2 * EACH - 20, 0] == taken
