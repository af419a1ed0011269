"""What a pod is a replica of, as one word: ``deployment/web``. Pure.

Here because statistics, Events and refusals name workloads so. Leaves out who the owner is (``ipseity.workload``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ipseity import workload


def name(pod: str, labels: Mapping[str, str], owners: Sequence[Mapping[str, Any]], *, node: str = "") -> str:
    """Name the top owner; the pod's own name where nobody controls it (a static pod's without its node's)."""
    controller = next((each for each in owners if each.get("controller") is True), None)
    kind, owner = ("", "") if controller is None else (str(controller.get("kind")), str(controller.get("name")))
    kind, found = workload.top(pod, node, labels, kind, owner)
    return found if kind == "Pod" else f"{kind.lower()}/{found}"
