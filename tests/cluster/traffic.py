"""What callers have seen, read from their logs. Calls have numbers: clocks of two machines are never compared."""

import json
from collections.abc import Callable
from typing import Any, Final

from tests.cluster import ground, record

Json = dict[str, Any]

_IN_A_ROW: Final = 3
"""Calls of one kind that count as: so it is now."""
_RECENT: Final = 500
"""Lines of a caller's log that cover what is waited for: four targets, three calls a second each, half a minute."""
_ALL: Final = 20_000
"""Half an hour of calls."""
CHANGE_S: Final = 30.0
"""For a change to be in force everywhere: an endpoint, a policy. Arbitrary: aims are below a second."""


async def calls(on: ground.Ground, namespace: str, app: str, to: str, *, lines: int = _RECENT) -> list[Json]:
    """Read what one caller has seen of one target, oldest first."""
    found = await on.pods(namespace, app)
    if not found:
        raise record.Failed(f"no pod of {namespace}/{app} is there any more")
    said = await on.log(namespace, found[0]["metadata"]["name"], "app", lines=lines)
    told = (_read(line) for line in said)
    return [each for each in told if each.get("to") == to]


def _read(line: str) -> Json:
    """Read a line; empty: it is none of ours, or was being written."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def number(on: ground.Ground, namespace: str, app: str, to: str) -> int:
    """Give the number of the last call."""
    found = await calls(on, namespace, app, to)
    return int(found[-1]["n"]) if found else 0


async def settled(
    on: ground.Ground, namespace: str, app: str, to: str, *, good: Callable[[Json], bool], what: str, hint: str = ""
) -> Json:
    """Wait until several calls in a row, made from now on, are as wanted; gives the last of them. Raises Failed."""
    since = await number(on, namespace, app, to)

    async def holds() -> Json | None:
        newer = [each for each in await calls(on, namespace, app, to) if each["n"] > since][-_IN_A_ROW:]
        return newer[-1] if len(newer) == _IN_A_ROW and all(map(good, newer)) else None

    async def why() -> list[str]:
        last = [each for each in await calls(on, namespace, app, to) if each["n"] > since][-1:]
        return [f"the last call from {namespace}/{app} to {to}: {json.dumps(each)}" for each in last] or [
            f"{namespace}/{app} makes no calls to {to}"
        ]

    found: Json = await on.until(holds, what, limit_s=CHANGE_S, why=why, hint=hint)
    return found


async def failed_since(on: ground.Ground, namespace: str, app: str, to: str, since: int) -> tuple[int, list[Json]]:
    """Count calls after a number, and give those that failed."""
    newer = [each for each in await calls(on, namespace, app, to, lines=_ALL) if each["n"] > since]
    return len(newer), [each for each in newer if each["status"] != 200]
