"""agent/wire.py against bpf/include/flow.h, as the host's C compiler lays it out: every name, offset and size.

Left out: what the kernel's clang makes of it; the _Static_asserts in the header hold there too.
"""

import pathlib
import subprocess

import numpy as np
import pytest

from agent import wire

HEADER = pathlib.Path(__file__).parents[3] / "bpf" / "include" / "flow.h"
CONSTANTS = (
    "ABI_VERSION", "HISTOGRAM_BUCKETS", "HISTOGRAM_FIRST_LOG2", "FAIL_CAUSES", "LOSS_COUNT", "END_CLOSED",
    "HANDSHAKE_KEYS", "HANDSHAKE_KIND", "HANDSHAKE_EXID", "HANDSHAKE_LENGTH",
    "TOLD_NOTHING", "TOLD_PROVEN", "TOLD_FORGED", "ESTABLISHED", "ESTABLISHED_UNTOLD",
)  # fmt: skip
TYPES = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
"""


def layout_program() -> str:
    """Write a C program that prints "struct field offset size" of everything that wire.py mirrors."""
    lines = [TYPES, f'#include "{HEADER}"', "int main(void) {"]
    for struct, dtype in wire.STRUCTS.items():
        lines.append(f'printf("{struct} . 0 %zu\\n", sizeof(struct {struct}));')
        size = f"sizeof ((struct {struct} *)0)->"
        lines += [
            f'printf("{struct} {field} %zu %zu\\n", offsetof(struct {struct}, {field}), {size}{field});'
            for field in dtype.names or ()
        ]
    for name in CONSTANTS:
        lines.append(f'printf("constant {name} 0 %d\\n", {name});')
    return "\n".join([*lines, "return 0; }"])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, int]]:
    """Ask the compiler."""
    where = tmp_path_factory.mktemp("abi")
    (where / "layout.c").write_text(layout_program())
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", where / "layout", where / "layout.c"], check=True)
    printed = subprocess.run([where / "layout"], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in printed.splitlines())
    return {(struct, field): (int(offset), int(size)) for struct, field, offset, size in rows}


@pytest.mark.parametrize("struct", wire.STRUCTS)
def test_every_field_lies_where_c_puts_it(struct: str, compiled: dict[tuple[str, str], tuple[int, int]]) -> None:
    """Offset and size of each field, and of the whole."""
    dtype = wire.STRUCTS[struct]
    ours = {(struct, "."): (0, dtype.itemsize)}
    for field, (kind, offset, *_) in (dtype.fields or {}).items():
        ours[struct, field] = (offset, kind.itemsize)
    theirs = {key: value for key, value in compiled.items() if key[0] == struct}
    assert theirs == ours


def test_constants_are_the_same(compiled: dict[tuple[str, str], tuple[int, int]]) -> None:
    """Numbers that both sides spell out."""
    ours = {
        "ABI_VERSION": wire.ABI_VERSION,
        "HISTOGRAM_BUCKETS": wire.HISTOGRAM_BUCKETS,
        "HISTOGRAM_FIRST_LOG2": int(np.log2(wire.RTT_BOUNDS_US[0])),
        "FAIL_CAUSES": wire.EDGE_VALUE["failed"].shape[0],
        "LOSS_COUNT": len(wire.LOSSES),
        "END_CLOSED": wire.END_CLOSED,
        **{name: getattr(wire, name) for name in CONSTANTS if name.startswith(("HANDSHAKE", "TOLD", "ESTABLISHED"))},
    }
    assert ours == {name: value for (struct, name), (_, value) in compiled.items() if struct == "constant"}


def test_blocks_cover_the_same_bytes() -> None:
    """EDGE_BLOCKS is EDGE_VALUE with like counters put together."""
    assert wire.EDGE_BLOCKS.itemsize == wire.EDGE_VALUE.itemsize
    for block, first in (("wide", "sent_bytes"), ("narrow", "opened")):
        blocks, fields = wire.EDGE_BLOCKS.fields, wire.EDGE_VALUE.fields
        assert blocks is not None
        assert fields is not None
        assert fields[first][1] == blocks[block][1]
