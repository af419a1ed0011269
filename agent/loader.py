"""Compile and load the C programs with BCC, hand their descriptors to the parent, exit.

The only file that knows BCC, and it runs as a process of its own: LLVM in BCC costs 130 to 150 MB of resident memory
for what takes 0.3 s. Leaves out attaching, pinning and reading: the parent (``kernel``) speaks ``bpf(2)`` itself.

Run as ``python -m agent.loader FD`` with a Unix socket at FD: reads one JSON request, answers one JSON reply with the
descriptors beside it (SCM_RIGHTS), in the order of ``reply["maps"] + reply["programs"]``; or ``{"error": text}`` and
exit status 1. Needs nothing but the standard library and bcc, so that it also runs inside a minimal image.
"""

import importlib.resources
import json
import os
import socket
import sys
from typing import Any, Final

SOURCES: Final = (
    "include/flow.h",
    "include/maps.h",
    "include/socket.h",
    "include/option.h",
    "owner.c",
    "handshake.c",
    "tcp.c",
    "udp.c",
    "cgroup.c",
)
"""One compilation unit in this order: the programs share their maps."""
MAPS: Final = (
    "edges",
    "losses",
    "kernel_settings",
    "prefixes",
    "crowded",
    "identities",
    "handshake_keys",
    "records",
    "cgroups",
    "connections",
    "overflow",
    "udp_sockets",
    "syns_seen",
    "deaf_peers",
)
PROGRAMS: Final = {
    "tcp_ops": "sock_ops",
    "packet_egress": "cgroup_skb",
    "packet_ingress": "cgroup_skb",
    "connect_ipv4": "cgroup_sock_addr",
    "connect_ipv6": "cgroup_sock_addr",
    "tcp_receive_reset": "tracepoint",
    "tcp_error_report": "tracepoint",
    "cgroup_mkdir": "tracepoint",
    "cgroup_rmdir": "tracepoint",
}
_KINDS: Final = {"tracepoint": 5, "cgroup_skb": 8, "sock_ops": 13, "cgroup_sock_addr": 18}  # enum bpf_prog_type
_ATTACH_TYPES: Final = {
    "connect_ipv4": 10,
    "connect_ipv6": 11,
}  # enum bpf_attach_type, which these programs are verified for
_MOST: Final = 1 << 16


def source() -> str:
    """Return the programs as one text; line numbers in error messages are those of the files."""
    folder = importlib.resources.files("bpf")
    parts = [f'#line 1 "bpf/{name}"\n{(folder / name).read_text()}' for name in SOURCES]
    return "#include <uapi/linux/bpf.h>\n" + "\n".join(parts)


def _load(request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    major, minor, patch = request["kernel"]
    with importlib.resources.as_file(importlib.resources.files("bpf") / "include" / "kernel") as headers:
        os.environ["BCC_KERNEL_SOURCE"] = str(headers)
        os.environ["BCC_LINUX_VERSION_CODE"] = str((major << 16) + (minor << 8) + min(patch, 255))
        import bcc  # noqa: PLC0415  # needs the two variables above when it is imported, and only this process may pay for it

        defines = {**request["defines"], "KERNEL": f"KERNEL_VERSION({major},{minor},{min(patch, 255)})"}
        flags = ["-Wno-everything", *(f"-D{name}={value}" for name, value in defines.items())]
        module = bcc.BPF(text=source(), cflags=flags)
        programs = {
            name: module.load_func(name, _KINDS[PROGRAMS[name]], None, _ATTACH_TYPES.get(name, -1)).fd
            for name in request["programs"]
        }
        maps = {
            name: bcc.lib.bpf_table_fd(module.module, name.encode()) for name in MAPS
        }  # its Python has no storage maps
    return {"maps": list(maps), "programs": list(programs)}, [*maps.values(), *programs.values()]


def main() -> int:
    """Serve the one request on the socket whose descriptor is the first argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        reply, descriptors = _load(json.loads(channel.recv(_MOST)))
    except Exception as error:  # noqa: BLE001  # whatever BCC raises is an answer; its own words went to stderr
        channel.sendall(json.dumps({"error": str(error)}).encode())
        return 1
    socket.send_fds(channel, [json.dumps(reply).encode()], descriptors)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # BCC's own clean-up takes 50 ms and detaches nothing of ours
