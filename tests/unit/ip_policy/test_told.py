"""What is heard becomes a line in the log, and a full disk stops nobody."""

import dataclasses
import json
import pathlib

from comparisons.ip_policy import contender, delays, heard, model, reading
from ipseity import informer
from tests.fakes import policed_cluster as cast


def event(it: cast.Json, *, gone: bool = False, boot_ns: int = 7_000_000) -> informer.WatchEvent[model.Pod]:
    change = informer.Change.GONE if gone else informer.Change.SEEN
    value = reading.pod(it)
    return informer.WatchEvent(change=change, uid=value.uid, value=value, boot_ns=boot_ns, since_ns=boot_ns)


def test_a_change_is_told_once_with_its_delay() -> None:
    """The version is the object's; the delay is from hearing to enforcing."""
    cluster, it = heard.Cluster(), cast.pod("shop", "web", "1.2")
    it["metadata"]["resourceVersion"] = "41"
    cluster.pods.take(event(it))
    cluster.note("pod", event(it))
    (news,) = cluster.news()
    assert [] == cluster.news()
    line = delays.change(news, how="difference", ended=3, now_mono_ns=12_500_000)
    assert ("41", 5.5, ["10.7.1.2", "fd00:1::2"]) == (line["version"], line["delay_ms"], line["addresses"])
    assert {field.name for field in dataclasses.fields(contender.Delay)} | {"event"} == line.keys()


def test_what_could_not_be_enforced_waits_in_order() -> None:
    """Before what came later."""
    cluster = heard.Cluster()
    for name in ("a", "b"):
        cluster.note("pod", event(cast.pod("shop", name, "1.2")))
    taken = cluster.news()
    cluster.note("pod", event(cast.pod("shop", "c", "1.2")))
    cluster.again(taken)
    assert ["a", "b", "c"] == [each.name for each in cluster.news()]


def test_the_version_alone_is_no_change() -> None:
    """A heartbeat must not look like one: objects are compared without it."""
    one, two = cast.pod("shop", "web", "1.2"), cast.pod("shop", "web", "1.2")
    two["metadata"]["resourceVersion"] = "9"
    assert reading.pod(one) == reading.pod(two)


def test_the_state_is_what_is_left() -> None:
    """Gone is gone."""
    cluster, it = heard.Cluster(), cast.pod("shop", "web", "1.2")
    cluster.pods.take(event(it))
    assert ["web"] == [each.name for each in cluster.state().pods.values()]
    cluster.pods.take(event(it, gone=True))
    assert {} == cluster.state().pods


def test_a_full_disk_is_counted() -> None:
    """And the agent goes on."""
    log = delays.Log("/dev/full")
    for _ in range(2):
        log.write([{"a": 1}])
    log.close()
    assert 2 == log.lost


def test_lines_are_added(tmp_path: pathlib.Path) -> None:
    """To the end of the file."""
    for number in range(2):
        log = delays.Log(str(tmp_path / "log"))
        log.write([{"n": number}])
        log.close()
    assert [{"n": 0}, {"n": 1}] == [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
