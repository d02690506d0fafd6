"""Both directions of a tunnel at once: however the bytes are cut, all of them come through."""

import asyncio

import pytest
from hypothesis import strategies as st

from tests.relay.tunnels import agreeing, asking
from tests.support.certificates import Authority
from tests.support.relay import relaying
from tests.support.upstream import Connection

from .streams import cuts, for_each, pieces, send

streams = st.one_of(
    st.binary(max_size=80),
    st.just(b"GET /forbidden HTTP/1.1\r\n\r\n"),
    st.just(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    st.integers(0, 3).map(lambda n: bytes(range(256)) * 256 * n),
)


class Talk:
    """What goes through one tunnel."""

    def __init__(self) -> None:
        self.down: list[bytes] = []
        self.early = False
        self.expected = 0
        self.heard = b""

    async def script(self, connection: Connection) -> None:
        await connection.request()
        parts = list(self.down)
        first = parts.pop(0) if self.early and parts else b""
        await connection.send(agreeing() + first)
        sending = asyncio.ensure_future(send(connection.writer, parts))
        self.heard = await connection.reader.readexactly(self.expected)
        await sending


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_any_cuts_of_a_tunnel_bring_the_same(tls: bool, authority: Authority) -> None:
    talk = Talk()
    async with relaying(talk.script, authority if tls else None) as relay:

        async def one(example: tuple[bytes, list[int], bytes, list[int], bool]) -> None:
            up, up_cuts, down, down_cuts, early = example
            talk.down, talk.early, talk.expected = pieces(down, down_cuts), early, len(up)
            parts = pieces(up, up_cuts)
            first = parts.pop(0) if early and parts else b""
            async with relay.client() as client:
                await client.send(asking() + first)
                sending = asyncio.ensure_future(send(client.writer, parts))
                assert (await client.answer()).status == 101
                assert await client.to_end() == (down, True)
                await sending
            assert talk.heard == up

        await for_each(st.tuples(streams, cuts, streams, cuts, st.booleans()), one)
