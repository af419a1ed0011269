"""Volumes: what they are, and their files on disk. Leaves out tmpfs mounts: those need root."""

import base64
import dataclasses
import pathlib
from typing import Any

import pytest

from comparisons.lab import environment, errors, volumes

SOURCES = environment.Sources(
    pod={"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}}, "spec": {"containers": []}},
    node_name="node-a",
    host_ips=("172.30.0.2",),
    pod_ips=("10.7.0.2",),
    capacity={},
    configmaps={"c": {"metadata": {"name": "c"}, "data": {"k": "v", "l": "w"}}},
    secrets={"s": {"metadata": {"name": "s"}, "type": "Opaque", "data": {"t": base64.b64encode(b"x").decode()}}},
    tokens={("aud", 3600): "jwt"},
)


def files(volume: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Name, content and mode of each file of a volume."""
    planned = volumes.plan({"name": "v", **volume}, SOURCES)
    assert isinstance(planned, volumes.Files)
    return {name: (file.content, file.mode) for name, file in planned.files.items()}


def test_config_map_items_and_modes() -> None:
    """All keys, or those that are asked for, under their paths."""
    assert files({"configMap": {"name": "c"}}) == {"k": (b"v", 0o644), "l": (b"w", 0o644)}
    items = [{"key": "k", "path": "deep/er", "mode": 0o400}]
    assert files({"configMap": {"name": "c", "items": items, "defaultMode": 0o600}}) == {"deep/er": (b"v", 0o400)}


def test_projected_volume() -> None:
    """Several sources in one directory; a token that the API did not give is left out."""
    sources = [
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "aud"}},
        {"serviceAccountToken": {"path": "other", "audience": "else"}},
        {"configMap": {"name": "none", "optional": True}},
    ]
    found = files({"projected": {"sources": sources, "defaultMode": 0o640}})
    assert found == {"t": (b"x", 0o640), "name": (b"p", 0o640), "token": (b"jwt", 0o640)}


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"configMap": {"name": "none"}}, "ConfigMap 'none' does not exist"),
        ({"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}}, "Secret 's' has no key 'z'"),
        ({"nfs": {"server": "x"}}, "the lab has no nfs volumes"),
    ],
)
def test_what_is_not_there_refuses_the_pod(volume: dict[str, Any], words: str) -> None:
    """With the kubelet's reason."""
    with pytest.raises(errors.PodRefused, match=words) as refused:
        volumes.plan({"name": "v", **volume}, SOURCES)
    assert refused.value.reason == "FailedMount"


def pod_with(*containers: dict[str, Any], **security: Any) -> dict[str, Any]:
    """Return a pod of these containers."""
    return {"metadata": {}, "spec": {"containers": list(containers), "securityContext": security}}


@pytest.mark.parametrize(
    ("pod", "mode", "uid"),
    [
        (pod_with({"name": "a"}), 0o644, 0),
        (pod_with({"name": "a"}, runAsUser=1234), 0o600, 1234),
        (pod_with({"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}), 0o644, 0),
        (pod_with({"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}, runAsUser=7), 0o600, 7),
        (pod_with({"name": "a"}, fsGroup=77), 0o600, 0),
    ],
)
def test_who_may_read_a_token(pod: dict[str, Any], mode: int, uid: int) -> None:
    """The one user of all containers, if there is one; with a group of the pod, the group (added when written)."""
    sources = dataclasses.replace(SOURCES, pod=pod)
    volume = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "aud"}}]}}
    planned = volumes.plan(volume, sources)
    assert isinstance(planned, volumes.Files)
    assert volumes.File(content=b"jwt", mode=mode, uid=uid) == planned.files["token"]


def content(directory: pathlib.Path) -> dict[str, str]:
    """Read what a program sees in a volume."""
    return {it.name: it.read_text() for it in directory.iterdir() if not it.name.startswith("..")}


def test_files_change_in_one_step(tmp_path: pathlib.Path) -> None:
    """New, changed and vanished files at once; nothing else is left; unchanged files are not written again."""
    where = tmp_path / "v"
    first = {"a": volumes.File(content=b"1", mode=0o644), "b": volumes.File(content=b"2", mode=0o600)}
    volumes.refresh(where, first, None)
    assert content(where) == {"a": "1", "b": "2"}
    target = (where / "..data").readlink()
    volumes.refresh(where, first, None)
    assert target == (where / "..data").readlink()
    volumes.refresh(
        where, {"b": volumes.File(content=b"3", mode=0o644), "c/d": volumes.File(content=b"4", mode=0o644)}, None
    )
    assert (where / "b").read_text() == "3"
    assert (where / "c" / "d").read_text() == "4"
    assert not (where / "a").is_symlink()
    assert sum(1 for it in where.iterdir() if it.name.startswith("..") and it.is_dir() and not it.is_symlink()) == 1


def test_modes_and_escapes(tmp_path: pathlib.Path) -> None:
    """A file has the mode it was given, and stays inside its volume."""
    volumes.refresh(tmp_path / "v", {"a": volumes.File(content=b"", mode=0o400)}, None)
    assert (tmp_path / "v" / "a").stat().st_mode & 0o777 == 0o400
    with pytest.raises(errors.PodRefused, match="leaves the volume"):
        volumes.refresh(tmp_path / "w", {"../a": volumes.File(content=b"", mode=0o400)}, None)


def test_mounts() -> None:
    """subPath, read-only, paths of the host; a mount without its volume is refused."""
    known = {
        "data": volumes.Scratch(memory=False, size_bytes=0),
        "conf": volumes.Files(files={}),
        "host": volumes.Host(path=pathlib.Path("/srv"), kind=""),
    }
    container = {
        "name": "c",
        "volumeMounts": [
            {"name": "data", "mountPath": "/data", "subPathExpr": "$(A)/x"},
            {"name": "conf", "mountPath": "etc/conf"},
            {"name": "host", "mountPath": "/srv", "readOnly": True},
        ],
    }
    found = volumes.mounts(container, pathlib.Path("/v"), known, {"A": "1"})
    assert [(str(it.source), it.destination, it.read_only) for it in found] == [
        ("/v/data/1/x", "/data", False),
        ("/v/conf", "/etc/conf", True),
        ("/srv", "/srv", True),
    ]
    for bad, words in (
        ({"name": "no"}, "has no volume 'no'"),
        ({"name": "data", "subPath": "../x"}, "leaves the volume"),
    ):
        with pytest.raises(errors.PodRefused, match=words):
            volumes.mounts({"name": "c", "volumeMounts": [{"mountPath": "/m", **bad}]}, pathlib.Path("/v"), known, {})


def test_tokens_that_a_pod_needs() -> None:
    """By audience and lifetime; an hour unless the pod says otherwise."""
    token = {"serviceAccountToken": {"path": "t"}}
    pod = {
        "spec": {"volumes": [{"name": "v", "projected": {"sources": [token, token]}}, {"name": "w", "emptyDir": {}}]}
    }
    assert volumes.tokens(pod) == {volumes.TokenWish(audience="", ttl_s=3600)}


def test_host_path_types(tmp_path: pathlib.Path) -> None:
    """What must be there is checked, what may be made is made."""
    made = volumes.Host(path=tmp_path / "new" / "dir", kind="DirectoryOrCreate")
    assert volumes.write(tmp_path, {"h": made}, None) == []
    assert (tmp_path / "new" / "dir").is_dir()
    with pytest.raises(errors.PodRefused, match="is no Directory"):
        volumes.write(tmp_path, {"h": volumes.Host(path=tmp_path / "none", kind="Directory")}, None)
