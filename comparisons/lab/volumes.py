"""A pod's volumes: first what each one is (a directory, files with contents, a path of the host), then on disk.

Here because configuration, certificates and tokens reach programs as files that change under them in one piece. The
first half is pure. Leaves out every volume that needs a storage driver: a pod that asks for one is refused with an
Event.
"""

import contextlib
import dataclasses
import datetime as dt
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from comparisons.lab import bundle, clock, environment, errors, quantities

Json = dict[str, Any]
MOUNT_ERROR = "FailedMount"
TOKEN_MODE = 0o600
"""kubelet: 0600 for the user; the group's right to read comes with fsGroup."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a volume."""

    content: bytes
    mode: int
    uid: int = 0
    """Who owns it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """emptyDir."""

    memory: bool
    size_bytes: int
    """0: no limit."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """configMap, secret, downwardAPI, projected: the whole of a directory, by path below it."""

    files: Mapping[str, File]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """hostPath. ``kind`` is its ``type``: what must be there, or be made."""

    path: pathlib.Path
    kind: str


Volume = Scratch | Files | Host


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """A ServiceAccount token that a pod's volumes ask for."""

    audience: str
    ttl_s: int


def tokens(pod: Json) -> set[TokenWish]:
    """Every token that the pod's projected volumes need."""
    sources = (s for v in pod["spec"].get("volumes") or () for s in (v.get("projected") or {}).get("sources") or ())
    wishes = (source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source)
    return {
        TokenWish(audience=it.get("audience") or "", ttl_s=int(it.get("expirationSeconds") or 3600)) for it in wishes
    }


def plan(volume: Json, sources: environment.Sources) -> Volume:
    """Tell what one volume is. PodRefused: its source is missing or of a kind the lab does not have."""
    if "emptyDir" in volume:
        it = volume["emptyDir"] or {}
        size = quantities.ceiling(it["sizeLimit"]) if it.get("sizeLimit") else 0
        return Scratch(memory=it.get("medium") == "Memory", size_bytes=size)
    if "hostPath" in volume:
        return Host(path=pathlib.Path(volume["hostPath"]["path"]), kind=volume["hostPath"].get("type") or "")
    if "projected" in volume:
        mode = int(volume["projected"].get("defaultMode") or 0o644)
        files: dict[str, File] = {}
        for source in volume["projected"].get("sources") or ():
            files |= _projection(source, mode, sources)
        return Files(files=files)
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            return Files(
                files=_projection({kind: volume[kind]}, int(volume[kind].get("defaultMode") or 0o644), sources)
            )
    kinds = ", ".join(key for key in volume if key != "name")
    raise errors.PodRefused(f"volume {volume['name']!r}: the lab has no {kinds or 'such'} volumes", reason=MOUNT_ERROR)


def _projection(source: Json, mode: int, sources: environment.Sources) -> dict[str, File]:
    if source.get("configMap") is not None:
        return _keys(source["configMap"], source["configMap"]["name"], "ConfigMap", sources.configmaps, mode)
    if source.get("secret") is not None:
        it = source["secret"]
        return _keys(it, it.get("secretName") or it["name"], "Secret", sources.secrets, mode)
    if source.get("downwardAPI") is not None:
        return {it["path"]: _downward(it, mode, sources) for it in source["downwardAPI"].get("items") or ()}
    if source.get("serviceAccountToken") is not None:
        it = source["serviceAccountToken"]
        token = sources.tokens.get((it.get("audience") or "", int(it.get("expirationSeconds") or 3600)))
        return {} if token is None else {it["path"]: _token(token, mode, sources.pod)}
    raise errors.PodRefused(f"the lab has no projection of {', '.join(source) or 'nothing'}", reason=MOUNT_ERROR)


def _token(text: str, mode: int, pod: Json) -> File:
    """Nobody but its user and the pod's group reads a token, where the pod says who these are."""
    user = only_user(pod)
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    private = user is not None or group is not None
    return File(content=text.encode(), mode=TOKEN_MODE if private else mode, uid=user or 0)


def only_user(pod: Json) -> int | None:
    """Return the one user that all containers of the pod are said to run as (kubelet: FsUserFrom)."""
    spec = pod["spec"]
    whole = (spec.get("securityContext") or {}).get("runAsUser")
    all_of_them = [*(spec.get("initContainers") or ()), *spec["containers"]]
    users = {(it.get("securityContext") or {}).get("runAsUser", whole) for it in all_of_them}
    return users.pop() if len(users) == 1 else None


def _keys(it: Json, name: str, kind: str, objects: Mapping[str, Json], mode: int) -> dict[str, File]:
    if name not in objects:
        if it.get("optional"):
            return {}
        raise errors.PodRefused(f"{kind} {name!r} does not exist", reason=MOUNT_ERROR)
    data = environment.contents(objects[name])
    if not it.get("items"):
        return {key: File(content=content, mode=mode) for key, content in data.items()}
    missing = [item["key"] for item in it["items"] if item["key"] not in data]
    if missing and not it.get("optional"):
        raise errors.PodRefused(f"{kind} {name!r} has no key {missing[0]!r}", reason=MOUNT_ERROR)
    wanted = (item for item in it["items"] if item["key"] in data)
    return {item["path"]: File(content=data[item["key"]], mode=int(item.get("mode") or mode)) for item in wanted}


def _downward(item: Json, mode: int, sources: environment.Sources) -> File:
    if "fieldRef" in item:
        text = environment.field(item["fieldRef"]["fieldPath"], sources)
    else:
        text = environment.resource(item["resourceFieldRef"], {}, sources)
    return File(content=text.encode(), mode=int(item.get("mode") or mode))


def mounts(
    container: Json, directory: pathlib.Path, volumes: Mapping[str, Volume], found: Mapping[str, str]
) -> list[bundle.Mount]:
    """Where a container sees which volume. ``found`` are its variables, for ``subPathExpr``."""
    return [_mount(it, directory, volumes, found) for it in container.get("volumeMounts") or ()]


def _mount(it: Json, directory: pathlib.Path, volumes: Mapping[str, Volume], found: Mapping[str, str]) -> bundle.Mount:
    volume = volumes.get(it["name"])
    if volume is None:
        raise errors.PodRefused(
            f"volumeMount {it['mountPath']}: the pod has no volume {it['name']!r}", reason=MOUNT_ERROR
        )
    source = volume.path if isinstance(volume, Host) else directory / it["name"]
    below = environment.expand(it["subPathExpr"], found) if it.get("subPathExpr") else it.get("subPath") or ""
    if below.startswith("/") or ".." in pathlib.PurePath(below).parts:
        raise errors.PodRefused(f"volumeMount {it['mountPath']}: path {below!r} leaves the volume", reason=MOUNT_ERROR)
    destination = it["mountPath"] if it["mountPath"].startswith("/") else f"/{it['mountPath']}"
    read_only = bool(it.get("readOnly")) or isinstance(volume, Files)
    return bundle.Mount(source=source / below, destination=destination, read_only=read_only)


def write(directory: pathlib.Path, volumes: Mapping[str, Volume], group: int | None) -> list[pathlib.Path]:
    """Make or refresh every volume below ``directory``; which of them are to be tmpfs is the answer."""
    memory = []
    for name, volume in volumes.items():
        match volume:
            case Scratch():
                made = _scratch(directory / name, group)
                if volume.memory and made:
                    memory.append(directory / name)
            case Files():
                refresh(directory / name, volume.files, group)
            case Host():
                _host(volume)
            case _:
                assert_never(volume)
    return memory


def _scratch(path: pathlib.Path, group: int | None) -> bool:
    if path.exists():
        return False
    path.mkdir(parents=True)
    own(path, group)
    return True


def own(path: pathlib.Path, group: int | None) -> None:
    """Anybody may write, and what is written belongs to the pod's group if it has one."""
    if group is not None:
        os.chown(path, 0, group)
    path.chmod(0o777 | (stat.S_ISGID if group is not None else 0))


def refresh(directory: pathlib.Path, files: Mapping[str, File], group: int | None) -> None:
    """Replace all files of a volume in one step, as the kubelet does: names are links through ``..data``, which moves.

    Nothing is written if nothing changed.
    """
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o755)
    data = directory / "..data"
    if data.exists() and _read(data) == {name: file.content for name, file in files.items()}:
        return
    old = directory / data.readlink() if data.is_symlink() else None
    stamp = dt.datetime.fromtimestamp(clock.wall_ns() // 10**9, tz=dt.UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = pathlib.Path(tempfile.mkdtemp(prefix=stamp, dir=directory))
    fresh.chmod(0o755)
    for name, file in files.items():
        _write(fresh, name, file, group)
    link = directory / "..data_tmp"
    link.symlink_to(fresh.name)
    link.replace(data)
    _relink(directory, {pathlib.PurePath(name).parts[0] for name in files})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _write(directory: pathlib.Path, name: str, file: File, group: int | None) -> None:
    if name.startswith("/") or ".." in pathlib.PurePath(name).parts:
        raise errors.PodRefused(f"path {name!r} leaves the volume", reason=MOUNT_ERROR)
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.write_bytes(file.content)
    if group is not None or file.uid:
        os.chown(path, file.uid, -1 if group is None else group)
    path.chmod(file.mode | (0o440 if group is not None else 0))  # after chown, which takes set-user-ID bits away


def _relink(directory: pathlib.Path, wanted: set[str]) -> None:
    for name in wanted:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()


def _read(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in _walk(directory.resolve(), directory)}


def _walk(real: pathlib.Path, shown: pathlib.Path) -> Iterator[pathlib.Path]:
    return (shown / path.relative_to(real) for path in real.rglob("*") if path.is_file())


def _host(volume: Host) -> None:
    path, kind = volume.path, volume.kind
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    checks = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket, "": path.exists}
    present = False
    with contextlib.suppress(OSError):
        present = checks.get(kind, path.exists)()
    if not present:
        raise errors.PodRefused(f"hostPath {path} is no {kind or 'file or directory'}", reason=MOUNT_ERROR)
