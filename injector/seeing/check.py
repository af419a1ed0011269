"""The mesh's part of ``ipseity check``: registered in the group ``ipseity.checks``.

Here because it is imported with the command, on nodes without a mesh too: what looks (``survey``) is imported when it
looks.
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import asyncio
from typing import Final

from injector.policy import options
from ipseity import contribution, findings


def look(given: options.Options, *, asked: bool) -> findings.Section | None:
    """Look at the mesh of a cluster; None: there is none. Raises KubernetesError if it was asked for."""
    from injector.seeing import survey

    return asyncio.run(survey.section(given, asked=asked))


MESH: Final = contribution.Contribution(
    order=2,
    only="Only the mesh, wherever the API server can be reached from; without: also, where there is one.",
    settings=options.Options,
    look=look,
)
