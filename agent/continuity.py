"""Going on where a former agent stopped, and leaving what the next one needs.

Here because what was told of each edge, the totals and who was who belong to one moment: they are taken and put back
together. Leaves out the file (``checkpoint``) and what keeps running without us (``attach``).
"""

import pathlib
from collections.abc import Mapping
from typing import Final

import structlog

from agent import checkpoint, drops, edges, metrics, ownership, pipeline, remembered
from ipseity import identity, kube

_RESOURCES: Final = tuple(each.name for each in (kube.PODS, kube.SERVICES, kube.NODES))

log = structlog.get_logger("agent")


class Continuity:
    """The checkpoint of one agent."""

    def __init__(self, path: pathlib.Path, lost: drops.Drops) -> None:
        self._path = path
        self._drops = lost
        self._boot_id = checkpoint.boot_id()

    def resume(self, totals: metrics.FlowMetrics, line: pipeline.Pipeline) -> dict[str, int]:
        """Put back what was saved; returns up to when the API had told all, by resource."""
        state, why = checkpoint.load(self._path)
        if state is None:
            if why != checkpoint.NONE_YET:
                self._unreadable(why)
            return {}
        owners, table = ownership.Ownership(history_s=line.owners.history_s), edges.Table()
        try:  # before anything is taken over: totals without what was told of each edge would count twice
            remembered.load(state.owners, owners)
            table.load(state.edges)
            accounts = [identity.ServiceAccount(*names) for names in state.accounts]
        except (ValueError, KeyError, TypeError) as error:
            self._unreadable(str(error))
            return {}
        totals.load(state.metrics)
        # Totals that do not fit (other labels) begin with what the kernel has counted so far, rather than with nothing.
        # What is told of edges that the kernel has no more matches none: their ids are never used again.
        if not totals.unreadable:
            line.table = table
        line.take_over(owners)
        line.tags.remember(accounts)
        line.differences.load(state.differences)
        if state.told_boot_ns is None:
            return dict.fromkeys(_RESOURCES, state.written_boot_ns)
        return state.told_boot_ns

    def save(
        self, totals: metrics.FlowMetrics, line: pipeline.Pipeline, boot_ns: int, told_ns: Mapping[str, int]
    ) -> bool:
        """Write all of it, and up to when the API has told all; False (counted, said once) if it cannot be written."""
        state = checkpoint.State(
            boot_id=self._boot_id,
            written_boot_ns=boot_ns,
            told_boot_ns=dict(told_ns),
            edges=line.table.dump(),
            metrics=totals.dump(),
            differences=line.differences.dump(),
            accounts=line.tags.names(),
        )
        try:
            checkpoint.save(self._path, state, remembered.pieces(line.owners))
        except OSError as error:
            self._drops.count("checkpoint_failed")
            self._drops.say("checkpoint", "cannot write the checkpoint", file=str(self._path), error=str(error))
            return False
        self._drops.over("checkpoint")
        return True

    def _unreadable(self, why: str) -> None:
        self._drops.count("checkpoint_unreadable")
        log.warning("starting without the checkpoint", file=str(self._path), reason=why)
