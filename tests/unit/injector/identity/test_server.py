"""The identity service comes up, also where something is in its way. Leaves out what it answers (test_service)."""

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from injector.identity import issuance, server
from ipseity import identity
from tests.fakes import authorities, mesh_api

NAMESPACE = "ipseity-system"


class Disk:
    """Full until there is room."""

    def __init__(self) -> None:
        self.tries = 0
        self.tried = asyncio.Event()
        """More than once."""
        self.full = True
        self._loop = asyncio.get_running_loop()
        self._write = os.write

    def write(self, fd: int, data: bytes) -> int:
        """Stand in for ``os.write``."""
        self.tries += 1
        if self.tries > 1:
            self._loop.call_soon_threadsafe(self.tried.set)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, data)


def now_s() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def serving(api: Any, log: Path) -> server.Server:
    options = server.Options(
        trust_domain=authorities.TRUST_DOMAIN,
        namespace=NAMESPACE,
        pod=identity.PodRef(NAMESPACE, "control-0", "uid-0"),
        cluster_domain="cluster.local",
        log=log,
        leaf_life_s=3600.0,
        settle_s=0.0,
        address="127.0.0.1:0",
    )
    registry = prometheus_client.CollectorRegistry()
    return server.Server(
        api,
        options,
        registry,
        leads=lambda: True,
        knows=tuple,
        tell=lambda _: None,
        clock=now_s,
        boot_ns=time.monotonic_ns,
    )


async def driven(ours: server.Server) -> None:
    """Run everything until something ends."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for each in ours.tasks():
            group.create_task(each)


async def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash would take the webhook and discovery along, over and over, and be late when there is room again."""
    fake, disk = mesh_api.FakeMeshApi(), Disk()
    monkeypatch.setattr(server, "_RETRY_S", 0.01)
    monkeypatch.setattr(os, "write", disk.write)
    async with fake.running() as api:
        ours = serving(api, tmp_path / "issued.jsonl")
        starting = asyncio.create_task(ours.start())
        try:
            await asyncio.wait_for(disk.tried.wait(), 10)
            assert ours.own.pair is None
            disk.full = False
            await asyncio.wait_for(starting, 10)
            assert ours.own.pair is not None
        finally:
            starting.cancel()
            await ours.close()


async def test_a_defect_in_the_log_ends_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every request would wait for a line that nobody writes."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with mesh_api.FakeMeshApi().running() as api:
        ours = serving(api, tmp_path / "issued.jsonl")
        await ours.start()
        monkeypatch.setattr(issuance, "chain", broken)
        ours.own.pair = None  # the next leaf is due
        with pytest.raises(ExceptionGroup) as ended:
            await driven(ours)
        assert ended.group_contains(ZeroDivisionError)
        await ours.close()
