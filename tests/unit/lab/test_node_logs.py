"""Container logs as files. Leaves out HTTP: the functional tests have that."""

import asyncio
import itertools
import pathlib

from comparisons.lab import logs


def writer(path: pathlib.Path) -> logs.Writer:
    """Make a log whose clock counts lines."""
    ticks = itertools.count()
    return logs.Writer(path, lambda: f"t{next(ticks)}")


def test_lines_of_both_streams(tmp_path: pathlib.Path) -> None:
    """Time, stream, tag, text; a line may come in pieces; the last one need not end."""
    log = writer(tmp_path / "a" / "0.log")
    log.take("stdout", b"one\ntw")
    log.take("stderr", b"oops\n")
    log.take("stdout", b"o\nthree")
    log.close()
    expected = [b"t0 stdout F one", b"t1 stderr F oops", b"t2 stdout F two", b"t3 stdout F three"]
    assert expected == list(logs.lines(tmp_path / "a" / "0.log"))
    assert b"".join(logs.plain(line) for line in expected) == b"one\noops\ntwo\nthree\n"
    assert logs.plain(expected[0], timestamps=True) == b"t0 one\n"


def test_long_lines_are_parts(tmp_path: pathlib.Path) -> None:
    """What was one line is one line again when it is read."""
    log = writer(tmp_path / "0.log")
    text = b"x" * (2 * logs.LINE_BYTES + 5)
    log.take("stdout", text[:100])
    log.take("stdout", text[100:] + b"\n")
    log.close()
    assert b"".join(logs.plain(line) for line in logs.lines(tmp_path / "0.log")) == text + b"\n"


def test_log_is_bounded(tmp_path: pathlib.Path) -> None:
    """When it is full it becomes the older half; the newest lines are always there."""
    log = writer(tmp_path / "0.log")
    line = b"y" * 1000 + b"\n"
    for _ in range(25):
        log.take("stdout", line * 1000)
    log.take("stdout", b"last\n")
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= logs.MAX_BYTES
    assert logs.plain(list(logs.lines(tmp_path / "0.log"))[-1]) == b"last\n"


async def test_following_ends_with_the_container(tmp_path: pathlib.Path) -> None:
    """What comes after the question is told until no more will come."""
    log = writer(tmp_path / "0.log")
    log.take("stdout", b"before\n")
    over = asyncio.Event()
    found: list[bytes] = []

    async def follow() -> None:
        async for line in logs.follow(tmp_path / "0.log", over.is_set):
            found.append(logs.plain(line))
            over.set()

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    log.take("stdout", b"after\n")
    await asyncio.wait_for(task, 5)
    log.close()
    assert found == [b"after\n"]


def test_path_is_the_kubelets() -> None:
    """/var/log/pods/NAMESPACE_NAME_UID/CONTAINER/RESTARTS.log."""
    assert str(logs.path(pathlib.Path("/l"), "n", "p", "u", "c", 2)) == "/l/n_p_u/c/2.log"
