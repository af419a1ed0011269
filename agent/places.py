"""What a cgroup path says about who runs there: a container of a pod, or something of the host.

Here because the path is the only place where the kernel's number meets Kubernetes' uid, and every kubelet, runtime and
nesting spells it differently. Pure text. Leaves out reading the tree (``cgroups``) and which pod a uid is
(``ownership``).

    cgroupfs driver   /kubepods/burstable/pod<uid>/<container>            no level of that name for Guaranteed
    systemd driver    /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/
                      cri-containerd-<container>.scope                    (or crio-, docker-)
    mixed             .../kubepods-burstable-pod<uid with _>.slice:cri-containerd:<container>
    kind              any of these below /docker/<id>/kubelet or /kubelet.slice/kubelet-kubepods.slice/kubelet-...
"""

import dataclasses
import re

from agent import model


@dataclasses.dataclass(frozen=True, slots=True)
class InPod:
    """A cgroup of a pod: of one of its containers, or of the pod as a whole."""

    uid: model.PodUid
    """With dashes; for a static pod the config hash."""
    container_id: str = ""
    """As the runtime names it; empty for the pod's own cgroup and for a container's monitor (conmon)."""
    qos: str = "guaranteed"


@dataclasses.dataclass(frozen=True, slots=True)
class OnHost:
    """A cgroup of the node outside any pod."""

    unit: str
    """The innermost systemd service or scope; where there is none, the path."""


Place = InPod | OnHost

_UID = r"(?P<uid>[0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12}|[0-9a-f]{32})"
"""A pod's UUID with dashes or, in a slice's name, underscores; or 32 digits: the config hash of a static pod."""
_POD = re.compile(rf"(?:[a-z0-9-]+-)?pod{_UID}(?:\.slice)?(?::(?P<mixed>.+))?")
_RUNTIMES = re.compile(r"(?:cri-containerd|crio|docker|libpod|cri-o)-(?P<id>.+)")
_QOS = re.compile(r"(?:^|[-/.])(besteffort|burstable)(?:[-/.]|$)")
_UNITS = (".service", ".scope")


def parse(path: str) -> Place:
    """Read a path as the kernel gives it, from the cgroup2 root. Never fails: what is no pod's is the host's.

    The outermost pod wins: what runs nested in a container, cluster or subgroup, is that container's.
    """
    segments = path.split("/")
    for index, segment in enumerate(segments):
        found = _POD.fullmatch(segment) if "pod" in segment else None
        if found:
            below = segments[index + 1] if index + 1 < len(segments) else ""
            return InPod(
                uid=model.PodUid(found["uid"].replace("_", "-")),
                container_id=_container(found["mixed"] or below),
                qos=_qos("/".join(segments[: index + 1])),
            )
    return OnHost(unit=_unit(segments) or path or "/")


def _container(segment: str) -> str:
    """``cri-containerd-<id>.scope``, ``cri-containerd:<id>`` or ``<id>``."""
    name = segment.rpartition(":")[2].removesuffix(".scope")
    found = _RUNTIMES.fullmatch(name)
    container_id = found["id"] if found else name
    return "" if container_id.startswith("conmon") else container_id


def _qos(path: str) -> str:
    found = _QOS.search(path)
    return found[1] if found else "guaranteed"


def _unit(segments: list[str]) -> str:
    return next((segment for segment in reversed(segments) if segment.endswith(_UNITS)), "")
