"""The log's chain and its files: what shows, what survives a crash, what a full disk does. Leaves out who writes."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from injector import errors
from injector.identity import issuance, issuelog

ENTRY = issuance.Entry(
    time_s=1_795_350_000,
    serial="0f" * 16,
    spiffe_id="spiffe://cluster.local/ns/rec/sa/app",
    namespace="rec",
    pod="bare",
    pod_uid="464ba0a2",
    not_before_s=1_795_349_980,
    not_after_s=1_795_436_400,
    issuer="a" * 64,
    anchor="b" * 64,
    trusted=("b" * 64,),
)


@contextlib.asynccontextmanager
async def written_to(log: issuelog.IssuanceLog) -> AsyncIterator[issuelog.IssuanceLog]:
    log.open()
    task = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        log.close()


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def chained(count: int) -> list[bytes]:
    lines, head = [], issuance.Head()
    for _ in range(count):
        line, head = issuance.chain(head, ENTRY)
        lines.append(line)
    return lines


def test_a_whole_log_holds() -> None:
    """Of 23 lines, none of which anybody touched."""
    verdict = issuance.verify(chained(23))
    assert (True, 23, 1, 23) == (verdict.holds, verdict.lines, verdict.first_seq, verdict.head.seq)
    assert issuance.verify(chained(23), verdict.head).holds
    assert verdict.head == issuance.Head.parse(str(verdict.head))


@pytest.mark.parametrize("place", [0, 1, 7, 21])
def test_a_line_that_was_removed_changed_swapped_or_doubled_shows(place: int) -> None:
    """Anywhere but at the end; the first line may be missing only as rotation would have it."""
    lines = chained(23)
    without = lines[:place] + lines[place + 1 :]
    swapped = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
    doubled = [*lines[:place], lines[place], *lines[place:]]
    changed = [*lines[:place], lines[place].replace(b"bare", b"evil"), *lines[place + 1 :]]
    assert place == 0 or not issuance.verify(without).holds
    assert [False] * 3 == [issuance.verify(each).holds for each in (swapped, doubled, changed)]


def test_an_end_that_was_removed_shows_by_the_published_hash() -> None:
    """The chain alone cannot tell."""
    lines = chained(23)
    head = issuance.verify(lines).head
    assert issuance.verify(lines[:-1]).holds
    assert not issuance.verify(lines[:-1], head).holds
    assert not issuance.verify([], head).holds
    assert issuance.verify(lines, issuance.verify(lines[:11]).head).holds


def test_a_log_whose_oldest_files_are_gone_says_where_it_begins() -> None:
    """Nothing is known about what was before; what was published of it cannot be checked any more."""
    verdict = issuance.verify(chained(23)[5:], issuance.verify(chained(3)).head)
    assert (True, 6, 18) == (verdict.holds, verdict.first_seq, verdict.lines)


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff\xfe", b"[" * 5000, b'{"seq":1}'])
def test_a_line_that_is_none_is_a_break(line: bytes) -> None:
    """And no crash, whatever is in it."""
    lines = chained(5)
    assert not issuance.verify([*lines[:2], line, *lines[3:]]).holds
    assert 4 == len(list(issuance.unexpired([*lines[:2], line, *lines[3:]], now_s=0)))


def test_what_is_over_needs_no_memory() -> None:
    """A start recalls what is still valid."""
    assert [] == list(issuance.unexpired(chained(3), now_s=ENTRY.not_after_s))
    assert 3 == len(list(issuance.unexpired(chained(3), now_s=ENTRY.not_after_s - 1)))


async def test_lines_written_together_are_a_chain(tmp_path: Path) -> None:
    """67 at once, then a second life of the process, then 3 more."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await asyncio.gather(*(log.append(ENTRY) for _ in range(67)))
    async with written_to(issuelog.IssuanceLog(path)) as log:
        assert 67 == log.head.seq
        await asyncio.gather(*(log.append(ENTRY) for _ in range(3)))
    verdict = issuance.verify(issuelog.lines(path), log.head)
    assert (True, 70) == (verdict.holds, verdict.lines)


async def test_the_chain_goes_on_over_files(tmp_path: Path) -> None:
    """Three files of some lines each; what was before them is gone, and said."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path, max_bytes=3000, files=3)) as log:
        for _ in range(37):
            await log.append(ENTRY)
    assert {"issuance.log", "issuance.log.1", "issuance.log.2"} == names_in(tmp_path)
    verdict = issuance.verify(issuelog.lines(path), log.head)
    assert verdict.holds
    assert 37 == verdict.head.seq == verdict.first_seq + verdict.lines - 1
    assert verdict.first_seq > 1


async def test_a_crash_right_after_the_rotation_loses_no_head(tmp_path: Path) -> None:
    """The file is empty then, and the chain is in the one before."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
    path.rename(tmp_path / "issuance.log.1")
    async with written_to(issuelog.IssuanceLog(path)) as again:
        assert log.head == again.head


@pytest.mark.parametrize("cut", [1, 100, 300])
async def test_a_torn_line_is_cut_off_and_said(tmp_path: Path, cut: int) -> None:
    """It was never answered with a certificate."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
        await log.append(ENTRY)
    os.truncate(path, path.stat().st_size - cut)
    async with written_to(issuelog.IssuanceLog(path)) as log:
        assert log.torn_bytes > 0
        assert 1 == log.head.seq
        await log.append(ENTRY)
    assert (True, 2) == ((found := issuance.verify(issuelog.lines(path))).holds, found.lines)


async def test_a_log_that_is_only_a_torn_line_begins_anew(tmp_path: Path) -> None:
    """The very first write was interrupted."""
    path = tmp_path / "issuance.log"
    path.write_bytes(b'{"time_s":17')
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
    assert (12, True) == (log.torn_bytes, issuance.verify(issuelog.lines(path)).holds)


def test_a_process_that_is_killed_leaves_a_log_that_holds(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing; every line that was acknowledged is there."""
    path = tmp_path / "issuance.log"
    program = (
        "import asyncio, pathlib, sys\n"
        "from injector.identity import issuelog\n"
        "from tests.unit.injector.identity.test_issuelog import ENTRY\n"
        "async def main():\n"
        "    log = issuelog.IssuanceLog(pathlib.Path(sys.argv[1])); log.open()\n"
        "    task = asyncio.create_task(log.run())\n"
        "    while True:\n"
        "        await log.append(ENTRY); print(log.head, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(23)]
    process.send_signal(signal.SIGKILL)
    seen += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    log = issuelog.IssuanceLog(path)
    log.open()
    log.close()
    acknowledged = [each for each in seen if each.endswith("\n")]
    assert issuance.verify(issuelog.lines(path), issuance.Head.parse(acknowledged[-1].strip())).holds


async def test_a_full_disk_fails_closed_and_mends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged, what was half written is taken back, and the chain goes on when there is room again."""
    path = tmp_path / "issuance.log"
    room = 1500
    real = os.write

    def limited(fd: int, data: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(fd, data[:room])
        room -= done
        return done

    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
        monkeypatch.setattr(issuelog.os, "write", limited)
        results = await asyncio.gather(*(log.append(ENTRY) for _ in range(7)), return_exceptions=True)
        assert 7 == sum(isinstance(each, issuelog.LogFailed) for each in results) == log.failures
        assert 1 == log.head.seq
        room = 10**9
        await log.append(ENTRY)
    assert (True, 2) == ((found := issuance.verify(issuelog.lines(path), log.head)).holds, found.lines)


async def test_a_disk_that_cannot_sync_fails_closed_and_mends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did not promise to keep is not counted on, even where it can be read."""
    path = tmp_path / "issuance.log"

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
        with monkeypatch.context() as patch:
            patch.setattr(issuelog.os, "fdatasync", broken)
            patch.setattr(issuelog.os, "ftruncate", lambda fd, size: broken(fd))
            with pytest.raises(issuelog.LogFailed):
                await log.append(ENTRY)
        await log.append(ENTRY)
    assert (True, 2) == ((found := issuance.verify(issuelog.lines(path), log.head)).holds, found.lines)


async def test_a_log_that_somebody_moved_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """As logrotate does; the chain is one."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
        path.rename(tmp_path / "issuance.log.1")
        await log.append(ENTRY)
    assert (True, 2) == ((found := issuance.verify(issuelog.lines(path), log.head)).holds, found.lines)


async def test_a_log_that_somebody_replaced_is_not_written(tmp_path: Path) -> None:
    """Its end is not where ours was: nothing is signed until somebody looked."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)) as log:
        await log.append(ENTRY)
        await log.append(ENTRY)
        for other in (chained(1)[0] + b"\n", b"my notes\n"):
            path.unlink()
            path.write_bytes(other)
            with pytest.raises(issuelog.LogFailed, match="issuance log"):
                await log.append(ENTRY)
            assert other == path.read_bytes()


async def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    """The second does not start."""
    path = tmp_path / "issuance.log"
    async with written_to(issuelog.IssuanceLog(path)):
        with pytest.raises(errors.CannotRun, match="another process"):
            issuelog.IssuanceLog(path).open()


def test_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    """A wrong path must not cost somebody a file."""
    path = tmp_path / "notes.txt"
    for content in (b"my notes\n", b"my notes", b"my\nnotes", b"{}\nnotes"):
        path.write_bytes(content)
        with pytest.raises(errors.CannotRun, match="none of an issuance log"):
            issuelog.IssuanceLog(path).open()
        assert content == path.read_bytes()
    with pytest.raises(errors.CannotRun, match="cannot open"):
        issuelog.IssuanceLog(tmp_path / "no" / "where").open()
