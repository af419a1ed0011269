"""Take out of an installed tree what never runs: Kubernetes' model classes, tests and headers.

Here because most of some distributions is not for us: objects stay plain JSON, so that of the Kubernetes client only
its core is imported (100 MB less). The lab is not for clusters.

    python3 trim.py /usr/lib/ipseity
"""

# ruff: noqa: INP001  # programs of an image, not a package

import pathlib
import shutil
import sys
from typing import Final

_UNUSED_FOLDERS: Final = (
    "numpy/**/tests",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/fft",
    "numpy/ma",
    "numpy/polynomial",
    "numpy/random",
    "numpy/testing",
    "numpy/_core/include",
    "numpy/_core/lib",
    "kubernetes/e2e_test",
    "tzdata",
    "comparisons",
)
_MODELS: Final = (
    "kubernetes/client/models",
    "kubernetes/client/api",
    "kubernetes/aio/client/models",
    "kubernetes/aio/client/api",
)
_UNUSED_FILES: Final = ("**/*.pyi", "**/*.pxd", "**/*.pyx", "**/*.a", "**/*.h")


def trim(packages: pathlib.Path) -> None:
    """Do it to one site-packages."""
    for pattern in _UNUSED_FOLDERS:
        for folder in list(packages.glob(pattern)):
            shutil.rmtree(folder, ignore_errors=True)
    for name in _MODELS:
        for path in list((packages / name).rglob("*")):
            if path.is_file() and not path.name.startswith("__init__."):
                path.unlink()
    for pattern in _UNUSED_FILES:
        for path in list(packages.glob(pattern)):
            if "bpf" not in path.relative_to(packages).parts:  # our own C sources are compiled on the node
                path.unlink()


if __name__ == "__main__":
    for found in pathlib.Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        trim(found)
