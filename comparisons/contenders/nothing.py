"""No policy and no proxy: what the network alone does. The line that everything is measured against."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

from comparisons import match, stage
from comparisons.contenders import model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """See the module."""

    name: str = "nothing"
    title: str = "Nothing"
    lanes: int = 9
    what: str = "No policy at all: everybody reaches everything. The baseline of what is measured."

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """Nothing to run."""
        del where
        yield

    def annotations(self) -> Mapping[str, str]:
        """Take no part."""
        return {}

    def admitted(self, pod: model.Json) -> model.Json:
        """Leave it as it is."""
        return pod

    def objects(self, intent: model.Intent) -> Sequence[model.Json]:
        """Keep no intent."""
        del intent
        return ()

    @contextlib.asynccontextmanager
    async def partition(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        """Nothing to cut."""
        del where, node
        yield

    @contextlib.asynccontextmanager
    async def away(self, where: stage.Stage) -> AsyncIterator[None]:
        """Nobody takes part."""
        del where
        yield

    def loot(self, where: stage.Stage, pod: model.Json) -> model.Loot | None:
        """Have nothing to steal."""
        del where, pod
        return None

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Go by no addresses."""
        del where, node
        return ()
