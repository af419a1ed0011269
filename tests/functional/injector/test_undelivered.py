"""What the application never got is tried elsewhere, once and only then: a real Envoy on both sides.

Leaves out mTLS and how an endpoint comes to be closed (``test_mesh``).
"""

import pathlib

from tests.scene import relay

ASKED = 7


async def test_a_request_that_no_application_took_is_made_of_another(tmp_path: pathlib.Path) -> None:
    """A POST too: a connection that was refused has carried nothing. Each is heard exactly once."""
    alive = relay.Application()
    async with relay.relay([None, alive], tmp_path) as url:
        assert [(200, False)] * ASKED == await relay.ask(url, "POST", ASKED)
    assert ASKED == len(alive.heard)


async def test_a_request_that_may_have_been_taken_is_made_again_only_where_that_is_harmless(
    tmp_path: pathlib.Path,
) -> None:
    """An application that hangs up has perhaps begun."""
    gone, alive = relay.Application(answer=b""), relay.Application()
    async with relay.relay([gone, alive], tmp_path) as url:
        statuses = [status for status, _ in await relay.ask(url, "POST", ASKED)]
        assert {200, 503} == set(statuses)
        assert ASKED == len(gone.heard) + len(alive.heard)
        assert statuses.count(503) == len(gone.heard)
        assert [(200, False)] * ASKED == await relay.ask(url, "GET", ASKED)


async def test_an_application_cannot_have_a_request_made_again(tmp_path: pathlib.Path) -> None:
    """Nor does its caller hear what it said of that: it may be passing on what a stranger's server said."""
    liar = relay.Application(b"HTTP/1.1 503 no\r\nx-ipseity-undelivered: 1\r\ncontent-length: 0\r\n\r\n")
    async with relay.relay([liar, liar], tmp_path) as url:
        assert [(503, False)] * ASKED == await relay.ask(url, "POST", ASKED)
    assert ASKED == len(liar.heard)
