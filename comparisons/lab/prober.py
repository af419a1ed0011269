"""Ask a container's probes and report what they say, for as long as it runs.

Here so that the asking (a command, an HTTP request, a connection) has one place, also for the hooks that use the same
actions. Connections are made from the node's network namespace, as a kubelet's are. Leaves out judging (``probes``).
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import pathlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from comparisons.lab import errors, netns, probes

Json = dict[str, Any]
Execute = Callable[[Sequence[str], float], Awaitable[tuple[bool, str]]]
"""Run a command in the container within so many seconds: whether it ended with 0, and what it said."""
Report = Callable[[probes.Purpose, bool, str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the questions go."""

    container: Json
    ip: str
    netns: pathlib.Path
    """The node's."""
    execute: Execute


async def watch(target: Target, report: Report) -> None:
    """Probe until cancelled. The startup probe comes first and alone; a container without probes is ready at once."""
    startup = probes.probe(target.container, probes.Purpose.STARTUP)
    if startup is not None:
        await _ask(startup, target, report, until_ok=True)
    else:
        report(probes.Purpose.STARTUP, True, "")  # noqa: FBT003  # the verdict
    readiness = probes.probe(target.container, probes.Purpose.READINESS)
    if readiness is None:
        report(probes.Purpose.READINESS, True, "")  # noqa: FBT003  # the verdict
    both = (readiness, probes.probe(target.container, probes.Purpose.LIVENESS))
    await asyncio.gather(*(_ask(it, target, report) for it in both if it is not None))


async def _ask(it: probes.Probe, target: Target, report: Report, *, until_ok: bool = False) -> None:
    await asyncio.sleep(it.initial_delay_s)
    tally = probes.Tally()
    while True:
        ok, words = await act(it.action, target, it.timeout_s)
        tally, verdict = probes.judge(it, tally, ok=ok)
        if verdict is not None:
            report(it.purpose, verdict, words)
        if verdict and until_ok:
            return
        await asyncio.sleep(it.period_s)


async def act(action: Json, target: Target, timeout_s: float) -> tuple[bool, str]:
    """Do what a probe or a hook says; whether it went well, and in words what came of it."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _act(action, target, timeout_s)
    except TimeoutError:
        return False, f"no answer within {timeout_s:g} s"
    except (OSError, ValueError, errors.LabError, ssl.SSLError) as error:
        return False, str(error)


async def _act(action: Json, target: Target, timeout_s: float) -> tuple[bool, str]:
    if "exec" in action:
        return await target.execute(action["exec"].get("command") or [], timeout_s)
    if "sleep" in action:
        await asyncio.sleep(float(action["sleep"]["seconds"]))
        return True, ""
    if "httpGet" in action:
        return await _http(action["httpGet"], target)
    for kind in ("tcpSocket", "grpc"):
        if kind in action:
            host = action[kind].get("host") or target.ip
            (await _connect(target.netns, host, probes.port(action[kind], target.container))).close()
            return True, ""
    return False, f"no such action: {', '.join(action)}"


async def _connect(namespace: pathlib.Path, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    connection = await asyncio.to_thread(netns.open_socket, namespace, family, socket.SOCK_STREAM)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def _http(action: Json, target: Target) -> tuple[bool, str]:
    """Good is 200 to 399, as for the kubelet, which does not follow redirects to another host either."""
    host, port = action.get("host") or target.ip, probes.port(action, target.container)
    connection = await _connect(target.netns, host, port)
    context = _trusting() if (action.get("scheme") or "HTTP").upper() == "HTTPS" else None
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=context, server_hostname="" if context else None
    )
    try:
        writer.write(_request(action, host, port))
        await writer.drain()
        words = (await reader.readline()).decode(errors="replace").split()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return 200 <= code < 400, f"HTTP {code}" if code else f"not HTTP: {' '.join(words)!r}"


def _request(action: Json, host: str, port: int) -> bytes:
    path = action.get("path") or "/"
    headers = {"Host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "User-Agent": "kube-probe/ipseity-lab"}
    headers |= {"Accept": "*/*", "Connection": "close"}
    headers |= {it["name"]: it.get("value") or "" for it in action.get("httpHeaders") or ()}
    head = [
        f"GET {path if path.startswith('/') else f'/{path}'} HTTP/1.1",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode()


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the kubelet asks whether the pod lives, not who it is
    return context
