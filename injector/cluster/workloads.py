"""What a pod is a replica of, as a person would name it: ``deployment/web``. Pure.

Here because statistics, Events and refusals name workloads, and a pod alone says enough: no watch of ReplicaSets and
Jobs is needed. Leaves out checking that the owner exists.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_DEPLOYERS: Final = {"pod-template-hash": "deployment", "rollouts-pod-template-hash": "rollout"}
"""Label that a controller puts on its ReplicaSets and their pods -> its kind (Kubernetes, Argo Rollouts)."""
_CRON_JOB: Final = re.compile(r"(?P<name>.+)-\d{8,10}")
"""A CronJob names its Jobs after the scheduled minute (Kubernetes 1.21+) or second since 1970."""


def name(pod: str, labels: Mapping[str, str], owners: Sequence[Mapping[str, Any]], *, node: str = "") -> str:
    """Name the top owner; the pod's own name where nobody controls it (a static pod's without its node's)."""
    controller = next((each for each in owners if each.get("controller") is True), None)
    kind, owner = ("", "") if controller is None else (str(controller.get("kind")), str(controller.get("name")))
    if not kind or not owner:
        return pod
    if kind == "Node":
        return pod.removesuffix(f"-{node}")
    if kind == "ReplicaSet":
        for label, deployer in _DEPLOYERS.items():
            suffix = f"-{labels.get(label, '')}"
            if suffix != "-" and owner.endswith(suffix):
                return f"{deployer}/{owner.removesuffix(suffix)}"
    if kind == "Job" and (found := _CRON_JOB.fullmatch(owner)):
        return f"cronjob/{found['name']}"
    return f"{kind.lower()}/{owner}"
