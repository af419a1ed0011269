"""The export against a collector that is well, slow, full, confused or gone; each with OpenTelemetry's own messages.

Left out: the messages themselves (test_otlplogs.py, test_otlpmetrics.py); a real agent (tests/functional/agent).
"""

import asyncio
import contextlib
import datetime as dt
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from agent import metrics, model, otlp, otlpmetrics, otlppost, otlpwords
from ipseity import settings
from tests.fakes import admission_webhook, collector, flows

PATIENCE_S = 20
SECRET = "Bearer s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a hundredth of what an agent waits."""
    monkeypatch.setattr(otlp, "_LINGER_S", 0.01)
    monkeypatch.setattr(otlp, "_FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(otlp, "_LONGEST_WAIT_S", 0.05)


@pytest.fixture
async def gathering() -> AsyncIterator[collector.Collector]:
    async with collector.running() as found:
        yield found


@contextlib.asynccontextmanager
async def exporting(
    url: str, *, max_waiting: int = 1000, close_s: float = PATIENCE_S, **target: Any
) -> AsyncIterator[otlp.Exporter]:
    """Run an exporter; closed at the end, while the collector goes on."""
    held = otlp.Exporter(
        otlppost.Target(url=url, **target),
        resource=otlpwords.resource("node-a", "0.1.0", {}),
        version="0.1.0",
        starts=otlpmetrics.Starts(boot_wall_ns=1, agent_wall_ns=2),
        max_waiting=max_waiting,
    )
    try:
        yield held
    finally:
        await asyncio.to_thread(held.close, close_s)
        await asyncio.to_thread(held._thread.join, PATIENCE_S)
        assert not held._thread.is_alive()


@contextlib.asynccontextmanager
async def logged() -> AsyncIterator[list[Any]]:
    """Give what is logged meanwhile."""
    with structlog.testing.capture_logs() as said:
        yield said  # type: ignore[misc]  # a list of mappings


def some(count: int = 23) -> list[model.Flow]:
    return [flows.connection(port=port) for port in range(1, count + 1)]


def ports(gathered: collector.Collector) -> list[object]:
    return [collector.values(record.attributes)["destination.port"] for record in gathered.records()]


async def test_what_is_written_arrives_once_and_in_order(gathering: collector.Collector) -> None:
    """More than one request's worth."""
    async with exporting(gathering.url, max_waiting=2000) as exporter:
        exporter.write(some(1201), "all")
        await collector.until(lambda: len(gathering.records()) == 1201)
        await collector.until(lambda: exporter.sent["logs"] == 1201)
    assert list(range(1, 1202)) == ports(gathering)
    assert max(len(r.resource_logs[0].scope_logs[0].log_records) for r in gathering.logs) == 512
    assert ({}, {}, 0) == (exporter.lost, exporter.failed, exporter.waiting)
    assert gathering.headers[0]["content-type"] == "application/x-protobuf"
    assert gathering.headers[0]["content-encoding"] == "gzip"


async def test_only_what_is_wanted_is_sent(gathering: collector.Collector) -> None:
    """``connections`` tells each thing once: of edges those that are no TCP."""
    datagrams = flows.edge(protocol=model.Protocol.UDP, port=53)
    async with exporting(gathering.url) as exporter:
        exporter.write([flows.edge(port=1), flows.connection(port=2), datagrams], "connections")
        exporter.write([flows.edge(port=3), flows.connection(port=4)], "edges")
        await collector.until(lambda: exporter.sent["logs"] == 3)
    assert [2, 53, 3] == ports(gathering)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (collector.status(429), "throttled"),
        (collector.status(502), "unavailable"),
        (collector.status(503), "unavailable"),
        (collector.status(504), "unavailable"),
        (collector.cut, "unreachable"),
    ],
)
async def test_what_passes_is_tried_again(
    gathering: collector.Collector, answer: collector.Answer, reason: str
) -> None:
    """Nothing is lost, and the failed attempts are counted."""
    gathering.answers = [answer, answer]
    async with exporting(gathering.url) as exporter:
        exporter.write(some(), "all")
        await collector.until(lambda: exporter.sent["logs"] == 23)
    assert list(range(1, 24)) == ports(gathering)
    assert ({("logs", reason): 2}, {}) == (exporter.failed, exporter.lost)


async def test_who_asks_for_time_gets_it(gathering: collector.Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """``Retry-After`` is waited for, though the next try would be due long before. Here a second is a tenth."""
    monkeypatch.setattr(otlppost, "retry_after_s", lambda written, _: float(written or 0) / 10)
    gathering.answers = [collector.status(429, Retry_After="1")]
    async with exporting(gathering.url) as exporter:
        exporter.write(some(), "all")
        await collector.until(lambda: exporter.sent["logs"] == 23)
    first, second = gathering.at_s
    assert second - first >= 0.1


@pytest.mark.parametrize(
    ("written", "wait_s"),
    [
        ("7", 7), ("0", 0), ("100000", 300), ("", 0), ("soon", 0), ("-5", 0), ("1e3", 0), ("\u0661", 0),
        ("Sun, 22 Nov 2026 13:00:30 GMT", 30), ("Sun, 22 Nov 2026 12:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 13:00:00 GMT", 300), ("Mon, 99 Nov 2026 13:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(written: str, wait_s: float) -> None:
    """Nobody makes us wait for more than five minutes, or for ever."""
    now = dt.datetime(2026, 11, 22, 13, tzinfo=dt.UTC)
    assert wait_s == otlppost.retry_after_s(written, now)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (collector.status(400, b"no such tenant"), "refused"),
        (collector.status(401), "refused"),
        (collector.status(404), "refused"),
        (collector.status(413), "refused"),
        (collector.status(500), "refused"),
        (collector.status(302, Location="http://127.0.0.1:1/"), "refused"),
        (collector.status(200, b"<html>welcome</html>"), "garbled"),
        (collector.status(200, b"\xff" * 300_000), "garbled"),
    ],
)
async def test_what_does_not_pass_is_lost_and_counted(
    gathering: collector.Collector, answer: collector.Answer, reason: str
) -> None:
    """It is not sent again, and what comes after is."""
    gathering.answers = [answer]
    async with exporting(gathering.url) as exporter:
        exporter.write(some(), "all")
        await collector.until(lambda: exporter.lost == {("logs", reason): 23})
        exporter.write(some(5), "all")
        await collector.until(lambda: exporter.sent["logs"] == 5)
    assert len(gathering.at_s) == 2
    assert {("logs", reason): 1} == exporter.failed


@pytest.mark.parametrize(("rejected", "counted"), [(0, 0), (7, 7), (1000, 23), (-5, 0)])
async def test_a_partial_success_is_counted(gathering: collector.Collector, rejected: int, counted: int) -> None:
    """And is a success: nothing of it is sent again. More than was sent cannot be rejected."""
    gathering.answers = [collector.partial(rejected, "too old")]
    async with exporting(gathering.url) as exporter:
        exporter.write(some(), "all")
        await collector.until(lambda: len(gathering.at_s) and not exporter._in_hand["logs"])
    assert (23 - counted, counted) == (exporter.sent["logs"], exporter.lost.get(("logs", "rejected"), 0))
    assert len(gathering.at_s) == 1


async def test_a_full_queue_drops_what_is_new_and_waits_for_nobody(gathering: collector.Collector) -> None:
    """A collector that says nothing: what was queued is there when it speaks again."""
    answer = asyncio.Event()
    gathering.answers = [collector.kept(answer)]
    async with exporting(gathering.url, max_waiting=512) as exporter:
        exporter.write(some(1), "all")
        await collector.until(lambda: gathering.at_s)
        for _ in range(40):
            exporter.write(some(100), "all")
        assert ({("logs", "queue_full"): 4000 - 512}, 512) == (exporter.lost, exporter.waiting)
        answer.set()
        await collector.until(lambda: exporter.sent["logs"] == 513)
    assert {("logs", "unavailable"): 1} == exporter.failed


async def test_nobody_there_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next batch is tried; the reason is in the count."""
    monkeypatch.setattr(otlp, "_GIVE_UP_S", 0.05)
    async with exporting("http://127.0.0.1:1") as exporter:
        exporter.write(some(), "all")
        await collector.until(lambda: exporter.lost == {("logs", "unreachable"): 23})
    assert exporter.failed["logs", "unreachable"] > 1


async def test_the_end_sends_what_waits(gathering: collector.Collector) -> None:
    """Without waiting for more."""
    async with exporting(gathering.url, max_waiting=2000) as exporter:
        exporter.write(some(1201), "all")
    assert len(gathering.records()) == 1201
    assert ({"logs": 1201, "metrics": 0}, {}) == (exporter.sent, exporter.lost)


@pytest.mark.parametrize("answer", [collector.status(503), collector.stuck, collector.status(429, Retry_After="60")])
async def test_the_end_does_not_wait_for_a_collector(gathering: collector.Collector, answer: collector.Answer) -> None:
    """What it does not get is counted: sent + lost is what was written."""
    gathering.always = answer
    began_s = time.monotonic()
    async with exporting(gathering.url, close_s=0.4) as exporter:
        exporter.write(some(600), "all")
        await collector.until(lambda: gathering.at_s)
    assert time.monotonic() - began_s < PATIENCE_S
    assert (0, {("logs", "shutdown"): 600}) == (exporter.sent["logs"], exporter.lost)


async def test_a_closed_exporter_takes_nothing_and_says_nothing() -> None:
    """The last drain may come after the end."""
    async with exporting("http://127.0.0.1:1") as exporter:
        pass
    exporter.write(some(3), "all")


async def test_totals_arrive_and_late_ones_are_replaced(gathering: collector.Collector) -> None:
    """A collector that is slower than the interval costs resolution, which is counted, and no total."""
    answer = asyncio.Event()
    gathering.answers = [collector.kept(answer)]
    held = metrics.FlowMetrics(max_series=9, grace_s=60, pod_labels=False, bounds_us=flows.BOUNDS_US)
    async with exporting(gathering.url) as exporter:
        exporter.measure(5, held, [])
        await collector.until(lambda: gathering.at_s)
        held.add(flows.edge(), 1)
        for moment in (6, 7, 8):
            exporter.measure(moment, held, [])
        answer.set()
        await collector.until(gathering.families)
    assert exporter.lost["metrics", "late"] == 2
    times = {point.time_unix_nano for metric in gathering.families() for point in metric.sum.data_points}
    assert times == {8}


async def test_a_mistake_of_ours_costs_one_batch(
    gathering: collector.Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and the export goes on."""
    async with exporting(gathering.url) as exporter:
        with monkeypatch.context() as patched:
            patched.setattr(otlp.otlplogs, "request", lambda *_, **__: 1 / 0)
            exporter.write(some(7), "all")
            await collector.until(lambda: exporter.lost == {("logs", "defect"): 7})
        exporter.write(some(5), "all")
        await collector.until(lambda: exporter.sent["logs"] == 5)


async def test_credentials_are_sent_and_never_said(gathering: collector.Collector, tmp_path: pathlib.Path) -> None:
    """Also not where the other end says them back; a file that changes is read anew."""
    file = tmp_path / "headers"
    file.write_text(f"# of the vendor\nAuthorization: {SECRET}\n\nX-Scope: team a\n")
    gathering.answers = [collector.status(401, f"wrong token: {SECRET.split()[1]}".encode())]
    async with logged() as said, exporting(gathering.url, headers_file=file) as exporter:
        exporter.write(some(1), "all")
        await collector.until(lambda: exporter.lost)
        file.write_text("Authorization: Bearer another\n")
        exporter.write(some(1), "all")
        await collector.until(lambda: exporter.sent["logs"] == 1)
        file.unlink()
        exporter.write(some(1), "all")
        await collector.until(lambda: exporter.sent["logs"] == 2)
    assert [SECRET, "Bearer another", "Bearer another"] == [each["authorization"] for each in gathering.headers]
    assert gathering.headers[0]["x-scope"] == "team a"
    assert "wrong token: ***" in str(said)
    assert "cannot be read any more" in str(said)
    assert SECRET.split()[1] not in str(said) + repr(exporter._post._target)


@pytest.mark.parametrize("text", ["Authorization", "Author ization: x", "A: ", "A: x\x01y", "A: b\nB\n"])
def test_headers_that_are_none_are_refused_without_saying_them(tmp_path: pathlib.Path, text: str) -> None:
    """The file and the number of the line are enough."""
    file = tmp_path / "headers"
    file.write_text(f"Secret: {SECRET}\n{text}")
    with pytest.raises(settings.SettingError, match=r"OTLP_HEADERS_FILE: 'header [23]' is no HTTP header") as raised:
        otlppost.file_headers(file)
    assert SECRET not in str(raised.value)


def test_the_standard_variable_has_headers_too() -> None:
    """Percent signs and all; a wrong one is not said either."""
    found = otlppost.variable_headers({"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20YTpi,x-scope=a"})
    assert {"authorization": "Basic YTpi", "x-scope": "a"} == found
    with pytest.raises(settings.SettingError, match="OTEL_EXPORTER_OTLP_HEADERS: 'header 1'"):
        otlppost.variable_headers({"OTEL_EXPORTER_OTLP_HEADERS": "a=%0A"})


async def test_a_private_authority_is_believed_where_it_is_named(tmp_path: pathlib.Path) -> None:
    """And nowhere else: without the file nothing arrives."""
    server, pem = admission_webhook.serving(tmp_path, "127.0.0.1", [])
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(pem)
    async with collector.running(server) as gathered:
        async with exporting(gathered.url, ca_file=ca_file) as exporter:
            exporter.write(some(), "all")
            await collector.until(lambda: exporter.sent["logs"] == 23)
        async with exporting(gathered.url, close_s=0.3) as stranger:
            stranger.write(some(), "all")
            await collector.until(lambda: stranger.failed)
    assert [("logs", "unreachable")] == list(stranger.failed)
    assert len(gathered.records()) == 23


@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
def test_certificates_that_are_none_end_the_start(tmp_path: pathlib.Path, name: str) -> None:
    """In words that name the file."""
    file = tmp_path / "wrong.pem"
    file.write_text("no certificate")
    with pytest.raises(settings.SettingError, match=r"wrong.pem"):
        otlppost.context(otlppost.Target(url="https://localhost", **{name: file}))  # type: ignore[arg-type]  # one of its fields


async def test_the_log_is_quiet_while_a_collector_is_away(gathering: collector.Collector) -> None:
    """Once when it begins, once when it is over, and again the next time."""
    async with logged() as said, exporting(gathering.url) as exporter:
        for _ in range(2):
            gathering.answers = [collector.status(503)] * 4
            exporter.write(some(1), "all")
            await collector.until(lambda: not gathering.answers and not exporter._in_hand["logs"])
    events = [each["event"] for each in said]
    assert ["it is tried again", "takes what we send again"] * 2 == [
        next(each for each in ("it is tried again", "takes what we send again", event) if event.endswith(each))
        for event in events
    ]
