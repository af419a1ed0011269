"""What is kept of an interrupted comparison. Leaves out labs: ``tests/functional/comparisons``."""

import pathlib

from comparisons import campaign, scenarios
from comparisons.contenders import nothing
from tests.unit.comparisons import made


def order(folder: pathlib.Path) -> campaign.Order:
    udp = scenarios.load()["udp"]
    return campaign.Order(
        scenarios=[udp], contenders=[nothing.Nothing()], runs=2, seed=3, folder=folder, loads=(), lanes=1, lab="none"
    )


def test_what_it_took_adds_up_over_interruptions(tmp_path: pathlib.Path) -> None:
    """Until the results are there."""
    shelf = campaign.Shelf(order=order(tmp_path))
    assert campaign.Spent() == shelf.spent()
    shelf.spend(campaign.Spent(took_s=7.0))
    campaign.Shelf(order=order(tmp_path)).spend(campaign.Spent(took_s=4.0, cpu_s=3.0, busy_s=5.0))
    assert campaign.Spent(took_s=11.0, cpu_s=3.0, busy_s=5.0) == shelf.spent()
    shelf.drop()
    assert not (tmp_path / campaign.UNFINISHED).exists()


def test_a_run_that_was_played_is_not_missing_unless_the_seed_is_another(tmp_path: pathlib.Path) -> None:
    """Nor if the scenario has changed."""
    mine = order(tmp_path)
    shelf, (udp,), (contender,) = campaign.Shelf(order=mine), mine.scenarios, mine.contenders
    shelf.keep(udp, contender, made.run(1, "lets_in"), made.picture())
    assert [0] == shelf.missing(udp, contender)
    other = campaign.Shelf(order=campaign.Order(**{**_fields(mine), "seed": 4}))
    assert [0, 1] == other.missing(udp, contender)


def _fields(it: campaign.Order) -> dict[str, object]:
    return {name: getattr(it, name) for name in it.__slots__}
