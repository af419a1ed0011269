"""Which statuses are written when more are due than one round has room for. Leaves out what they say."""

import asyncio
from typing import Any

from aiohttp import web

from injector.routes import attach, book, model, service, status
from tests.fakes import clusters, mesh_api
from tests.scene import routed

ROUTES = 100


class Api(mesh_api.FakeMeshApi):
    """Notes which statuses are written, and refuses some."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.refused = frozenset[str]()

    async def _answer(self, request: web.Request, path: str, body: Any) -> web.StreamResponse:
        name = path.split("/")[-2]
        self.written.append(name)
        return self._status(403, "no") if name in self.refused else web.json_response({})


def seen(known: book.Book, name: str) -> None:
    item = routed.http({"backendRefs": [routed.to("web", port=80)]}, name=name)
    item["metadata"] |= {"uid": name, "resourceVersion": "7"}
    known.apply(item, model.Kind.HTTP)


def due(known: book.Book) -> tuple[status.Write, ...]:
    found = attach.attach({"shop/web": clusters.service("web", [])}, known.routes, ())
    return status.plan(known.entries.values(), found, now_text="now")


def test_nobody_waits_for_those_who_are_refused() -> None:
    """The first sixty-four cannot be written for ever: all others are, and then the first again."""

    async def run() -> None:
        api, known = Api(), book.Book()
        names = [f"r{number:02}" for number in range(ROUTES)]
        for name in names:
            seen(known, name)
        api.refused = frozenset(names[:64])
        async with api.running() as connected:
            statuses = service.Statuses(connected)
            rounds = []
            for _ in range(3):
                api.written = []
                assert 1 == await statuses.write(due(known), now_s=0)
                rounds.append(api.written)
        assert 64 == len(rounds[0])
        assert names == sorted({*rounds[0], *rounds[1]})
        assert set(rounds[1][:36]) == set(names) - set(rounds[0])
        assert set(rounds[2]) & set(rounds[0])

    asyncio.run(run())


def test_the_oldest_change_comes_first() -> None:
    """A route that is changed again goes to the end."""

    async def run() -> None:
        api, known = Api(), book.Book()
        for name in ("a", "b", "c", "a"):
            seen(known, name)
        async with api.running() as connected:
            await service.Statuses(connected).write(due(known), now_s=0)
        assert ["b", "c", "a"] == api.written

    asyncio.run(run())
