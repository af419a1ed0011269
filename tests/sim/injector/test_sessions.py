"""Random lives of a proxy: changes, slowness, refusals, reconnections. It ends up knowing what is true, in good order.

The client checks on the way that nothing is taken away that something leads to. Leaves out gRPC and Envoy.
"""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from injector.cluster import model
from injector.discovery import resource, session, snapshot
from injector.discovery import settings as discovery
from tests.fakes import clusters as fake
from tests.fakes import xds_client

PODS = [fake.pod(number, account) for number, account in enumerate(["client", "web", "db", "web"])]


class Life:
    """A client, the session that it has at the moment, and the messages under way between them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.maker = snapshot.Maker(discovery.Settings(trust_domain=fake.TRUST_DOMAIN))
        self.client = xds_client.Client()
        self.now_s = 0.0
        self.revision = 0
        self.latest: snapshot.Snapshot | None = None
        self.connect()

    def connect(self) -> None:
        """Begin a stream: what was under way is lost."""
        self.session = session.Session()
        self.requests: list[Any] = self.client.hello()
        self.responses: list[Any] = []
        if self.latest is not None:
            self.session.offer(self.latest)

    def change(self) -> None:
        """Let the cluster be another one."""
        services = [self._service(number) for number in range(4) if self.chance.random() < 0.6]
        self.revision += 1
        state = fake.state(PODS, services, revision=self.revision)
        self.latest = self.maker.snapshot(self.maker.update(state, ()), PODS[0])
        self.session.offer(self.latest)

    def _service(self, number: int) -> model.Service:
        behind = self.chance.sample(PODS, self.chance.randint(0, len(PODS)))
        protocol = self.chance.choice(list(model.Protocol))
        return fake.service(f"s{number}", behind, address=f"10.96.0.{number + 1}", protocol=protocol)

    def step(self) -> None:
        """Let one thing happen."""
        what = self.chance.random()
        if what < 0.15:
            self.change()
        elif what < 0.18:
            self.connect()
        elif what < 0.22:
            self.now_s += self.chance.choice([0.1, 7.0])
        elif what < 0.6 and self.requests:
            self.session.receive(self.requests.pop(0), self.now_s)
            self.responses += self.session.poll(self.now_s)
        elif self.responses:
            self.requests += self.client.take(self.responses.pop(0))
        else:
            self.responses += self.session.poll(self.now_s)

    def settle(self) -> None:
        """Let everything under way arrive, and waits end."""
        for _ in range(500):
            self.responses += self.session.poll(self.now_s)
            while self.requests:
                self.session.receive(self.requests.pop(0), self.now_s)
            self.responses += self.session.poll(self.now_s)
            if not self.responses:
                if self.session.synced:
                    return
                self.now_s += 10
            while self.responses:
                self.requests += self.client.take(self.responses.pop(0))


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 97))
@settings(deadline=None)
def test_a_proxy_ends_up_knowing_what_is_true(seed: int, steps: int) -> None:
    """Every resource at its present version and nothing else, whatever happened before."""
    life = Life(random.Random(seed))
    for _ in range(steps):
        life.step()
    life.change()
    life.settle()
    assert life.session.synced
    assert life.latest is not None
    for kind in resource.TYPES:
        there = {each.name: each.version for each in life.latest.all(kind)}
        assert there == {name: each.version for name, each in life.client.known[kind].items()}
