"""How a proxy ends: drained when told to, at once when told twice, and what an Envoy that dies leads to.

Leaves out the kubelet, which decides when to tell it.
"""

import asyncio
import contextlib
import http.client
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fakes import control_plane
from tests.functional.injector import meshed
from tests.scene import proxied


@pytest.fixture
def pod() -> Iterator[proxied.Pod]:
    with proxied.pod() as made:
        yield made


@pytest.fixture
async def plane(pod: proxied.Pod) -> AsyncIterator[control_plane.ControlPlane]:
    async with meshed.plane(pod) as made:
        yield made


async def test_sigterm_waits_for_the_connections_that_are_left(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Not ready at once; a TCP connection goes on until its caller ends it; then the proxy ends, without an error."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        left = await meshed.call(proxied.caller(plane.authority, plane.authority, tmp_path))
        proxy.tell(signal.SIGTERM)
        await proxy.said("drain", "told to end")
        assert b"still served" == await left.echo(b"still served")
        assert 503 == meshed.status("/ready")[0]
        assert proxy.process.returncode is None
        await left.close()
        assert "drained" == (await proxy.said("drain", "drained"))["message"]
        assert 0 == await proxy.ended()


async def test_http_connections_are_asked_to_go_elsewhere(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """``ipseity sidecar drain`` before the end: answers say ``connection: close``; idle callers hold nobody."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        idle, busy = (http.client.HTTPConnection(proxied.POD, proxied.HTTP_PORT, timeout=9) for _ in range(2))
        assert [None, None] == [answered(connection) for connection in (idle, busy)]
        await proxied.command(pod, "drain", "--workload-dir", str(pod.workload))
        assert 503 == meshed.status("/ready")[0]
        assert "close" == answered(busy)
        proxy.tell(signal.SIGTERM)
        assert 0 == (await proxy.said("drain", "drained"))["busy"]
        assert 0 == await proxy.ended()
        idle.close()


def answered(connection: http.client.HTTPConnection) -> str | None:
    """Ask; gives what the answer says of the connection."""
    connection.request("GET", "/")
    response = connection.getresponse()
    assert b"hello" == response.read()
    return response.getheader("connection")


async def test_usr1_begins_to_drain_and_hup_renews(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """The same by signals; the proxy goes on."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxied.command(pod, "await")
        assert 200 == meshed.status("/ready")[0]
        proxy.tell(signal.SIGHUP)
        async with asyncio.timeout(proxied.PATIENCE_S):
            await plane.asked(2)
        proxy.tell(signal.SIGUSR1)
        await proxy.said("drain", "not ready from now on")
        assert 503 == meshed.status("/ready")[0]
        assert proxy.process.returncode is None


async def test_the_grace_is_the_most_it_waits(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """A caller that does not end its connection is cut when the time is over, and that is said."""
    pod.give(plane)
    async with proxied.proxy(pod, drain_seconds=1.5) as proxy:
        await proxy.ready()
        left = await meshed.call(proxied.caller(plane.authority, plane.authority, tmp_path))
        proxy.tell(signal.SIGTERM)
        assert 1 == (await proxy.said("drain", "is cut"))["busy"]
        assert b"" == await left.rest()
        await left.close()
        assert 0 == await proxy.ended()


@contextlib.asynccontextmanager
async def listening(pod: proxied.Pod, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Be an application in the pod that listens until its standard input ends."""
    code = f"import socket; s = socket.create_server(('', {port})); print(flush=True); input()"
    words = ["ip", "netns", "exec", pod.name, sys.executable, "-c", code]
    piped = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=piped, stdout=piped, stderr=asyncio.subprocess.DEVNULL)
    assert process.stdout
    await process.stdout.readline()
    try:
        yield process
    finally:
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        await process.wait()


async def test_an_application_that_still_listens_is_waited_for(
    pod: proxied.Pod, plane: control_plane.ControlPlane
) -> None:
    """In a pod whose containers all end at one time, the proxy goes last."""
    pod.give(plane)
    async with listening(pod, 7007) as application, proxied.proxy(pod) as proxy:
        await proxy.ready()
        proxy.tell(signal.SIGTERM)
        await proxy.said("drain", "told to end")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(proxy.process.wait()), 1)
        assert application.stdin
        application.stdin.close()
        assert "drained" == (await proxy.said("drain", "drained"))["message"]
        assert 0 == await proxy.ended()


async def test_told_twice_it_ends_at_once(
    pod: proxied.Pod, plane: control_plane.ControlPlane, tmp_path: pathlib.Path
) -> None:
    """Somebody who cannot wait says so again."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        left = await meshed.call(proxied.caller(plane.authority, plane.authority, tmp_path))
        proxy.tell(signal.SIGTERM)
        await proxy.said("drain", "told to end")
        proxy.tell(signal.SIGTERM)
        assert b"" == await left.rest()
        await left.close()
        assert 0 == await proxy.ended()


async def test_told_before_there_is_an_envoy_it_ends(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """A pod that is deleted while it waits for the control plane does not hang."""
    async with proxied.proxy(pod) as proxy:
        await proxy.said("certificate")
        proxy.tell(signal.SIGTERM)
        assert 0 == await proxy.ended()


async def test_an_envoy_that_dies_young_ends_the_container(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """The kubelet counts restarts and spaces them; the exit code says how Envoy died."""
    pod.give(plane)
    async with proxied.proxy(pod) as proxy:
        await proxy.ready()
        os.kill(proxy.envoy_pid, signal.SIGKILL)
        assert "SIGKILL" == (await proxy.said("envoy-ended"))["killed_by"]
        assert 128 + signal.SIGKILL == await proxy.ended()


async def test_an_envoy_that_cannot_start_ends_the_container(
    pod: proxied.Pod, plane: control_plane.ControlPlane
) -> None:
    """The application has taken our port: Envoy's exit code is the container's, and its reason is in the log."""
    pod.give(plane)
    async with listening(pod, 15_020), proxied.proxy(pod) as proxy:
        await proxy.said("envoy", "Address already in use")
        assert 1 == await proxy.ended()


async def test_orphans_are_buried(pod: proxied.Pod, plane: control_plane.ControlPlane) -> None:
    """As PID 1 of a namespace it takes leave of processes that others left behind."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    pod.give(plane)
    async with proxied.proxy(pod, within=words) as proxy:
        await proxy.ready()
        inside = int(meshed.kernel_says(proxy.process.pid, f"task/{proxy.process.pid}/children").split()[0])
        orphan = "import os, time; os.fork() and os._exit(0); os.execvp('sleep', ['sleep', '1'])"
        enter = ["nsenter", f"--target={inside}", "--pid", "--mount", sys.executable, "-c", orphan]
        await (await asyncio.create_subprocess_exec(*enter)).wait()
        assert 2 == len(children(inside))
        async with asyncio.timeout(proxied.PATIENCE_S):
            while len(children(inside)) != 1:  # noqa: ASYNC110  # the kernel has no event for it
                await asyncio.sleep(0.02)
        assert "envoy" == children(inside)[0]


def children(pid: int) -> list[str]:
    """Name the children of a process, dead ones included."""
    pids = meshed.kernel_says(pid, f"task/{pid}/children").split()
    return [meshed.kernel_says(int(child), "comm").strip() for child in pids]
