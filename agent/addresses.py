"""Every address that was ever somebody's, with its tenures: the index that IP look-ups are answered from.

Here because three kinds of owners (pods, services, nodes) and two kinds of facts (the API's, the kernel's) end in the
same question. Owners are uids. Leaves out how tenures are weighed (``tenure``) and what owns (``ownership``).
"""

import collections
import operator
from collections.abc import Iterable

from agent import model, tenure


class Addresses:
    """Tenures by address. A deletion can only ever touch the tenures of the uid that it names."""

    def __init__(self, *, history_ns: int, limit: int) -> None:
        """Remember at most ``limit`` tenures of one address; beyond it the one that ended first is evicted."""
        self._history_ns = history_ns
        self._limit = limit
        self._of_owner: dict[str, tuple[model.IpAddress, ...]] = {}
        """Each once; one or two, so no set of 200 bytes."""
        self._ended: collections.deque[tuple[int, model.IpAddress]] = collections.deque()
        self.by_address: dict[model.IpAddress, tuple[tenure.Tenure, ...]] = {}
        self.evicted = 0

    def claim(self, ip: model.IpAddress, owner: str, *, earliest_ns: int, at_ns: int) -> None:
        """Take from the API that the owner has the address, and may have had it since the earliest."""
        held = self._open(ip, owner) or self._add(ip, tenure.Tenure(owner=owner, source=tenure.Source.API))
        held.fact(earliest_ns, at_ns)

    def end(self, ip: model.IpAddress, owner: str, at_ns: int) -> None:
        """Take that the owner has let go of the address by this moment."""
        held = self._open(ip, owner)
        if held is not None:
            held.end(at_ns)
            self._ended.append((at_ns, ip))

    def had(self, ip: model.IpAddress, owner: str, *, from_ns: int, until_ns: int) -> None:
        """Take that the owner had the address at some time of this range, which is over."""
        if ip not in self._of_owner.get(owner, ()) and from_ns < until_ns:
            self.claim(ip, owner, earliest_ns=from_ns, at_ns=until_ns)
            self.end(ip, owner, until_ns)

    def sighted(self, ip: model.IpAddress, owner: str, *, first_ns: int, last_ns: int, ended_ns: int | None) -> bool:
        """Take that the owner used the address at these moments, by the kernel; True if an answer may change.

        ``ended_ns`` is when the owner ended, if it has.
        """
        mine = [held for held in self.by_address.get(ip, ()) if held.owner == owner]
        held = next((each for each in reversed(mine) if each.from_ns <= last_ns), mine[0] if mine else None)
        is_new = held is None
        if held is None:
            held = self._add(ip, tenure.Tenure(owner=owner, source=tenure.Source.KERNEL))
        widened = held.fact(first_ns, first_ns) | held.fact(last_ns, last_ns)
        if ended_ns is not None and held.is_open:
            held.end(ended_ns)
            self._ended.append((held.until_ns, ip))
        return is_new or (widened and len(self.by_address[ip]) > 1)

    def owners(self, ip: model.IpAddress, start_ns: int, end_ns: int) -> set[str]:
        """Uids of all who may have had the address at some moment from start to end."""
        held = self.by_address.get(ip)
        return tenure.owners(held, start_ns, end_ns) if held else set()

    def ever(self, ip: model.IpAddress) -> Iterable[str]:
        """Uids of all who had it within the history."""
        return (held.owner for held in self.by_address.get(ip, ()))

    def spans(self, ip: model.IpAddress) -> list[tenure.Span]:
        """Give the history of one address."""
        return tenure.spans(self.by_address.get(ip, ()))

    def forget(self, owner: str) -> None:
        """Drop all that a uid had: nothing is known of it any more."""
        for ip in self._of_owner.pop(owner, ()):
            self._keep(ip, [held for held in self.by_address.get(ip, ()) if held.owner != owner])

    def expire(self, now_boot_ns: int) -> None:
        """Drop tenures that ended longer than the history ago."""
        cutoff_ns = now_boot_ns - self._history_ns
        while self._ended and self._ended[0][0] < cutoff_ns:
            _, ip = self._ended.popleft()
            for held in list(self.by_address.get(ip, ())):
                if held.until_ns < cutoff_ns:
                    self._remove(ip, held)

    def load(self, ip: model.IpAddress, held: list[tenure.Tenure]) -> None:
        """Take back what an earlier run knew of one address."""
        for each in held:
            self._add(ip, each)
            if not each.is_open:
                self._ended.append((each.until_ns, ip))

    def loaded(self) -> None:
        """Take that all is taken back: what has ended goes on in order of time."""
        # By time alone: addresses of two families have no order.
        self._ended = collections.deque(sorted(self._ended, key=operator.itemgetter(0)))

    def _open(self, ip: model.IpAddress, owner: str) -> tenure.Tenure | None:
        """Find the owner's tenure that has not ended."""
        for held in reversed(self.by_address.get(ip, ())):
            if held.owner == owner and held.is_open:
                return held
        return None

    def _add(self, ip: model.IpAddress, new: tenure.Tenure) -> tenure.Tenure:
        held = self.by_address.get(ip, ())
        if len(held) >= self._limit:
            self._remove(ip, min(held, key=lambda each: (each.until_ns, each.from_ns)))
            self.evicted += 1
            held = self.by_address.get(ip, ())
        self.by_address[ip] = (*held, new)
        mine = self._of_owner.get(new.owner, ())
        if ip not in mine:
            self._of_owner[new.owner] = (*mine, ip)
        return new

    def _remove(self, ip: model.IpAddress, gone: tenure.Tenure) -> None:
        rest = [held for held in self.by_address[ip] if held is not gone]
        self._keep(ip, rest)
        if all(held.owner != gone.owner for held in rest):
            mine = tuple(each for each in self._of_owner.get(gone.owner, ()) if each != ip)
            if mine:
                self._of_owner[gone.owner] = mine
            else:
                self._of_owner.pop(gone.owner, None)

    def _keep(self, ip: model.IpAddress, rest: list[tenure.Tenure]) -> None:
        if rest:
            self.by_address[ip] = tuple(rest)
        else:
            self.by_address.pop(ip, None)
