"""A container as the OCI runtime wants it: config.json, computed from the pod.

Here because what a container may see and do is decided in this one place. Pure: paths, variables and mounts are
arguments. Leaves out images (the root is the host's, or a directory that is named like one, below a layer of the
container's own), seccomp and SELinux profiles, devices.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from comparisons.lab import capabilities, errors, quantities

Json = dict[str, Any]

CPU_PERIOD_US = 100_000
"""The kubelet's ``--cpu-cfs-quota-period``."""
MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or directory of the host at a place in the container."""

    source: pathlib.Path
    destination: str
    read_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a container runs: everything that the node decided for it."""

    root: pathlib.Path
    netns: pathlib.Path
    cgroup: str
    hostname: str
    pid_namespace: str = "private"
    """"private", "host", or the path of a namespace that the pod's containers share."""
    host_ipc: bool = False
    host_network: bool = False
    capabilities: frozenset[str] = capabilities.USUAL
    """Every capability that this machine can give."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a container runs, with what."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    mounts: Sequence[Mount] = ()


def image_root(container: Json) -> str:
    """Give the directory that a container's root shows: an image that is a path is one, all others are the host's."""
    image = str(container.get("image") or "")
    if not image.startswith("/"):
        return "/"
    if not pathlib.Path(image).is_dir() or ":" in image or "," in image:  # which overlayfs reads as separators
        raise errors.PodRefused(
            f"image {image!r} of container {container['name']!r} is no root file system of this machine",
            reason="ErrImageNeverPull",
            hint="give the path of a directory, or any other image: all stand for this machine's own root",
        )
    return image


def config(pod: Json, container: Json, place: Place, task: Task) -> Json:
    """config.json of a container (opencontainers/runtime-spec 1.0.2)."""
    security = _security(pod, container)
    privileged = bool(security.get("privileged"))
    linux: Json = {
        "namespaces": _namespaces(place),
        "cgroupsPath": place.cgroup,
        "resources": resources(container.get("resources") or {}),
        "maskedPaths": [] if privileged else list(MASKED),
        "readonlyPaths": [] if privileged else list(READ_ONLY),
    }
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": _user(security, container["name"]),
            "args": list(task.arguments),
            "env": [f"{name}={value}" for name, value in task.environ.items()],
            "cwd": container.get("workingDir") or "/",
            "capabilities": _capability_sets(security, place.capabilities),
            "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
            "oomScoreAdj": 1000,
        },
        "root": {"path": str(place.root), "readonly": bool(security.get("readOnlyRootFilesystem"))},
        **({} if place.host_network else {"hostname": place.hostname}),
        "mounts": [*_own_mounts(privileged=privileged), *(_bind(mount) for mount in task.mounts)],
        "linux": linux,
    }


def _security(pod: Json, container: Json) -> Json:
    """Return the container's security context, completed by the pod's."""
    outer = pod["spec"].get("securityContext") or {}
    shared = {key: outer[key] for key in ("runAsUser", "runAsGroup", "runAsNonRoot") if key in outer}
    groups = [*(outer.get("supplementalGroups") or ()), *([outer["fsGroup"]] if "fsGroup" in outer else [])]
    return {**shared, **(container.get("securityContext") or {}), "groups": groups}


def _user(security: Json, name: str) -> Json:
    uid = int(security.get("runAsUser", 0))
    if security.get("runAsNonRoot") and uid == 0:
        raise errors.PodRefused(
            f"container {name!r} has runAsNonRoot and would run as root",
            reason="CreateContainerConfigError",
            hint="set runAsUser",
        )
    return {
        "uid": uid,
        "gid": int(security.get("runAsGroup", 0)),
        "additionalGids": [int(gid) for gid in security["groups"]],
    }


def _capability_sets(security: Json, available: frozenset[str]) -> Json:
    names = [f"CAP_{name}" for name in sorted(capabilities.granted(security, available))]
    return dict.fromkeys(("bounding", "effective", "permitted"), names)


def _namespaces(place: Place) -> list[Json]:
    found: list[Json] = [{"type": "mount"}, {"type": "network", "path": str(place.netns)}]
    if place.pid_namespace == "private":
        found.append({"type": "pid"})
    elif place.pid_namespace != "host":
        found.append({"type": "pid", "path": place.pid_namespace})
    if not place.host_ipc:
        found.append({"type": "ipc"})
    if not place.host_network:
        found.append({"type": "uts"})
    return found


def _own_mounts(*, privileged: bool) -> list[Json]:
    sys_options = ["nosuid", "noexec", "nodev", *([] if privileged else ["ro"])]
    rows: list[tuple[str, str, list[str]]] = [
        ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),  # noqa: S108  # the container's own
        ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", sys_options),
        ("/run", "tmpfs", ["nosuid", "nodev", "mode=755", "size=65536k"]),
    ]
    return [{"destination": at, "type": kind, "source": kind, "options": options} for at, kind, options in rows]


def _bind(mount: Mount) -> Json:
    options = ["rbind", "rprivate", "ro" if mount.read_only else "rw"]
    return {"destination": mount.destination, "type": "bind", "source": str(mount.source), "options": options}


def resources(asked: Json) -> Json:
    """Limits and shares for the runtime, as the kubelet computes them."""
    limits, requests = asked.get("limits") or {}, {**(asked.get("limits") or {}), **(asked.get("requests") or {})}
    found: Json = {}
    if "memory" in limits:
        found["memory"] = {"limit": quantities.ceiling(limits["memory"])}
    cpu: Json = {}
    if "cpu" in limits:
        cpu |= {"period": CPU_PERIOD_US, "quota": max(1000, int(quantities.parse(limits["cpu"]) * CPU_PERIOD_US))}
    # Who asks for nothing gets the least (kubelet/cm.MilliCPUToShares): else a sidecar that asks for 10m would starve.
    cpu["shares"] = max(2, int(quantities.parse(requests.get("cpu", "0")) * 1024))
    return {**found, "cpu": cpu}


def hosts(
    own_ips: Sequence[str], names: Sequence[str], aliases: Sequence[Json], services: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """/etc/hosts: the pod itself, its ``hostAliases``, and every Service under its names, in place of a DNS server."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{ip}\t{' '.join(names)}" for ip in own_ips]
    lines += [f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}" for alias in aliases]
    lines += [f"{ip}\t{' '.join(known)}" for ip, known in services]
    return "\n".join(lines) + "\n"


def service_names(objects: Sequence[Json], namespace: str) -> list[tuple[str, list[str]]]:
    """For each address of each Service its names as seen from a namespace, the short one only at home."""
    rows: list[tuple[str, list[str]]] = []
    for service in objects:
        names = _service_names(service["metadata"]["name"], service["metadata"]["namespace"], namespace)
        ips = service["spec"].get("clusterIPs") or [service["spec"].get("clusterIP")]
        rows += [(ip, names) for ip in ips if ip not in (None, "", "None")]
    return rows


def headless_names(slices: Sequence[Json], namespace: str) -> list[tuple[str, list[str]]]:
    """For each ready pod of a Service without an address: the Service's names, and the pod's own below them."""
    rows: list[tuple[str, list[str]]] = []
    for it in slices:
        service, home = it["metadata"]["labels"]["kubernetes.io/service-name"], it["metadata"]["namespace"]
        names = _service_names(service, home, namespace)
        for endpoint in it.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                own = [f"{endpoint['hostname']}.{name}" for name in names] if endpoint.get("hostname") else []
                rows += [(ip, [*own, *names]) for ip in endpoint["addresses"]]
    return rows


def _service_names(name: str, home: str, namespace: str) -> list[str]:
    names = [f"{name}.{home}.svc.cluster.local", f"{name}.{home}.svc", f"{name}.{home}"]
    return [*names, name] if home == namespace else names


def resolv_conf(pod: Json) -> str:
    """/etc/resolv.conf: what the pod asks for; there is no cluster DNS to point at."""
    asked = pod["spec"].get("dnsConfig") or {}
    lines = [f"nameserver {server}" for server in asked.get("nameservers") or ()]
    if asked.get("searches"):
        lines.append(f"search {' '.join(asked['searches'])}")
    options = [f"{it['name']}:{it['value']}" if it.get("value") else it["name"] for it in asked.get("options") or ()]
    return "\n".join([*lines, *([f"options {' '.join(options)}"] if options else [])]) + "\n"
