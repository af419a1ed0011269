"""How soon an informer asks again. Left out: what it does then (test_informer.py)."""

import pytest

from ipseity import informer, kube, paging


def test_delays_double_up_to_their_cap_and_are_jittered_down_to_half() -> None:
    """Unreachable is retried within a second, a refusal within half a minute or as the server asks."""
    unreachable, refused, asked = (
        informer.Informer(None, kube.PODS, trim=dict, clock=lambda: 0)  # type: ignore[arg-type]  # nothing is asked
        for _ in range(3)
    )
    away = [unreachable._failed(kube.KubernetesError("away")) for _ in range(12)]
    assert 0.05 <= away[0] <= 0.1
    assert 0.5 <= away[-1] <= 1.0
    no = [refused._failed(kube.KubernetesError("no", status=500)) for _ in range(12)]
    assert 15.0 <= no[-1] <= 30.0
    assert 7.0 == asked._failed(kube.KubernetesError("slow down", status=429, retry_after_s=7.0))


@pytest.mark.parametrize(
    "error", [paging.Unreadable(kube.PODS, "no list", b"{"), paging.NoPage("a page took longer than 60 s")]
)
def test_an_answer_that_is_no_page_is_backed_off_from_as_from_a_refusal(error: kube.KubernetesError) -> None:
    """Whoever is too busy for a list is not asked for all of it again each second; contact counts as lost all the same.

    Failures of before, when nobody answered, say nothing of it.
    """
    followed = informer.Informer(None, kube.PODS, trim=dict, clock=lambda: 0)  # type: ignore[arg-type]  # as above
    for _ in range(12):
        followed._failed(kube.KubernetesError("away"))
    waits = [followed._failed(error) for _ in range(12)]
    assert 0.05 <= waits[0] <= 0.1
    assert 15.0 <= waits[-1] <= 30.0
    assert (True, "unreachable") == (followed._lost_contact, followed.trouble)
    assert followed._failed(kube.KubernetesError("away")) <= 1.0
