"""The mesh's part of ``ipseity check``: registered in the group ``ipseity.checks``.

Here because it is imported with the command, on nodes without a mesh too: what looks (``survey``) is imported when it
looks.
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
import dataclasses
from typing import Final

from injector import names
from injector.policy import options
from ipseity import contribution, findings, settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(options.Options):
    """What is asked, and where the control plane is."""

    mesh_namespace: str = settings.field(
        "", f"Namespace of the control plane; none: where the webhook leads, else {names.SYSTEM_NAMESPACE}.",
        metavar="NAME",
    )  # fmt: skip


def look(given: Options, *, asked: bool) -> findings.Section | None:
    """Look at the mesh of a cluster; None: there is none. Raises KubernetesError if it was asked for."""
    from injector.seeing import survey

    return asyncio.run(survey.section(given, asked=asked))


MESH: Final = contribution.Contribution(
    order=2,
    only="Only the mesh, wherever the API server can be reached from; without: also, where there is one.",
    settings=Options,
    look=look,
)
