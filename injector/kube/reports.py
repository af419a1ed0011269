"""What each control-plane pod knows, written again and again where others read it: a ConfigMap, one key per pod.

    board = reports.Board(name="ipseity-identity", kind=Status, what="the identity service")
    await board.publish(api, namespace, pod, current, replaces=old_ones)      # for ever
    await board.read(api, namespace)                                          # {pod: Status}

Here because identity and discovery are both looked at from where a person is. Leaves out what is in a report.
"""

import asyncio
import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from injector.kube import configmaps
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Report = TypeVar("Report", bound=msgspec.Struct)
EVERY_S: Final = 10.0
"""How often it is written; also the age at which a reader may begin to wonder."""
_log = structlog.get_logger("reports")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Board(Generic[Report]):
    """Where reports of one kind are."""

    name: str
    """Of the ConfigMap."""
    kind: type[Report]
    what: str
    """Whose reports, in words for the log."""

    async def read(self, api: "client.ApiClient", namespace: str) -> Mapping[str, Report]:
        """Read what each control plane published; what cannot be read is left out. Raises KubernetesError."""
        found = {}
        for name, text in (await configmaps.read(api, namespace, self.name) or {}).items():
            try:
                found[name] = msgspec.json.decode(text, type=self.kind)
            except msgspec.MsgspecError as error:
                _log.warning("a report is unreadable", of=self.what, control_plane=name, error=str(error))
        return found

    async def write(self, api: "client.ApiClient", namespace: str, pod: str, report: Report) -> None:
        """Write one report, once. Raises KubernetesError."""
        await configmaps.ensure(api, namespace, self.name, {pod: msgspec.json.encode(report).decode()})

    async def remove(self, api: "client.ApiClient", namespace: str, pod: str) -> None:
        """Take one report away. Raises KubernetesError."""
        await configmaps.ensure(api, namespace, self.name, {pod: None})

    async def publish(  # noqa: PLR0913  # where, as whom, what, instead of what, how often
        self,
        api: "client.ApiClient",
        namespace: str,
        pod: str,
        current: Callable[[], Report],
        *,
        replaces: Callable[[Mapping[str, Report]], Iterable[str]],
        every_s: float = EVERY_S,
    ) -> None:
        """Write the report for ever. ``pod`` is the control plane's; trouble is said once and tried again.

        ``replaces`` names, of all reports at the beginning, those that ours takes the place of. They are taken away
        once: who writes one again is there after all.
        """
        trouble = False
        over: dict[str, None] | None = None
        while True:
            try:
                text = msgspec.json.encode(current()).decode()
                if over is None:
                    over = dict.fromkeys(replaces(await self.read(api, namespace)))
                await configmaps.ensure(api, namespace, self.name, {pod: text, **over})
                over = {}
                trouble = False
            except kube.KubernetesError as error:
                if not trouble:
                    _log.warning("cannot write a report", of=self.what, error=str(error), hint=error.hint)
                trouble = True
            await asyncio.sleep(every_s)
