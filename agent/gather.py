"""Flow records of several agents as one sequence: what they keep, and then what comes.

Here because a table of two nodes needs both, an agent may restart while somebody follows it, and a damaged line is
counted and passed over. Leaves out what is wanted (``selection``) and what becomes of it (``observe``).
"""

import dataclasses
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from agent import apiaddress, client, errors, flowjson, walltime

_RETRY_S: Final = 1.0
_MAX_WAITING: Final = 10_000
"""Lines that wait to be shown; beyond that the agent is left waiting, which counts what it drops."""
_FLOWS: Final = "/flows"


@dataclasses.dataclass(slots=True)
class Losses:
    """What could not be shown, to be told at the end."""

    by_agent: int = 0
    """This reader was too slow."""
    unreadable: int = 0
    """Lines that are no flow records."""
    example: str = ""
    """What was wrong with the last of them."""

    def told(self) -> Iterator[str]:
        """Say it, if there is anything to say."""
        if self.by_agent:
            yield f"{self.by_agent} flows are missing: this reader was too slow for the agent"
        if self.unreadable:
            yield f"{self.unreadable} lines were not understood and left out ({self.example}); is the agent newer?"

    def read(self, line: bytes) -> flowjson.Flow | None:
        """Read a line; what is no flow is counted."""
        try:
            found = flowjson.decode(line)
        except msgspec.DecodeError as error:
            self.unreadable += 1
            self.example = str(error)
            return None
        if isinstance(found, flowjson.Lost):
            self.by_agent += found.num_events_lost
            return None
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What an agent keeps."""

    address: apiaddress.ApiAddress
    flows: Sequence[flowjson.Flow]


def kept(address: apiaddress.ApiAddress, since_wall_ns: int | None, losses: Losses) -> Kept:
    """Ask an agent for what it keeps, oldest first. Raises errors.Unavailable."""
    query = {} if since_wall_ns is None else {"since": walltime.text(since_wall_ns)}
    read = (losses.read(line) for line in client.lines(address, _FLOWS, query))
    return Kept(address, [flow for flow in read if flow is not None])


def check(address: apiaddress.ApiAddress) -> None:
    """Make sure that an agent answers. Raises errors.Unavailable."""
    client.get(address, _FLOWS, {"last": "0"})


def merged(answers: Sequence[Kept]) -> list[flowjson.Flow]:
    """Put the answers of several agents in the order of time."""
    return sorted((flow for answer in answers for flow in answer.flows), key=lambda flow: flow.time)


class Stream:
    """Follows agents, each in a thread of its own; goes on when one of them comes back."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[bytes | str] = queue.Queue(_MAX_WAITING)

    def follow(self, address: apiaddress.ApiAddress, after: str | None) -> None:
        """Start to follow an agent, from after a record's time on; None: from now on."""
        query = {"follow": "true", **({"last": "0"} if after is None else {"since": after} if after else {})}
        threading.Thread(target=self._pump, args=(address, query), name=f"follow {address}", daemon=True).start()

    def take(self, timeout_s: float, losses: Losses) -> flowjson.Flow | str | None:
        """Wait for the next flow, or for trouble in words; None if nothing (readable) came in time."""
        try:
            arrived = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return arrived if isinstance(arrived, str) else losses.read(arrived)

    def _pump(self, address: apiaddress.ApiAddress, query: dict[str, str]) -> None:
        wait = threading.Event()
        while True:
            try:
                for line in client.lines(address, _FLOWS, query):
                    self._arrived.put(line)
                    query = {"follow": "true"}
                trouble = f"the agent at {address} ended; waiting for it to come back"
            except errors.Unavailable as error:
                trouble = f"{error}; trying again"
            self._arrived.put(trouble)
            wait.wait(_RETRY_S)
