"""What a pod is a replica of, as a person would name it: ``Deployment``, ``web``. Pure.

Here because agent, mesh and report name workloads, and must mean the same by one. A pod alone says enough: no watch of
ReplicaSets and Jobs is needed. Leaves out checking that the owner exists.
"""

import re
from collections.abc import Mapping
from typing import Final

DEPLOYERS: Final = {"pod-template-hash": "Deployment", "rollouts-pod-template-hash": "Rollout"}
"""Label that a controller puts on its ReplicaSets and their pods -> its kind (Kubernetes, Argo Rollouts)."""
_CRON_JOB: Final = re.compile(r"(?P<name>.+)-\d{8,10}")
"""A CronJob names its Jobs after the scheduled minute (Kubernetes 1.21+) or second since 1970."""


def top(pod: str, node: str, labels: Mapping[str, str], kind: str, owner: str) -> tuple[str, str]:
    """Give kind and name of the top owner; ``kind`` and ``owner`` are of who controls the pod, empty if nobody does."""
    if not kind or not owner:
        return "Pod", pod
    if kind == "Node":  # a static pod: its name ends in the node's
        return "Pod", pod.removesuffix(f"-{node}")
    if kind == "ReplicaSet":
        for label, deployer in DEPLOYERS.items():
            suffix = f"-{labels.get(label, '')}"
            if suffix != "-" and owner.endswith(suffix):
                return deployer, owner.removesuffix(suffix)
    if kind == "Job" and (found := _CRON_JOB.fullmatch(owner)):
        return "CronJob", found["name"]
    return kind, owner
