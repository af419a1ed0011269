"""A bootable disk and three kernels, made of Debian's own packages and kept in the user's cache folder.

Fetched from the mirror that this machine is set up with, and verified with Debian's keys. Made once (minutes); remove
the cache folder to get newer kernels. Leaves out booting (``machine``).
"""

import dataclasses
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import zlib

ROOT_SUITE = "bookworm"
ROOT_PACKAGES = ("python3-bpfcc", "python3-numpy", "iproute2", "kmod", "linux-libc-dev", "nftables")
"""All that the agent's kernel side may need besides Debian's Python; nftables: for what the network does to packets."""
SUITES = ("bullseye", "bookworm", "trixie")
"""Their stock kernels are 5.10 (the floor), 6.1 and 6.12."""
KERNEL_PACKAGE = "linux-image-cloud-amd64"
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
DISK_MEGABYTES = 2500
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INIT = pathlib.Path(__file__).with_name("initramfs.sh")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel, ready to boot from the shared disk."""

    version: str
    image: pathlib.Path
    initramfs: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What ``machine.boot`` needs."""

    disk: pathlib.Path
    kernels: tuple[Kernel, ...]


def cache() -> pathlib.Path:
    """Folder for what is fetched once."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "ipseity" / "kernels"


def machines() -> Machines:
    """Disk and kernels, from the cache or made now."""
    folder = cache()
    made = folder / f"machines-{zlib.crc32(' '.join(ROOT_PACKAGES).encode()):08x}.json"  # other packages: made again
    if not made.exists():
        made.write_text(json.dumps(make(folder)))
    versions = json.loads(made.read_text())
    return Machines(
        disk=folder / "disk.img",
        kernels=tuple(
            Kernel(version=version, image=folder / version / "vmlinuz", initramfs=folder / version / "initramfs")
            for version in versions
        ),
    )


def make(folder: pathlib.Path) -> list[str]:
    """Fetch, unpack and pack everything; returns the kernel versions, oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fetching a root file system and {len(SUITES)} kernels from Debian into {folder}, once", flush=True)
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    bootstrap(tree, folder / "debootstrap.log")
    versions = [unpack_kernel(suite, folder, tree) for suite in SUITES]
    disk = folder / "disk.img"
    disk.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, "-r", "1", "-N", "80000", disk, f"{DISK_MEGABYTES}M")
    shutil.rmtree(tree)
    return versions


def bootstrap(tree: pathlib.Path, log: pathlib.Path) -> None:
    """Make a root file system with what the payload may use."""
    include = f"--include={','.join(ROOT_PACKAGES)}"
    with log.open("wb") as output:
        command = ["debootstrap", "--variant=minbase", f"--keyring={KEYRING}", include, ROOT_SUITE, str(tree), mirror()]
        subprocess.run(command, check=True, stdout=output, stderr=output)


def mirror() -> str:
    """Take the first Debian mirror of this machine's apt sources."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    found = subprocess.run(targets, check=True, capture_output=True, text=True).stdout.split()
    return found[0] if found else "http://deb.debian.org/debian"


def unpack_kernel(suite: str, folder: pathlib.Path, tree: pathlib.Path) -> str:
    """Fetch a suite's kernel, put its modules into the root file system, make its initramfs."""
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    run("dpkg-deb", "--extract", download_kernel(suite, folder / "apt" / suite), unpacked)
    (image,) = unpacked.glob("boot/vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    (modules,) = unpacked.glob(f"**/lib/modules/{version}")
    shutil.copytree(
        modules, tree / "usr/lib/modules" / version, symlinks=True, ignore=shutil.ignore_patterns("build", "source")
    )
    run("chroot", tree, "depmod", version)
    ours = folder / version
    ours.mkdir(exist_ok=True)
    shutil.copy(image, ours / "vmlinuz")
    pack_initramfs(ours / "initramfs", tree, version)
    shutil.rmtree(unpacked)
    return version


def download_kernel(suite: str, state: pathlib.Path) -> pathlib.Path:
    """Fetch the package behind the suite's kernel meta package, with lists and cache of our own."""
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    settings = {
        "Dir::State::Lists": state / "lists",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run("apt-get", *options, "--quiet", "--quiet", "update")
    depends = ["apt-cache", *options, "depends", "--important", KERNEL_PACKAGE]
    answer = subprocess.run(depends, check=True, capture_output=True, text=True).stdout
    package = next(word for word in answer.split() if word.startswith("linux-image-") and word != KERNEL_PACKAGE)
    run("apt-get", *options, "--quiet", "--quiet", "download", package, folder=state)
    return max(state.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)


def pack_initramfs(target: pathlib.Path, tree: pathlib.Path, version: str) -> None:
    """Busybox, the modules that reach the disk, and a script that goes over to it."""
    folder = target.with_suffix(".tree")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "mnt", "modules"):
        (folder / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", folder / "bin/busybox")
    shutil.copy(INIT, folder / "init")
    (folder / "init").chmod(0o755)
    order = [copy_module(tree / path.lstrip("/"), folder / "modules") for path in module_paths(tree, version)]
    (folder / "modules/order").write_text("\n".join(order) + "\n")
    pack(folder, target)
    shutil.rmtree(folder)


def module_paths(tree: pathlib.Path, version: str) -> list[str]:
    """Files of the boot modules and of what they need, in loading order; what is built in has none."""
    found: dict[str, None] = {}
    for module in BOOT_MODULES:
        show = ["chroot", str(tree), "modprobe", "--set-version", version, "--show-depends", module]
        for line in subprocess.run(show, check=True, capture_output=True, text=True).stdout.splitlines():
            action, _, path = line.strip().partition(" ")
            if action == "insmod":
                found[path.strip()] = None
    return list(found)


def copy_module(source: pathlib.Path, folder: pathlib.Path) -> str:
    """Copy a module, uncompressed; returns its file name there."""
    name = source.name.removesuffix(".xz")
    content = source.read_bytes()
    (folder / name).write_bytes(lzma.decompress(content) if source.suffix == ".xz" else content)
    return name


def pack(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Archive a folder as the kernel unpacks it. Archives can be joined: the kernel unpacks one after the other."""
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    with target.open("wb") as output:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet"],
            cwd=folder,
            input=names.encode(),
            stdout=output,
            check=True,
        )


def run(*command: str | pathlib.Path, folder: pathlib.Path | None = None) -> None:
    """Run a program that must succeed; its output is shown only where it fails."""
    done = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout, flush=True)
        done.check_returncode()
