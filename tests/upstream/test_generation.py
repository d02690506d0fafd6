"""Generations: what one that is replaced still does, and for whom."""

import asyncio

import pytest

from kubelatch.upstream.generation import Generation
from tests.support.clock import settle
from tests.support.relay import Tokens, eventually, generation_for, relaying
from tests.support.upstream import ScriptedUpstream, answering, ok


class Watched(Tokens):
    """Tokens that say when nobody gets any more."""

    closed = False

    async def close(self) -> None:
        self.closed = True


async def waiting(generation: Generation, tokens: Watched) -> list[asyncio.Task[object]]:
    """An exchange that waits for a credential, and one that waits for another after a 401."""
    rejected = await generation.credential()
    tokens.gate.clear()
    tasks = [
        asyncio.ensure_future(generation.credential()),
        asyncio.ensure_future(generation.renewed(rejected)),
    ]
    await eventually(lambda: tokens.waiting == len(tasks))
    return tasks  # type: ignore[return-value]


async def test_a_retired_generation_still_returns_credentials_to_waiters() -> None:
    tokens = Watched("first", "second")
    async with ScriptedUpstream(answering(ok())) as upstream:
        generation = generation_for(upstream, None, tokens)
        tasks = await waiting(generation, tokens)
        retired = asyncio.ensure_future(generation.retire())
        await settle()
        assert not tokens.closed
        tokens.gate.set()
        await asyncio.gather(*tasks)
        await retired
        assert tokens.closed


async def test_a_retired_generation_closes_what_is_idle_at_once() -> None:
    async with relaying(answering(ok())) as relay:
        await relay.prime()
        generation = relay.generation
        waits = generation._waiter()
        waits.__enter__()
        retired = asyncio.ensure_future(generation.retire())
        [connection] = relay.upstream.connections
        await connection.closed.wait()
        assert not retired.done()
        waits.__exit__(None, None, None)
        await retired


@pytest.mark.parametrize("last", [0, 1])
async def test_a_retired_generation_waits_for_its_last_waiter(last: int) -> None:
    tokens = Watched("first", "second")
    async with ScriptedUpstream(answering(ok())) as upstream:
        generation = generation_for(upstream, None, tokens)
        tasks = await waiting(generation, tokens)
        retired = asyncio.ensure_future(generation.retire())
        gone = tasks[1 - last]
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await settle()
        assert not tokens.closed
        tokens.gate.set()
        await tasks[last]
        await retired
        assert tokens.closed


async def test_a_closed_generation_does_not_wait() -> None:
    tokens = Watched("first", "second")
    async with ScriptedUpstream(answering(ok())) as upstream:
        generation = generation_for(upstream, None, tokens)
        tasks = await waiting(generation, tokens)
        await generation.close()
        assert tokens.closed
        tokens.gate.set()
        await asyncio.gather(*tasks)
