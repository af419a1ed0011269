"""Root file systems of the images, made by carrying out the Dockerfile itself, without a container engine.

Here because a missing file or library should show where the project is made, not on somebody's cluster. The base is
what debootstrap makes of the release that the Dockerfile names, without the documentation that the slim image leaves
out as well. RUN is carried out below that root with this machine's way to packages (its apt sources, its pip settings);
nothing of these stays. Knows the instructions that our Dockerfile has, and refuses any other. Leaves out layers,
and what the instructions say about how a container starts (``Image.user``, ``Image.command`` are read, not obeyed).
"""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

from tests.scene import clone

DOCKERFILE = clone.ROOT / "Dockerfile"
_BASE = re.compile(r"docker\.io/library/debian:(?P<suite>\w+)-slim")
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "var/cache/apt")
"""What Debian's slim images leave out (debuerreotype's slimify-excludes), and what downloading leaves behind."""
_LENT = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources", "/etc/apt/apt.conf.d", "/etc/resolv.conf")
_CERTIFICATES = "/run/certificates-of-this-machine.crt"


@dataclasses.dataclass(slots=True)
class Image:
    """One stage, as far as it is made."""

    root: pathlib.Path
    workdir: str = "/"
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    user: str = ""
    command: tuple[str, ...] = ()


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Read a Dockerfile: instruction and the rest, with continued lines joined and comments gone."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = "\n".join(lines).replace("\\\n", " ")
    for line in filter(str.strip, whole.splitlines()):
        name, _, rest = line.strip().partition(" ")
        yield name.upper(), rest.strip()


def build(folder: pathlib.Path, targets: tuple[str, ...]) -> dict[str, Image]:
    """Make the stages that ``targets`` need, below ``folder``; returns the targets."""
    wanted = needed(DOCKERFILE.read_text(), targets)
    stages: dict[str, Image] = {}
    arguments: dict[str, str] = {}
    image: Image | None = None
    for name, rest in instructions(DOCKERFILE.read_text()):
        rest = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), rest)  # noqa: PLW2901  # as told
        if name == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = value
        elif name == "FROM":
            source, _, stage = rest.split()
            image = _begin(folder, source, stage, stages) if stage in wanted else None
            if image:
                stages[stage] = image
        elif image:
            _carry_out(name, rest, image, stages)
    for stage in targets:
        _bare(stages[stage].root)
    return {stage: stages[stage] for stage in targets}


def needed(text: str, targets: tuple[str, ...]) -> set[str]:
    """Name the stages that these are made of, themselves included."""
    needs: dict[str, set[str]] = {}
    stage = ""
    for name, rest in instructions(text):
        if name == "FROM":
            source, _, stage = rest.split()
            needs[stage] = {source}
        elif name == "COPY" and (found := re.match(r"--from=(\S+)", rest)):
            needs[stage].add(found[1])
    wanted, before = set(targets), set[str]()
    while wanted != before:
        before = set(wanted)
        wanted |= {below for stage in before for below in needs.get(stage, ())}
    return wanted & needs.keys()


def _begin(folder: pathlib.Path, source: str, stage: str, stages: dict[str, Image]) -> Image:
    root = folder / stage
    if source == "scratch":
        root.mkdir()
        return Image(root=root)
    before = stages.get(source) or Image(root=_base(folder, source))
    subprocess.run(["cp", "--archive", "--reflink=auto", before.root, root], check=True)
    return dataclasses.replace(before, root=root, environ=dict(before.environ), labels={})


def _base(folder: pathlib.Path, source: str) -> pathlib.Path:
    """Make the base once."""
    root = folder / "base"
    if root.exists():
        return root
    found = _BASE.fullmatch(source)
    if not found:
        raise RuntimeError(f"Dockerfile: base {source!r} is no slim image of a Debian release")
    log = folder / "debootstrap.log"
    with log.open("w") as output:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", found["suite"], root], stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap: {log.read_text()[-2000:]}")
    _bare(root)
    return root


def _bare(root: pathlib.Path) -> None:
    """Take away what the slim image has not."""
    for name in _SLIM:
        for path in (root / name).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in (root / "var/lib/apt/lists").glob("*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (root / "var/log").rglob("*"):
        if path.is_file():
            path.unlink()


def _carry_out(name: str, rest: str, image: Image, stages: dict[str, Image]) -> None:
    match name:
        case "RUN":
            _run(rest, image)
        case "COPY":
            _copy(rest, image, stages)
        case "WORKDIR":
            image.workdir = rest
            (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "ENV":
            image.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "LABEL":
            image.labels |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "USER":
            image.user = rest
        case "ENTRYPOINT":
            image.command = tuple(json.loads(rest))
        case "CMD":
            image.command += tuple(json.loads(rest))
        case _:
            raise RuntimeError(f"Dockerfile: {name} is not carried out here; teach tests/scene/image.py")


def _copy(rest: str, image: Image, stages: dict[str, Image]) -> None:
    words = shlex.split(rest)
    origin = clone.ROOT
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    into = image.root / os.path.join(image.workdir, target).lstrip("/")  # noqa: PTH118  # a path of the image
    for source in sources:
        found = origin / source.lstrip("/")
        if origin != clone.ROOT:  # another stage: links, devices and owners as they are
            into.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", f"{found}/.", into], check=True)
        elif found.is_dir():
            shutil.copytree(
                found, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(found, into / found.name if target.endswith("/") else into)


def _run(command: str, image: Image) -> None:
    """Carry out a RUN below the root, in mounts and processes of its own."""
    lent = {path: path for path in map(pathlib.Path, _LENT) if path.exists()}
    environ = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()},
        **image.environ,
    }
    if "PIP_CERT" in environ:
        lent[pathlib.Path(_CERTIFICATES)] = pathlib.Path(environ["PIP_CERT"])
        environ["PIP_CERT"] = _CERTIFICATES
    mounts = [
        f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(_place(image.root, path, source)))}"
        for path, source in lent.items()
    ]
    inside = f"cd {shlex.quote(image.workdir)} && {command}"
    script = " && ".join(
        [
            f"mount -t proc proc {image.root}/proc",
            f"mount --rbind /dev {image.root}/dev",
            *mounts,
            f"exec chroot {image.root} /bin/sh -c {shlex.quote(inside)}",
        ]
    )
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    for path in lent:
        place = image.root / str(path).lstrip("/")
        if place.is_file() and place.stat().st_size == 0:
            place.unlink()
    for path in (image.root / "run").glob("*"):  # what was lent; the rest of /run is made at each start
        path.unlink() if path.is_file() else None
    if done.returncode != 0:
        raise RuntimeError(f"RUN {command[:200]}: exit status {done.returncode}\n{done.stdout[-3000:]}")


def _place(root: pathlib.Path, path: pathlib.Path, source: pathlib.Path) -> pathlib.Path:
    """Make what something is to be bound on."""
    place = root / str(path).lstrip("/")
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return place


def megabytes(path: pathlib.Path) -> float:
    """Add up what files hold, as an image's layers do; a file with two names counts once."""
    done = subprocess.run(["du", "--summarize", "--bytes", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1e6
