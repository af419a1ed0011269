"""Cgroup ids and their lives. Leaves out what a path means (``test_places``)."""

from agent import lives, model, places

HISTORY_NS = 600 * 10**9
ID = model.CgroupId(4528)


def pod_path(number: int) -> str:
    return f"/kubepods/pod{number:08x}-0000-4000-8000-000000000000/c{number}"


def event(path: str, at: int, *, gone: bool = False, cgroup: int = ID) -> model.CgroupEvent:
    return model.CgroupEvent(cgroup=model.CgroupId(cgroup), path=path, boot_ns=at, gone=gone)


def made(limit: int = 100) -> lives.Lives:
    return lives.Lives(history_ns=HISTORY_NS, limit=limit)


def test_an_id_means_its_only_place_at_all_times() -> None:
    """A scan finds a directory long after it was made: the first meaning holds for all time before."""
    known = made()
    assert known.apply(event(pod_path(1), 100))
    assert places.parse(pod_path(1)) == known.place(ID, 3) == known.place(ID, 10**15)


def test_a_socket_outlives_its_cgroup() -> None:
    """The id keeps its meaning after the directory is gone, until the history is over."""
    known = made()
    known.apply(event(pod_path(1), 100))
    known.apply(event(pod_path(1), 200, gone=True))
    known.expire(200 + HISTORY_NS)
    assert places.parse(pod_path(1)) == known.place(ID, 300)
    known.expire(201 + HISTORY_NS)
    assert known.place(ID, 300) is None


def test_a_reused_number_is_a_new_owner() -> None:
    """Each moment is answered with the life that it falls into; the old one is forgotten alone."""
    known = made()
    known.apply(event(pod_path(1), 100))
    known.apply(event(pod_path(1), 200, gone=True))
    known.apply(event(pod_path(2), 300))
    assert [places.parse(pod_path(1))] * 2 == [known.place(ID, 150), known.place(ID, 299)]
    assert places.parse(pod_path(2)) == known.place(ID, 300)
    known.expire(201 + HISTORY_NS)
    assert [ID] == list(known.alive())
    assert 1 == len(known.by_id[ID])


def test_a_late_end_of_the_life_before_ends_nothing() -> None:
    """An event that names another path is about an earlier life."""
    known = made()
    known.apply(event(pod_path(1), 100))
    known.apply(event(pod_path(2), 300))
    known.apply(event(pod_path(1), 310, gone=True))
    assert {ID} == known.alive()


def test_a_scan_s_end_has_no_path_and_one_that_errs_is_taken_back() -> None:
    """A directory that a scan missed is alive again when the next one finds it."""
    known = made()
    known.apply(event(pod_path(1), 100))
    known.apply(event("", 200, gone=True))
    assert set() == known.alive()
    assert not known.apply(event(pod_path(1), 250))
    known.expire(201 + HISTORY_NS)
    assert {ID} == known.alive()


def test_the_limit_evicts_the_longest_gone_and_never_the_living() -> None:
    """Both kinds of loss are counted."""
    known = made(limit=2)
    known.apply(event(pod_path(1), 100, cgroup=1))
    known.apply(event(pod_path(2), 100, cgroup=2))
    assert not known.apply(event(pod_path(3), 100, cgroup=3))
    known.apply(event(pod_path(1), 200, gone=True, cgroup=1))
    assert known.apply(event(pod_path(4), 210, cgroup=4))
    assert {2, 4} == known.alive()
    assert 2 == known.evicted
