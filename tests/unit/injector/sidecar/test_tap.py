"""``ipseity sidecar tap`` with a made-up Envoy: its bytes in any pieces, a reader that is slow, and an end in any way.

Leaves out the real Envoy (``tests/functional/injector/test_tap``).
"""

import contextlib
import http.server
import json
import os
import pathlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector import errors
from injector.sidecar import files, packed, tap

FAR_S = 4_000_000_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=12,
)


@settings(max_examples=80)
@given(VALUES, VALUES, st.integers(0, 200))
def test_values_are_read_one_after_the_other(first: Any, second: Any, cut: int) -> None:
    """As a library wrote them; any part of one is too short, and nothing worse."""
    one, other = msgspec.msgpack.encode(first), msgspec.msgpack.encode(second)
    value, at = packed.read(one + other)
    assert (first, second) == (value, packed.read(one + other, at)[0])
    with pytest.raises(packed.Short):
        packed.read(one[: min(cut, len(one) - 1)])


@settings(max_examples=80)
@given(st.binary(max_size=60))
def test_anything_else_is_refused_or_too_short(data: bytes) -> None:
    with contextlib.suppress(packed.Short, packed.Garbled):
        packed.read(data)


def test_nothing_is_deeper_than_a_message() -> None:
    with pytest.raises(packed.Garbled):
        packed.read(b"\x91" * 100)


class Envoy:
    """An admin socket, and what is written to whoever taps."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.asked: list[str] = []
        """Paths, in the order in which they came."""
        self.set = threading.Event()

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.asked.append(self.path)
                ours.set.set()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with socketserver.ThreadingUnixStreamServer(files.admin_socket(str(self.directory)), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield
            server.shutdown()
            thread.join()

    def tell(self, *pieces: bytes) -> None:
        """Write to whoever taps, once somebody does."""
        assert self.set.wait(20)
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(files.tap_socket(str(self.directory)))
            for piece in pieces:
                ours.sendall(piece)


def message(*records: dict[str, Any], at_s: int = FAR_S) -> bytes:
    return msgspec.msgpack.encode(["tap", [[at_s, each] for each in records]])


@pytest.fixture
def envoy(tmp_path: pathlib.Path) -> Iterator[Envoy]:
    made = Envoy(tmp_path)
    with made.serve():
        yield made


def tapped(envoy: Envoy, *pieces: bytes, out: int, **said: Any) -> tap.Told:
    """Tap while pieces come."""
    telling = threading.Thread(target=envoy.tell, args=pieces)
    telling.start()
    try:
        wanted = {"share_percent": 100.0, "seconds": 20.0, "most": 1000, "until_eof": False, **said}
        return tap.run(tap.Asked(directory=str(envoy.directory), **wanted), out=out)
    finally:
        telling.join()


def test_lines_come_as_they_are_told_and_it_cleans_up(envoy: Envoy, tmp_path: pathlib.Path) -> None:
    """In pieces of any size; what was waiting since before is not shown; the rate is set, and taken back."""
    whole = message({"n": 0}, at_s=1) + message({"n": 1}, {"n": 2}) + message({"n": 3})
    with (tmp_path / "out").open("wb") as out:
        told = tapped(envoy, whole[:7], whole[7:30], whole[30:], out=out.fileno(), share_percent=12.5, most=3)
    assert tap.Told(shown=3, dropped=0) == told
    assert [1, 2, 3] == [json.loads(line)["n"] for line in (tmp_path / "out").read_text().splitlines()]
    assert ["/runtime_modify?ipseity.tap=1250", "/runtime_modify?ipseity.tap="] == envoy.asked
    assert not pathlib.Path(files.tap_socket(str(tmp_path))).exists()


def test_a_slow_reader_loses_and_is_told_how_much(envoy: Envoy) -> None:
    """Envoy is never made to wait: what cannot be passed on is dropped and counted."""
    reading, writing = os.pipe()
    try:
        many = [message(*[{"n": number, "pad": "x" * 900}] * 10) for number in range(100)]
        told = tapped(envoy, *many, out=writing, seconds=1.5)
        assert 1000 == told.shown + told.dropped
        assert told.dropped > 500
    finally:
        os.close(reading)
        os.close(writing)


def test_a_reader_that_has_gone_ends_it(envoy: Envoy) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    began_s = time.monotonic()
    tapped(envoy, message({"n": 1}), out=writing)
    os.close(writing)
    assert time.monotonic() - began_s < 15
    assert "/runtime_modify?ipseity.tap=" == envoy.asked[-1]


def test_only_one_at_a_time(envoy: Envoy, tmp_path: pathlib.Path) -> None:
    """And where there is no Envoy, that is said."""
    asked = tap.Asked(directory=str(tmp_path), share_percent=1, seconds=1, most=1, until_eof=False)
    with tap._alone(str(tmp_path)), pytest.raises(errors.CannotRun, match="somebody else taps"):
        tap.run(asked)
    (tmp_path / "bare").mkdir()
    with pytest.raises(errors.CannotRun, match="does not answer"):
        tap.run(asked._replace(directory=str(tmp_path / "bare")))
    with pytest.raises(errors.CannotRun, match="cannot tap in"):
        tap.run(asked._replace(directory=str(tmp_path / "nowhere")))
