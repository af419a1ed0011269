"""The real supervisor with the real Envoy: certificate before configuration, renewal, trust, what does not kill it.

Leaves out the end (``test_sidecar_end``), and the control plane's own side, which is a fake here.
"""

import asyncio
import contextlib
import pathlib
import re
import signal
import ssl
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.fakes import authority, control_plane
from tests.functional.injector import meshed
from tests.scene import proxied

MOST_RESIDENT_KB = 15 * 1024


@pytest.fixture
def pod() -> Iterator[proxied.Pod]:
    with proxied.pod() as made:
        yield made


@pytest.fixture
async def plane(pod: proxied.Pod) -> AsyncIterator[control_plane.ControlPlane]:
    async with meshed.plane(pod) as made:
        yield made


async def test_ready_means_a_certificate_and_a_configuration(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Envoy starts with a certificate, listens when it has a configuration, and shows nothing else of itself."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        assert [] == plane.nacks
        assert (200, b"LIVE\n") == meshed.status("/ready")
        assert 200 == meshed.status("/ready", host=proxied.POD6)[0]
        code, metrics = meshed.status("/metrics")
        assert 200 == code
        assert b"envoy_server_live" in metrics
        assert [404] * 5 == [
            meshed.status(path)[0] for path in ("/", "/stats", "/ready/", "/config_dump", "/metrics/x")
        ]
        assert 404 == meshed.status("/ready", "POST")[0]
        connection = await meshed.call(proxied.caller(plane.authority, plane.authority, tmp_path))
        assert b"hello" == await connection.echo(b"hello")
        await connection.close()


async def test_without_a_token_it_waits_and_says_so_once(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """A token and a bundle that come late are found; the log says what it waited for, and not every second."""
    async with proxied.proxy(pod) as proxy:
        await proxy.said("trust", "No such file")
        await proxy.said("certificate", "trust bundle")
        pod.give(plane)
        await proxy.ready()
        assert 1 == sum("No such file" in line.get("message", "") for line in proxy.lines if line["event"] == "trust")
        assert [] == [line for line in proxy.lines if line["event"] == "unstructured"]


async def test_a_refusal_is_told_and_tried_again(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """A pod that may not have its identity says why; once it may, it starts."""
    plane.refusal = (grpc.StatusCode.PERMISSION_DENIED, "no such account")
    pod.give(plane, token="secret-token-7")
    async with proxied.proxy(pod) as proxy:
        line = await proxy.said("certificate", "no such account")
        assert ("warning", "test") == (line["level"], line["reason"])
        plane.refusal = None
        await proxy.ready()
        assert {"secret-token-7"} == {request.token for request in plane.requests}
        assert "secret-token-7" not in str(proxy.lines)
        assert "PRIVATE" not in str(proxy.lines)


async def test_a_certificate_for_another_key_is_not_used(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """What the control plane sends is checked, not believed."""
    plane.wrong_key = True
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        assert "unusable" == (await proxy.said("certificate", "another key"))["reason"]
        assert not list(pod.workload.glob("key-*"))


async def test_it_renews_under_live_connections(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Certificates that live 8 s are replaced three times; a connection from before goes on, a new one sees the new."""
    plane.life_s = 8
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        context = proxied.caller(plane.authority, plane.authority, tmp_path)
        first = await meshed.call(context)
        serials = {first.serial}
        visits = asyncio.create_task(visit(context))
        for round_ in range(2, 5):
            async with asyncio.timeout(proxied.PATIENCE_S):
                await plane.asked(round_)
            issued = [line for line in proxy.lines if line["event"] == "certificate"]
            await proxy.said("certificate", "issued", after=proxy.lines.index(issued[-1]) + 1)
            assert b"still here" == await first.echo(b"still here")
            later = await meshed.call(context)
            assert b"new" == await later.echo(b"new")
            serials.add(later.serial)
            await later.close()
        await first.close()
        visits.cancel()
        assert await visits >= 23
        assert len(serials) >= 3
        assert 2 == len(list(pod.workload.glob("key-*")))
        assert {0o600} == {path.stat().st_mode & 0o777 for path in pod.workload.glob("key-*")}
        assert [] == [line for line in proxy.lines if line["level"] in {"error", "critical"}]


async def visit(context: ssl.SSLContext) -> int:
    """Connect, say something and leave until told to stop; gives how often. The first failure ends it."""
    times = 0
    try:
        while True:
            await said(context, b"hi")
            times += 1
    except asyncio.CancelledError:
        return times


async def said(context: ssl.SSLContext, text: bytes) -> None:
    """Connect, say something, hear it back, and leave, whatever happens."""
    visitor = await meshed.call(context)
    try:
        assert text == await visitor.echo(text)
    finally:
        await visitor.close()


async def test_an_outage_of_the_control_plane_cuts_nothing(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """While nobody answers, connections go on and new ones are taken; when somebody does, Envoy is back by itself."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        context = proxied.caller(plane.authority, plane.authority, tmp_path)
        before = await meshed.call(context)
        await plane.stop()
        await proxy.said("envoy", "gRPC config stream to xds closed")
        proxy.tell(signal.SIGHUP)
        await proxy.said("certificate", "does not answer")
        assert b"still here" == await before.echo(b"still here")
        during = await meshed.call(context)
        assert b"new" == await during.echo(b"new")
        assert (200, b"LIVE\n") == meshed.status("/ready")
        await plane.start()
        async with asyncio.timeout(proxied.PATIENCE_S), plane.changed:
            await plane.changed.wait_for(lambda: plane.streams >= 2)
        assert b"still here" == await before.echo(b"still here")
        await before.close()
        await during.close()


async def test_a_new_trust_bundle_is_in_use_without_a_restart(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Callers below a second anchor are refused until it is in the bundle; live connections do not notice."""
    plane.life_s = 40  # so that the new bundle is reported within 4 s
    pod.give(plane)
    other = authority.make("other")
    stranger = proxied.caller(plane.authority, other, tmp_path)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        friend = await meshed.call(proxied.caller(plane.authority, plane.authority, tmp_path))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await said(stranger, b"let me in")
        pod.deliver("ca.crt", b"-----BEGIN CERTIFICATE-----\nhalf a fi")
        await proxy.said("trust", "has no end")
        pod.deliver("ca.crt", plane.authority.bundle + other.bundle)
        await proxy.said("trust", '"anchors": 2')
        async with asyncio.timeout(proxied.PATIENCE_S):
            await plane.asked(2)
        assert 2 == len(plane.requests[-1].trusted_sha256)
        await said(stranger, b"let me in")
        assert b"still here" == await friend.echo(b"still here")
        await friend.close()


async def test_a_full_volume_kills_nothing(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """No room for a key: it says so, leaves nothing half written, and starts when there is room."""
    ballast = pod.workload / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.said("trust", "No space left")
        assert "volume" == (await proxy.said("certificate", "No space left"))["reason"]
        assert [ballast] == list(pod.workload.iterdir())
        ballast.unlink()
        await proxy.ready()


async def test_the_supervisor_is_small(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """At most 15 MB resident once Envoy runs, and one process beside Envoy."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        pid = proxy.process.pid
        text = meshed.kernel_says(pid, "status")
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found
        assert int(found[1]) <= MOST_RESIDENT_KB
        assert "CapEff:\t0000000000000000" in text
        assert str(proxy.envoy_pid) == meshed.kernel_says(pid, f"task/{pid}/children").strip()


async def test_an_earlier_certificate_is_used_while_the_control_plane_is_down(
    pod: proxied.Pod, plane: control_plane.ControlPlane
) -> None:
    """A container that is restarted while nobody signs starts with the certificate it had."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        proxy.tell(signal.SIGTERM)
        assert 0 == await proxy.ended()
    plane.refusal = (grpc.StatusCode.UNAVAILABLE, "down")
    async with proxied.proxy(pod) as proxy:
        await proxy.said("certificate", "adopted")
        await proxy.ready()
        assert 1 == len(plane.requests)
