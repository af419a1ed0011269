"""An observation, whole: read flows and objects, look, keep what was found.

Here because this is what ``ipseity compare --from-cluster`` does. It lists Pods, Namespaces, NetworkPolicies and Nodes
of the API server and changes nothing. Leaves out the page (``report``).
"""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from comparisons.ip_policy import errors, gathering
from comparisons.observed import coverage, evidence, flows, history, misnaming, people, seeing, sources, told, writing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Where to look."""

    flows: Sequence[str] = ()
    servers: Sequence[str] = ()
    files: Sequence[str] = ()
    """Manifests in place of, or on top of, the API server."""
    offline: bool = False
    kubeconfig: str | None = None
    command: str = ""


def look(wishes: Wishes) -> told.Observed:
    """Look at everything. PolicyError and KubernetesError say what cannot be read."""
    if not wishes.flows and not wishes.servers:
        raise errors.PolicyError("no flows to look at: give --flows FILE or --server URL", hint=sources.HINT)
    if wishes.offline and not wishes.files:
        raise errors.PolicyError(
            "--offline without a file: whose policies?",
            hint="kubectl get pods,namespaces,networkpolicies,nodes -A -o yaml > objects.yaml; then -f objects.yaml",
        )
    given = gathering.from_files(wishes.files)
    objects = [] if wishes.offline else asyncio.run(gathering.from_cluster(wishes.kubeconfig))
    read = flows.read(sources.lines(wishes.flows, wishes.servers))
    if not read.flows:
        what = f"{read.unreadable} lines could not be read ({read.why})" if read.unreadable else "there is no record"
        raise errors.PolicyError(f"no flow in what was given: {what}", hint="docs/flow-record.md says what a record is")
    now = dt.datetime.now(tz=dt.UTC).timestamp()  # noqa: TID251  # when it was looked at is part of the result
    return observe(read, [*objects, *given], made_s=now, command=wishes.command)


def observe(read: flows.Read, objects: Sequence[Mapping[str, Any]], *, made_s: float, command: str) -> told.Observed:
    """Say what flows and objects say together. The same in, the same out."""
    known = people.people(objects, read.flows)
    found = misnaming.look(read.flows, known)
    weighed = evidence.collect(read.flows, known, history.history(read.flows, objects, known))
    suggestions, refused = writing.suggest(weighed, known)
    return told.Observed(
        made=seeing.moment(made_s),
        command=command,
        nodes=tuple(sorted({it.node for it in read.flows})),
        first=seeing.moment(min(it.start_s for it in read.flows)),
        last=seeing.moment(max(it.end_s for it in read.flows)),
        records=len(read.flows),
        unreadable=read.unreadable,
        unreadable_why=read.why,
        lost=read.lost,
        pods=len(known.state.pods),
        policies=len(known.state.policies),
        checked=found.checked,
        wrong=found.wrong,
        misnamed=found.misnamed,
        judged=found.judged,
        unjudged=found.unjudged,
        misjudged=found.misjudged,
        idle=coverage.idle(read.flows, known),
        bare=coverage.bare(read.flows, known),
        suggestions=suggestions,
        refused=refused,
    )
