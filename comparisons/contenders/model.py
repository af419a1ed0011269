"""What a scenario wants of a contender, in words that all of them understand.

Here so that a scenario is written once and no contender is favoured by how it is asked.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from comparisons import match, stage

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Pods with the label ``app`` admit only these callers, on these ports; with ``methods``, only those."""

    namespace: str
    app: str
    callers: Sequence[str]
    """Each is a service account, and the value of its pods' label ``app``."""
    port: int
    udp: bool = False
    method: str = ""
    """The only HTTP method that is meant; a contender that cannot say so admits the port."""
    from_ranges: Sequence[str] = ()
    """Callers from these ranges of addresses, instead; a contender that goes by identity names ``callers``."""
    to_ranges: Sequence[str] | None = None
    """The other direction, instead: pods of ``app`` call these ranges only, and nobody if there are none. A contender
    that cannot say so keeps no intent."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """What proves who a pod is, as a thief finds it on the pod's node."""

    pem: bytes
    """Key and certificates."""
    server_name: str
    """What whoever has it must say in the handshake, and ..."""
    protocol: str
    """... offer there, to be taken for the pod."""


class Contender(Protocol):
    """One way to keep an intent."""

    @property
    def name(self) -> str:
        """In commands and files."""

    @property
    def title(self) -> str:
        """In the head of a column."""

    @property
    def what(self) -> str:
        """One sentence: how it decides who may pass, or that it does not."""

    @property
    def lanes(self) -> int:
        """How many runs side by side two cores can do: more would measure the machine.

        Too many, with a policy agent on each node, make an IP policy look slower than it is to cut what is established.
        """

    def install(self, where: stage.Stage) -> contextlib.AbstractAsyncContextManager[None]:
        """Run it in a lab; afterwards nothing of it is left."""

    def annotations(self) -> Mapping[str, str]:
        """Give what a pod needs to take part."""

    def admitted(self, pod: Json) -> Json:
        """Make of a pod what runs at the making of pods would make of it."""

    def objects(self, intent: Intent) -> Sequence[Json]:
        """Write the intent as its own objects; those of a changed intent have the same names."""

    def partition(self, where: stage.Stage, node: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Cut what enforces on one node from what it learns of, for a while."""

    def away(self, where: stage.Stage) -> contextlib.AbstractAsyncContextManager[None]:
        """Have what takes part in making a pod be away for a while, and pods made all the same."""

    def loot(self, where: stage.Stage, pod: Json) -> Loot | None:
        """Give what root on a pod's node finds of it; None if nothing but its address proves who it is."""

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Say whom what enforces on a node took addresses for; nothing if it does not go by addresses."""
