"""Packets do what the documentation says, case by case, and what both readings say of clusters that were made up.

``make prove WHAT=ip-policy-oracle`` does this with more clusters. Leaves out time: ``test_connections``.
"""

import random

import pytest

from comparisons.ip_policy import compiler, model
from tests.fakes import made_up_policies
from tests.scene import corners, policed

CORNERS = {each.name: each for each in corners.documented()}
SOME = 31


@pytest.mark.parametrize("name", CORNERS)
def test_corner(street: policed.Policed, name: str) -> None:
    """As docs/network-policy-cases.yaml has it."""
    assert [] == corners.failures(street, CORNERS[name])


@pytest.mark.parametrize("seed", range(5))
def test_made_up(street: policed.Policed, seed: int) -> None:
    """Loaded whole and as a difference; with the gate and without; both families."""
    dice = random.Random(seed)
    objects = made_up_policies.cluster(street.ground(), dice)
    options = compiler.Options(strict=seed % 3 != 0, gate=seed % 2 == 0)
    state = street.enforce(objects, options, anew=seed % 4 < 2)
    questions = street.questions(tuple(model.Protocol), 4 if seed % 2 else 6)
    outcome = street.compare(objects, state, options, dice.sample(questions, SOME * 10))
    assert () == outcome.wrong
