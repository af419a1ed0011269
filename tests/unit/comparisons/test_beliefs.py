"""Whose pod an IP policy took an address for, by its own log. Leaves out agents: ``tests/functional/ip_policy``."""

from comparisons import match
from comparisons.contenders import address
from comparisons.ip_policy import contender


def change(name: str, uid: str, at_ns: int, *addresses: str, gone: bool = False) -> contender.Delay:
    return contender.Delay(
        kind="pod",
        namespace="x",
        name=name,
        uid=uid,
        version="1",
        gone=gone,
        addresses=addresses,
        heard_mono_ns=at_ns,
        enforced_mono_ns=at_ns,
        delay_ms=0.0,
        how="nothing",
        ended=0,
    )


def believed(*changes: contender.Delay) -> list[tuple[str, str, int, int]]:
    return [(it.address, it.name, it.from_ns, it.until_ns) for it in address.beliefs(changes)]


def test_an_address_has_an_owner_until_it_has_another_or_none() -> None:
    """Taken over, given up, and still held."""
    told = change("a", "1", 1, "10.0.0.2"), change("b", "2", 5, "10.0.0.2"), change("b", "2", 9)
    assert [("10.0.0.2", "a", 1, 5), ("10.0.0.2", "b", 5, 9)] == believed(*told)
    assert [("10.0.0.2", "a", 1, match.FOREVER_NS)] == believed(told[0])
    assert [("10.0.0.2", "a", 1, 7)] == believed(told[0], change("a", "1", 7, "10.0.0.2", gone=True))


def test_another_pod_of_the_same_name_takes_nothing_away() -> None:
    """It is in another namespace: made, given its address, gone."""
    mine, forever = change("client", "1", 1, "10.0.0.2"), match.FOREVER_NS
    other = change("client", "2", 2), change("client", "2", 3, "10.0.2.2"), change("client", "2", 4, gone=True)
    assert [("10.0.2.2", "client", 3, 4), ("10.0.0.2", "client", 1, forever)] == believed(mine, *other)
    new = change("client", "3", 6, "10.0.0.2")
    assert [("10.0.0.2", "client", 1, 6), ("10.0.0.2", "client", 6, forever)] == believed(mine, new)
