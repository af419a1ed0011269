"""Two control planes and one trust bundle: who writes it. Leaves out who leads (tests/unit/injector/kube)."""

from pathlib import Path

import pytest

from injector import names
from tests.fakes import mesh_api
from tests.unit.injector.identity import plane


@pytest.fixture
async def fake() -> mesh_api.FakeMeshApi:
    made = mesh_api.FakeMeshApi()
    for name in plane.SPACES:
        await made.add_namespace(name)
    return made


async def test_only_the_leader_writes_and_another_goes_on_at_once(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """A follower knows as much, and says that it is ready; when it leads, it mends what is wrong by then."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as leader:
        await fake.until(lambda: plane.everywhere(fake, leader))
        follower = plane.ControlPlane(api, tmp_path, "control-1")
        follower.leading = False
        async with plane.running(follower):
            await plane.until(lambda: follower.publisher.published and not follower.publisher.missing)
            await fake.until(lambda: len(fake._watches) >= 6)
            leader.leading = False
            await fake.drop(f"/api/v1/namespaces/shop/configmaps/{names.TRUST_BUNDLE}")
            await plane.until(lambda: 1 == follower.publisher.missing)
            assert (0, "") == (follower.publisher.writes, plane.trust_in(fake, "shop"))
            follower.leading = True
            follower.publisher.wake()
            await fake.until(lambda: plane.everywhere(fake, follower))
            assert 1 == follower.publisher.writes
