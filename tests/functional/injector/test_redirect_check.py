"""``ipseity sidecar redirect`` as the init container runs it: with one capability, checked by use, loud when it fails.

Leaves out what the rules do (``test_redirect``).
"""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.scene import clone, room

PROGRAM = """
import sys
from injector.sidecar import commands
from ipseity import cli
try:
    commands.sidecar.main(sys.argv[1:], standalone_mode=False)
except Exception as error:
    sys.exit(cli._explain(error))
"""
COMMAND = (sys.executable, "-c", PROGRAM)
KUBELETS_DEV = """
mount -t tmpfs none /mnt && touch /mnt/null /mnt/urandom /mnt/termination-log &&
mount --bind /dev/null /mnt/null && mount --bind /dev/urandom /mnt/urandom && mount --rbind /mnt /dev &&
"$@"; cat /dev/termination-log
"""
ONLY_NET_ADMIN = ("setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--no-new-privs")
NO_CAPABILITY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
READ_ONLY_ROOT = ("unshare", "--mount", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh")
LISTENS = (
    "import signal, socket; s = socket.create_server(('127.0.0.1', 15001)); print('x', flush=True); signal.pause()"
)
RIVAL = """
table ip mesh {
  chain output { type nat hook output priority -150; tcp dport 20001 dnat to 10.203.0.2; }
}
"""


@pytest.fixture
def rooms() -> Iterator[tuple[room.Room, room.Room]]:
    with room.pair("check") as pair:
        yield pair


@pytest.fixture
def pod(rooms: tuple[room.Room, room.Room]) -> room.Room:
    return rooms[0]


def run(where: room.Room, *words: str, limits: tuple[str, ...] = ONLY_NET_ADMIN) -> subprocess.CompletedProcess[str]:
    command = where.command(*limits, *COMMAND, *words)
    return subprocess.run(command, cwd=clone.ROOT, check=False, capture_output=True, text=True)


def said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return dict(json.loads(done.stderr))


def tables(where: room.Room) -> str:
    return where.run("nft", "list", "tables").strip()


def test_it_works_with_one_capability_and_nothing_to_write_to(pod: room.Room) -> None:
    """NET_ADMIN alone, no new privileges, a read-only root; both families are proven by a connection."""
    for _ in range(2):
        done = run(pod, "redirect", "--skip-inbound-ports", "25", limits=(*READ_ONLY_ROOT, *ONLY_NET_ADMIN))
        assert 0 == done.returncode, done.stderr
        assert ["IPv4", "IPv6"] == said(done)["proven"]
    assert "table inet ipseity" == tables(pod)


def test_without_the_capability_it_says_which(pod: room.Room) -> None:
    """A policy that strips capabilities is found by its name."""
    done = run(pod, "redirect", limits=NO_CAPABILITY)
    assert 2 == done.returncode
    assert "does not let this container change the pod's network" in done.stderr
    assert "needs runAsUser 0 and NET_ADMIN" in done.stderr


def test_a_family_without_a_route_is_not_proven_and_no_fault(rooms: tuple[room.Room, room.Room]) -> None:
    """A pod that cannot go out in IPv6 has nothing there that could pass by; that it has no way out at all is said."""
    pod, lonely = rooms
    pod.run("ip", "-6", "route", "delete", "default")
    assert ["IPv4"] == said(run(pod, "redirect"))["proven"]
    assert ["IPv6"] == said(run(pod, "redirect"))["without_route"]
    assert "warning" == said(run(lonely, "redirect"))["level"]


def test_a_pod_without_ipv6_is_fine(pod: room.Room) -> None:
    """Switched off by a sysctl, as many clusters do."""
    pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    done = run(pod, "redirect")
    assert 0 == done.returncode, done.stderr
    assert ["IPv4"] == said(done)["proven"]


def test_somebody_who_takes_the_connections_first_fails_the_pod(rooms: tuple[room.Room, room.Room]) -> None:
    """Another table that translates before ours: traffic would pass by, so the pod must not start."""
    pod, peer = rooms
    pod.run("bash", "-c", 'nft --file - <<< "$0"', RIVAL)
    with room.talking(peer, LISTENS.replace("127.0.0.1", "").replace("15001", "20001")):
        done = run(pod, "redirect")
    assert 2 == done.returncode
    assert "the redirect does not work: an IPv4 connection to 192.0.2.1 port 20001" in done.stderr
    assert "would pass by its proxy" in done.stderr


def test_another_table_is_told_of(pod: room.Room) -> None:
    """It does no harm now; it is the first thing to know when it does."""
    pod.run("bash", "-c", 'nft --file - <<< "$0"', RIVAL.replace("20001", "20002"))
    done = run(pod, "redirect")
    assert 0 == done.returncode, done.stderr
    assert ["ip mesh output"] == said(done)["other_tables"]


def test_a_port_that_is_taken_fails_the_pod(pod: room.Room) -> None:
    """A container that listens where the proxy must."""
    with room.talking(pod, LISTENS):
        done = run(pod, "redirect")
    assert 2 == done.returncode
    assert "cannot listen on port 15001" in done.stderr
    assert "no container of this pod may use the ports 15001 and 15006" in done.stderr


def test_the_reason_is_in_the_pods_status(pod: room.Room) -> None:
    """Written to the file that the kubelet reads, if there is one."""
    private = ("unshare", "--mount", "sh", "-c", KUBELETS_DEV, "sh")
    done = run(pod, "redirect", limits=(*private, *NO_CAPABILITY))
    assert "does not let this container change" in done.stdout
    assert "needs runAsUser 0 and NET_ADMIN" in done.stdout


def test_it_is_taken_out_again(pod: room.Room) -> None:
    """For somebody who looks for a fault; twice is no error."""
    run(pod, "redirect")
    assert 0 == run(pod, "redirect", "--remove").returncode
    assert 0 == run(pod, "redirect", "--remove").returncode
    assert "" == tables(pod)


def test_a_port_that_is_none_is_refused(pod: room.Room) -> None:
    """Before anything is changed."""
    done = run(pod, "redirect", "--skip-outbound-ports", "80,none")
    assert 2 == done.returncode
    assert "'none' is not a port to skip" in done.stderr
    assert "" == tables(pod)


def test_the_rules_can_be_read_first(pod: room.Room) -> None:
    """Printed, and nothing is changed; what is printed is what nft takes."""
    done = run(pod, "redirect", "--print", limits=NO_CAPABILITY)
    assert "" == tables(pod)
    pod.run("bash", "-c", 'nft --check --file - <<< "$0"', done.stdout)
    assert "redirect to :15001" in done.stdout
