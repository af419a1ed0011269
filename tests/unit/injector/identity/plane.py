"""The identity parts of one control plane, put together: what tests of it begin with."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from injector import names
from injector.identity import authority, bundle, custody, issuance, issuelog, ledger, status
from tests.fakes import authorities, mesh_api

if TYPE_CHECKING:
    from injector.kube import events

NAMESPACE = "ipseity-system"
SPACES = ("default", "shop", NAMESPACE)


def now_s() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


class ControlPlane:
    """One control plane's identity parts, put together."""

    def __init__(self, api: Any, folder: Path, name: str = "control-0") -> None:
        self.name = name
        self.leading = True
        self.api = api
        self.told: list[events.Event] = []
        self.pods = ledger.Ledger()
        self.log = issuelog.IssuanceLog(folder / f"{name}.log")
        self.held = authority.Authority(authorities.TRUST_DOMAIN, settle_s=0)
        self.publisher = bundle.Publisher(api, self.held, leads=self.leads, clock=now_s, boot_ns=time.monotonic_ns)
        self.custody = custody.Custody(
            api,
            self.held,
            self.pods,
            namespace=NAMESPACE,
            spread=self.publisher.everywhere_since,
            others=lambda: (),
            leads=self.leads,
            tell=self.told.append,
            clock=now_s,
            boot_ns=time.monotonic_ns,
            changed=self.publisher.wake,
        )

    def leads(self) -> bool:
        return self.leading

    def status(self) -> status.Status:
        return status.of(self.held, self.pods.summary(now_s()), self.log, self.publisher, now_s=now_s())

    async def publish(self) -> None:
        await status.publish(
            self.api,
            NAMESPACE,
            self.name,
            self.status,
            head=issuance.Head(),
            every_s=0.05,
        )


@contextlib.asynccontextmanager
async def running(control: ControlPlane) -> AsyncIterator[ControlPlane]:
    await control.custody.start()
    parts = (control.custody.run(), control.publisher.run(), control.publish())
    tasks = [asyncio.create_task(each) for each in parts]
    try:
        yield control
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def trust_in(fake: mesh_api.FakeMeshApi, namespace: str) -> str:
    found = fake.objects.get(f"/api/v1/namespaces/{namespace}/configmaps/{names.TRUST_BUNDLE}", {})
    return str(found.get("data", {}).get(names.TRUST_KEY, ""))


def everywhere(fake: mesh_api.FakeMeshApi, control: ControlPlane) -> bool:
    wanted = control.publisher.text()
    return bool(wanted) and all(trust_in(fake, name) == wanted for name in SPACES)


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until_async(holds)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again: what is waited for happens in tasks that tell nobody."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.01)
