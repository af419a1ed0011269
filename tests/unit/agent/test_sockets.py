"""What a sweep makes of its dumps. Left out: the dumps themselves (tests/functional/agent/test_sockets.py)."""

from agent import model, sockets


def open_socket(cookie: int, sent: int) -> model.OpenSocket:
    return model.OpenSocket(
        cookie=cookie,
        netns=model.NetnsCookie(1),
        cgroup=model.CgroupId(7),
        state=sockets.ESTABLISHED,
        local=bytes(16),
        remote=bytes(16),
        local_port=40000,
        remote_port=80,
        moved=model.Moved(sent, 0, 0, 0, 0),
    )


def test_a_socket_that_a_dump_tells_twice_is_counted_once() -> None:
    """It was pushed on in its bucket between two pieces of the dump; what it said last holds."""
    assert [open_socket(3, 13), open_socket(5, 17)] == sockets._once(
        [open_socket(3, 11), open_socket(5, 17), open_socket(3, 13)]
    )
