"""The generated code is what the compiler makes of the proto files now. Leaves out what the messages mean."""

import subprocess
import sys

import pytest

from tests.repo import tree

SOURCES = [str(path.relative_to(tree.ROOT)) for path in tree.files("injector/proto/*.proto")]


def test_there_is_something_to_generate() -> None:
    """Else the comparison below would compare nothing."""
    assert SOURCES


def test_the_committed_code_equals_a_fresh_generation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As `make proto` would write it."""
    out = tmp_path_factory.mktemp("proto")
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *SOURCES], cwd=tree.ROOT, check=True)
    fresh = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*_pb2*")}
    assert fresh
    assert fresh == {name: (tree.ROOT / name).read_text() for name in fresh}
