"""A root file system with our programs where the images have them: this machine's own root, and a few links over it.

Here so that the manifests that are shipped can be run word for word without building images, which takes minutes
(``image``). A lab takes a directory for an image. Leaves out whether the images have what they need:
``make image-check``.
"""

import contextlib
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

from tests.scene import clone

_LINKS = {
    "usr/bin/ipseity": ".venv/bin/ipseity",
    "usr/lib/ipseity/bin/ipseity": ".venv/bin/ipseity",
    "usr/lib/ipseity/bin/python": ".venv/bin/python",
    "usr/lib/ipseity/share/relay.py": "deploy/image/relay.py",
}


@contextlib.contextmanager
def root() -> Iterator[pathlib.Path]:
    """Mount it; afterwards it is gone. The links lie in a file system of their own: overlayfs takes no other."""
    with contextlib.ExitStack() as undo:
        folder = pathlib.Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="ipseity-root-", dir="/run")))
        _mount(undo, "tmpfs", "tmpfs", folder, "mode=0755")
        over, made = folder / "over", folder / "root"
        made.mkdir()
        for name, target in _LINKS.items():
            link = over / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(clone.ROOT / target)
        _mount(undo, "overlay", "overlay", made, f"lowerdir={over}:/")
        yield made


def _mount(undo: contextlib.ExitStack, kind: str, source: str, target: pathlib.Path, options: str) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, source, str(target)], check=True)
    undo.callback(subprocess.run, ["umount", str(target)], check=True)
