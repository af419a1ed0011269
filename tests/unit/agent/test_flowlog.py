"""agent/flowlog and agent/linefile: a log that survives its disk.

Left out: the format (test_flowjson.py); a file system that is really full (tests/functional/agent/test_full_disk.py).
"""

import json
import logging
import os
import pathlib
import resource
import shutil
import threading
from collections.abc import Iterator

import pytest

from agent import flowlog, linefile, model
from tests.fakes import flows

PATIENCE_S = 20


def new(path: pathlib.Path, *, max_bytes: int = 10**9, files: int = 3) -> flowlog.FlowLog:
    return flowlog.FlowLog(path, max_bytes=max_bytes, files=files, node_name="node-a")


def parsed(path: pathlib.Path) -> list[dict[str, object]]:
    """Read every line; fails if one is not whole."""
    text = path.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Let no file grow beyond 5,003 bytes: the kernel takes a part of a line and refuses the rest."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5003, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_writes_one_line_per_flow(tmp_path: pathlib.Path) -> None:
    """23 flows are 23 lines, in order."""
    log = new(tmp_path / "flows.jsonl")
    log.write([flows.edge(port=port) for port in range(1, 24)])
    assert log.close(PATIENCE_S)
    ports = [line["l4"]["TCP"]["destination_port"] for line in parsed(tmp_path / "flows.jsonl")]
    assert list(range(1, 24)) == ports
    assert (23, {}) == (log.written, log.drops)


def test_goes_on_with_an_existing_log(tmp_path: pathlib.Path) -> None:
    """A restarted agent appends."""
    for _ in range(2):
        log = new(tmp_path / "flows.jsonl")
        log.write([flows.edge()])
        log.close(PATIENCE_S)
    assert len(parsed(tmp_path / "flows.jsonl")) == 2


@pytest.mark.parametrize("torn", [b'{"time":"2026', b"x" * 200_000])
def test_a_torn_line_of_a_crash_is_cut_off(tmp_path: pathlib.Path, torn: bytes) -> None:
    """What a killed agent left half-written does not spoil the next line."""
    path = tmp_path / "flows.jsonl"
    path.write_bytes(b'{"whole":1}\n' + torn)
    log = new(path)
    log.write([flows.edge()])
    log.close(PATIENCE_S)
    assert [{"whole": 1}] == parsed(path)[:1]
    assert len(parsed(path)) == 2


def test_rotates_by_renaming(tmp_path: pathlib.Path) -> None:
    """Never more than the files asked for, none longer than asked, the newest lines kept, each whole."""
    path = tmp_path / "flows.jsonl"
    log = new(path, max_bytes=4096, files=3)
    for port in range(1, 98):
        log.write([flows.edge(port=port)])
    log.close(PATIENCE_S)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["flows.jsonl", "flows.jsonl.1", "flows.jsonl.2"]
    lines = [line for name in reversed(names) for line in parsed(tmp_path / name)]
    ports = [line["l4"]["TCP"]["destination_port"] for line in lines]
    assert list(range(98 - len(ports), 98)) == ports
    assert all((tmp_path / name).stat().st_size <= 4096 for name in names)


def test_one_file_starts_anew(tmp_path: pathlib.Path) -> None:
    """With files=1 the log is emptied instead of renamed."""
    path = tmp_path / "flows.jsonl"
    log = new(path, max_bytes=4096, files=1)
    log.write([flows.edge()] * 23)
    log.close(PATIENCE_S)
    assert [path] == list(tmp_path.iterdir())
    assert path.stat().st_size <= 4096


def test_a_moved_log_is_made_again(tmp_path: pathlib.Path) -> None:
    """Logrotate may move the file away at any time."""
    path = tmp_path / "flows.jsonl"
    log = new(path)
    log.write([flows.edge()])
    assert log.flush(PATIENCE_S)
    path.rename(tmp_path / "elsewhere")
    log.write([flows.edge()])
    log.close(PATIENCE_S)
    assert (1, 1) == (len(parsed(path)), len(parsed(tmp_path / "elsewhere")))


@pytest.mark.usefixtures("file_limit")
def test_a_line_taken_in_part_is_taken_back(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel stops in the middle of a line: what is there is whole, the rest counted, said once, and recovers."""
    path = tmp_path / "flows.jsonl"
    log = new(path)
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        log.write([flows.edge()] * 23)
        assert log.flush(PATIENCE_S)
    assert len(parsed(path)) == log.written > 0
    assert {flowlog.DropCause.FAULT: 69 - log.written} == log.drops
    assert len(caplog.records) == 1
    assert str(path) in caplog.text

    path.write_bytes(b"")  # an operator makes room
    log.write([flows.edge()])
    assert log.close(PATIENCE_S)
    assert len(parsed(path)) == 1
    assert len(caplog.records) == 2, "and said once that it is over"


def test_no_space_is_a_cause_of_its_own() -> None:
    """/dev/full says what a full disk says."""
    log = new(pathlib.Path("/dev/full"))
    log.write([flows.edge()] * 23)
    log.close(PATIENCE_S)
    assert (0, {flowlog.DropCause.NO_SPACE: 23}) == (log.written, log.drops)


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """A log in a missing directory is refused, counted, and written as soon as the directory is there."""
    path = tmp_path / "gone" / "flows.jsonl"
    log = new(path)
    log.write([flows.edge()] * 5)
    assert log.flush(PATIENCE_S)
    assert {flowlog.DropCause.REFUSED: 5} == log.drops
    path.parent.mkdir()
    log.write([flows.edge()])
    log.close(PATIENCE_S)
    assert len(parsed(path)) == 1


def test_a_directory_removed_under_it(tmp_path: pathlib.Path) -> None:
    """The log's directory vanishes while it is open."""
    path = tmp_path / "logs" / "flows.jsonl"
    path.parent.mkdir()
    log = new(path)
    log.write([flows.edge()])
    log.flush(PATIENCE_S)
    shutil.rmtree(path.parent)
    log.write([flows.edge()])
    log.close(PATIENCE_S)
    assert {flowlog.DropCause.REFUSED: 1} == log.drops


def test_a_disk_that_hangs_never_holds_the_agent(tmp_path: pathlib.Path) -> None:
    """A write that never returns: the queue fills, the rest is counted, close gives up in time."""
    fifo = tmp_path / "flows.jsonl"
    os.mkfifo(fifo)  # opened for reading and writing, nobody reads: the pipe fills and the writer hangs
    log = new(fifo)
    many = [flows.edge()] * 30_000
    for _ in range(3):
        log.write(many)
    assert log.drops[flowlog.DropCause.BACKLOG] > 0
    assert not log.close(0.05)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    _drain(reader, log)
    os.close(reader)


def _drain(fd: int, log: flowlog.FlowLog) -> None:
    """Let the hanging writer finish, so that no thread outlives the test."""
    os.set_blocking(fd, True)
    finished = threading.Thread(target=log.close, args=(PATIENCE_S,))
    finished.start()
    while finished.is_alive():
        try:
            os.set_blocking(fd, False)
            if not os.read(fd, 1 << 20):
                break
        except BlockingIOError:
            finished.join(0.001)
    finished.join(PATIENCE_S)


def test_a_name_that_is_no_utf8_is_spelled(tmp_path: pathlib.Path) -> None:
    """A cgroup's name may hold any byte; the log is UTF-8 all the same."""
    host = model.End(kind=model.Kind.HOST, evidence=model.Evidence.KERNEL, name="/odd-\udcff")
    log = new(tmp_path / "flows.jsonl")
    log.write([flows.edge(local=host)])
    log.close(PATIENCE_S)
    (line,) = parsed(tmp_path / "flows.jsonl")
    assert line["source"]["name"] == "/odd-\\udcff"


def test_linefile_takes_a_line_longer_than_a_file(tmp_path: pathlib.Path) -> None:
    """A limit smaller than a line still lets the line in, alone."""
    file = linefile.LineFile(tmp_path / "x", max_bytes=10, files=2)
    assert file.append([b"a" * 20 + b"\n", b"b\n"]) == (2, None)
    file.close()
    assert (tmp_path / "x").read_bytes() == b"b\n"
