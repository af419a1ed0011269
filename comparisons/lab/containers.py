"""Containers: start one from a bundle, follow it, run one more command in it, remove every trace of it.

Here so that one file speaks to the OCI runtime (runc, or crun where that works). A container's first process becomes
a child of this process (``processes.become_reaper``), so its end and its exit status are learned from the kernel,
without a shim. Leaves out what is in the bundle (``bundle``) and when to start it (``lifecycle``).
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
from collections.abc import Sequence
from typing import Any

from comparisons.lab import cgroups, clock, errors, layout, logs, mounts, processes

Json = dict[str, Any]
RUNTIMES = ("runc", "crun")
"""In order of preference. crun before 1.9 refuses hybrid cgroups."""
STARTS = 4
"""Runtimes that start at a time: each is a burst of CPU, more of them only wait for one another. Arbitrary."""
DRAIN_S = 0.5
"""How long after a container's end its output may still come, if something else holds it open."""
CHUNK_BYTES = 64 * 1024


@dataclasses.dataclass(slots=True, kw_only=True)
class Instance:
    """One run of a container. Ends with ``Runtime.remove``."""

    id: str
    directory: pathlib.Path
    cgroup: str
    config: Json
    pid: int
    pidfd: int
    log: logs.Writer
    pumps: tuple["asyncio.Task[None]", ...]

    def signal(self, number: signal.Signals) -> None:
        """To its first process, which may be gone."""
        with contextlib.suppress(ProcessLookupError, OSError):
            signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        """All of its processes, now."""
        cgroups.kill(self.cgroup)

    async def wait(self) -> int:
        """Its exit status, once it has ended; to be called once."""
        await processes.ended(self.pidfd)
        return processes.reap(self.pidfd, self.pid)


def program() -> str:
    """Return the runtime that is installed."""
    found = next((path for name in RUNTIMES if (path := shutil.which(name))), None)
    if found is None:
        raise errors.LabError(f"neither of {', '.join(RUNTIMES)} is installed", hint="apt-get install runc")
    return found


class Runtime:
    """The OCI runtime of one node."""

    def __init__(self, node: layout.Node) -> None:
        self._program = program()
        self._root = node.runc
        self._turn = asyncio.Semaphore(STARTS)

    def _command(self, *arguments: str) -> list[str]:
        return [self._program, "--root", str(self._root), *arguments]

    async def start(self, identity: str, directory: pathlib.Path, config: Json, log: pathlib.Path) -> Instance:
        """Start a container whose root is at ``config["root"]``. ProgramFailed: the runtime said why not."""
        (directory / "config.json").write_text(json.dumps(config))
        writer = logs.Writer(log, lambda: clock.rfc3339_nano(clock.wall_ns()))
        out, err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        try:
            await self._run(identity, directory, out[1], err[1])
        except BaseException:
            os.close(out[0])
            os.close(err[0])
            writer.close()
            raise
        finally:
            os.close(out[1])
            os.close(err[1])
        pid = int((directory / "pid").read_text())
        pumps = (_pump(out[0], "stdout", writer), _pump(err[0], "stderr", writer))
        return Instance(
            id=identity,
            directory=directory,
            cgroup=config["linux"]["cgroupsPath"],
            config=config,
            pid=pid,
            pidfd=processes.adopt(pid),
            log=writer,
            pumps=tuple(asyncio.create_task(pump) for pump in pumps),
        )

    async def _run(self, identity: str, directory: pathlib.Path, stdout: int, stderr: int) -> None:
        log = directory / "runtime.log"
        command = self._command("--log", str(log), "--log-format", "json", "run", "--detach")
        command += ["--pid-file", str(directory / "pid"), "--bundle", str(directory), identity]
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            async with self._turn:
                child = processes.start(command, stdin=nothing, stdout=stdout, stderr=stderr)
                code = await processes.wait(child, timeout_s=60)
        finally:
            os.close(nothing)
        if code != 0:
            raise errors.ProgramFailed(_last_error(log) or f"{self._program} ended with {code}")

    async def execute(self, instance: Instance, arguments: Sequence[str], *, timeout_s: float) -> processes.Outcome:
        """Run one more command in a container, as its user and with its variables."""
        path = instance.directory / f"process-{os.urandom(4).hex()}.json"
        started = path.with_suffix(".pid")
        path.write_text(json.dumps({**instance.config["process"], "args": list(arguments)}))
        command = self._command("exec", "--process", str(path), "--pid-file", str(started), instance.id)
        try:
            return await processes.run(command, timeout_s=timeout_s)
        finally:
            _kill(started)
            path.unlink(missing_ok=True)
            started.unlink(missing_ok=True)

    async def remove(self, instance: Instance) -> None:
        """End what is left of a container, take in the rest of its output, forget it."""
        await asyncio.to_thread(cgroups.end, instance.cgroup)
        await asyncio.wait(instance.pumps, timeout=DRAIN_S)
        for pump in instance.pumps:
            pump.cancel()
        await asyncio.gather(*instance.pumps, return_exceptions=True)
        instance.log.close()
        os.close(instance.pidfd)
        await self.forget(instance.id)
        discard(instance.directory)

    async def forget(self, identity: str) -> None:
        """Have the runtime drop its record; harmless if it has none."""
        await processes.run(self._command("delete", "--force", identity), timeout_s=30)


def _kill(started: pathlib.Path) -> None:
    """End a command that has outlived its runtime, which was killed: an orphan that is our child now.

    One that has ended with its runtime is no child of ours and is left alone, whoever has its pid by now.
    """
    with contextlib.suppress(OSError, ValueError):
        pid = int(started.read_text())
        if pid in processes.children():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # a container's first process cannot end before the dead of its namespace are reaped


def discard(directory: pathlib.Path) -> None:
    """Remove a container's files and its root."""
    mounts.detach(directory / "rootfs")
    shutil.rmtree(directory, ignore_errors=True)


async def _pump(descriptor: int, stream: str, writer: logs.Writer) -> None:
    """Carry a container's output into its log until there is no more."""
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(descriptor, CHUNK_BYTES)
                if not chunk:
                    return
                writer.take(stream, chunk)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _last_error(log: pathlib.Path) -> str:
    try:
        return str(json.loads(log.read_text().splitlines()[-1])["msg"])
    except (OSError, ValueError, KeyError, IndexError):
        return ""
