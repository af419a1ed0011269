"""What is to be loaded on a kernel, and the words for a refusal. Left out: loading it (tests/functional/agent)."""

import errno
import pathlib

import pytest

from agent import attach, errors, loading

RESET = "\tfield:__u64 sock_cookie;\toffset:72;\tsize:8;\tsigned:0;\n"
ERROR = "\tfield:int error;\toffset:{};\tsize:4;\tsigned:1;\n"
MKDIR = (
    "\tfield:int root;\toffset:8;\tsize:4;\tsigned:1;\n"
    "\tfield:u64 id;\toffset:16;\tsize:8;\tsigned:0;\n"
    "\tfield:__data_loc char[] path;\toffset:24;\tsize:4;\tsigned:1;\n"
)
ALL = ("tcp_receive_reset", "tcp_error_report", "cgroup_mkdir", "cgroup_rmdir")


@pytest.fixture
def tracefs(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the four tracepoints as Linux 6.18 describes them."""
    for number, (name, text) in enumerate(
        [
            ("tcp/tcp_receive_reset", RESET),
            ("sock/inet_sk_error_report", ERROR.format(8)),
            ("cgroup/cgroup_mkdir", MKDIR),
            ("cgroup/cgroup_rmdir", MKDIR),
        ],
        start=101,
    ):
        folder = tmp_path / "events" / name
        folder.mkdir(parents=True)
        (folder / "id").write_text(f"{number}\n")
        (folder / "format").write_text(f"name: x\nformat:\n{text}\nprint fmt: ...")
    return tmp_path


def planned(tracefs: pathlib.Path, release: str = "6.18.5-1-amd64") -> attach.Plan:
    return attach.plan(attach.Options(cgroup_root=pathlib.Path("/x"), tracefs=tracefs), release)


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.1.0-13-amd64", (6, 1, 0)),
        ("5.10.0", (5, 10, 0)),
        ("6.18-rc3", (6, 18, 3)),
        ("6.6.87.2-microsoft-standard-WSL2", (6, 6, 87)),
        ("5.15", (5, 15, 0)),
    ],
)
def test_a_release_is_read_by_its_numbers(release: str, version: tuple[int, int, int]) -> None:
    """Whatever a distribution puts behind them."""
    assert version == attach.kernel_version(release)


@pytest.mark.parametrize(("release", "more"), [("6.1.0-13-amd64", {"connect_ipv4", "connect_ipv6"}), ("6.2.0", set())])
def test_who_calls_is_asked_where_sock_ops_is_not_told(tracefs: pathlib.Path, release: str, more: set[str]) -> None:
    """By two programs on connect()."""
    assert {"tcp_ops", "packet_egress", "packet_ingress"} | more == planned(tracefs, release).hooks.keys()


def test_a_whole_kernel_has_every_program(tracefs: pathlib.Path) -> None:
    """With the numbers and offsets that its tracefs gives."""
    plan = planned(tracefs)
    assert ((), dict(zip(ALL, (101, 102, 103, 104), strict=True))) == (plan.missing, dict(plan.tracepoints))
    assert {"tcp_ops", "packet_egress", "packet_ingress", *ALL} == set(plan.programs)
    offsets = ("RESET_COOKIE_OFFSET", "CGROUP_ROOT_OFFSET", "CGROUP_ID_OFFSET", "CGROUP_PATH_OFFSET")
    assert [72, 8, 16, 24] == [plan.defines[name] for name in offsets]
    assert "ERROR_REPORT_OFFSET" not in plan.defines, "a constant of the program, only checked"
    assert "link_tcp_ops" in plan.links


@pytest.mark.parametrize(
    ("path", "content", "missing"),
    [
        ("tcp/tcp_receive_reset/id", None, "tcp_receive_reset"),
        ("cgroup/cgroup_mkdir/format", "nothing", "cgroup_mkdir"),
        ("cgroup/cgroup_rmdir/id", "many", "cgroup_rmdir"),
        ("sock/inet_sk_error_report/format", ERROR.format(12), "tcp_error_report"),
    ],
)
def test_a_tracepoint_that_is_not_as_it_should_be_is_left_out(
    tracefs: pathlib.Path, path: str, content: str | None, missing: str
) -> None:
    """Gone, with other fields, unreadable, laid out otherwise: fewer answers, and it is said which."""
    file = tracefs / "events" / path
    file.write_text(content) if content is not None else file.unlink()
    plan = planned(tracefs)
    assert ((missing,), False) == (plan.missing, missing in plan.programs)
    assert {"tcp_ops", "packet_egress", "packet_ingress"} <= set(plan.programs)
    assert all(isinstance(value, int) for value in plan.defines.values())


def test_without_tracefs_it_still_counts(tmp_path: pathlib.Path) -> None:
    """The cgroup programs need none of it."""
    assert (ALL, ("tcp_ops", "packet_egress", "packet_ingress")) == (
        planned(tmp_path).missing,
        planned(tmp_path).programs,
    )


@pytest.mark.parametrize(
    ("release", "links"), [("5.10.0", False), ("5.14.21", False), ("5.15.0", True), ("6.1.0", True)]
)
def test_tracepoint_links_are_there_since_5_15(tracefs: pathlib.Path, *, release: str, links: bool) -> None:
    """Before, the program is held by its event."""
    assert links is planned(tracefs, release).tracepoint_links


@pytest.mark.parametrize("release", ["5.9.16", "4.19.0-27-amd64", "5.4.0"])
def test_an_old_kernel_is_refused_with_what_it_needs(tracefs: pathlib.Path, release: str) -> None:
    """Before anything is touched."""
    with pytest.raises(errors.KernelRefused, match=release) as refusal:
        planned(tracefs, release)
    assert "5.10" in refusal.value.hint


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        (0, ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]),
        (1 << 12 | 1 << 38 | 1 << 39, []),
        (1 << 12 | 1 << 21, []),
        (1 << 21, ["CAP_NET_ADMIN"]),
        (1 << 12 | 1 << 39, ["CAP_PERFMON"]),
        ((1 << 41) - 1, []),
    ],
)
def test_missing_rights_are_named(effective: int, missing: list[str]) -> None:
    """CAP_SYS_ADMIN stands for BPF and PERFMON, never for NET_ADMIN."""
    status = f"Name:\tx\nCapPrm:\t{2**41 - 1:016x}\nCapEff:\t{effective:016x}\nCapBnd:\t{2**41 - 1:016x}\n"
    assert missing == attach.missing_rights(status)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EPERM, "CAP_BPF"), (errno.EACCES, "CAP_BPF"), (errno.EINVAL, "docs/kernels.md"), (None, "docs/kernels.md")],
)
def test_a_refusal_says_what_and_what_to_do(number: int | None, hint: str) -> None:
    """Also where the kernel gave no number."""
    error = OSError(number, "Not This Time") if number else OSError("Not This Time")
    refusal = attach._refusal(error, "attach tcp_ops to /x")
    assert "cannot attach tcp_ops to /x: not this time" == str(refusal)
    assert hint in refusal.hint


@pytest.mark.parametrize(
    ("message", "said", "expected", "hint"),
    [
        ("No module named 'bcc'", "", "no module named 'bcc'", "python3-bpfcc"),
        ("the loader died", "ModuleNotFoundError: No module named 'bcc'\n", "no module named 'bcc'", "python3-bpfcc"),
        ("Failed to load", "WARNING: x\n R1 !read_ok\n\n", "Failed to load (R1 !read_ok)", "docs/kernels.md"),
        ("Failed to load", "WARNING: only this\n", "Failed to load", "docs/kernels.md"),
    ],
)
def test_the_loader_s_last_word_is_in_the_error(message: str, said: str, expected: str, hint: str) -> None:
    """A missing BCC has its own hint; warnings are no reason."""
    refusal = loading._refusal(message, said)
    assert f"cannot load bpf/*.c: {expected}" == str(refusal)
    assert hint in refusal.hint
