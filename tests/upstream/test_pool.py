"""The pool: which connection is taken, which is kept, and for how long."""

import asyncio

from kubelatch.upstream.http1 import Http1Connection
from kubelatch.upstream.pool import Pool
from tests.support.relay import Relay, eventually, relaying
from tests.support.upstream import Connection, answering, ok


def pool_of(relay: Relay, **options: float) -> Pool:
    """A pool of a test's own, with the generation's dialler."""
    credential = relay.generation.credentials.cached()
    assert credential is not None
    pool = relay.generation.transport(credential)
    assert isinstance(pool, Pool)
    return Pool(pool.dialer, **options)  # type: ignore[arg-type]


async def opened(pool: Pool, count: int) -> list[Http1Connection]:
    return [await pool.open() for _ in range(count)]


async def test_the_last_used_connection_is_taken_first() -> None:
    async with relaying(answering(ok())) as relay:
        pool = pool_of(relay)
        connections = await opened(pool, 3)
        for connection in connections:
            connection.release()
        assert [pool.take() for _ in range(4)] == [*reversed(connections), None]
        for connection in connections:
            connection.release()
        pool.close()


async def test_dead_connections_are_passed_over() -> None:
    async def script(connection: Connection) -> None:
        if connection.number != 1:
            await asyncio.sleep(0.05)
        else:
            await connection.reader.read()

    async with relaying(script) as relay:
        pool = pool_of(relay)
        connections = await opened(pool, 3)
        for connection in connections:
            connection.release()
        await eventually(lambda: sum(c.closed for c in connections) == 2)
        assert pool.take() is connections[1]
        assert pool.take() is None
        connections[1].close()
        pool.close()


async def test_more_than_are_kept_may_be_open() -> None:
    async with relaying(answering(ok())) as relay:
        pool = pool_of(relay, max_idle=2)
        connections = await opened(pool, 5)
        for connection in connections:
            connection.release()
        assert pool.idle == 2
        await eventually(lambda: sum(c.closed for c in connections) == 3)
        pool.close()


async def test_what_is_idle_for_long_is_closed() -> None:
    async with relaying(answering(ok())) as relay:
        pool = pool_of(relay, idle_seconds=0.1)
        connections = await opened(pool, 2)
        for connection in connections:
            connection.release()
        await eventually(lambda: all(c.closed for c in connections))
        assert pool.idle == 0
        # And the clock stands still until there is something to watch.
        assert pool._sweeper is None
        pool.close()


async def test_only_what_has_been_idle_since_before_a_moment_is_closed_for_it() -> None:
    async with relaying(answering(ok())) as relay:
        pool = pool_of(relay)
        old, new = await opened(pool, 2)
        old.release()
        new.release()
        pool.drop_idle(before=new.idle_since)
        await eventually(lambda: old.closed)
        assert (pool.take(), pool.take()) == (new, None)
        new.close()
        pool.close()


async def test_a_connection_whose_last_request_has_not_gone_carries_no_other() -> None:
    async def deaf(connection: Connection) -> None:
        await over.wait()

    over = asyncio.Event()
    async with relaying(deaf) as relay:
        pool = pool_of(relay)
        [connection] = await opened(pool, 1)
        assert connection.transport is not None
        connection.transport.write(bytes(20_000_000))
        connection.release()
        assert pool.idle == 0
        connection.abort()
        over.set()
        await eventually(lambda: connection.closed)
        pool.close()


async def test_a_closed_pool_keeps_nothing() -> None:
    async with relaying(answering(ok())) as relay:
        pool = pool_of(relay)
        used, idle = await opened(pool, 2)
        idle.release()
        pool.close()
        used.release()
        await eventually(lambda: used.closed and idle.closed)
        assert (pool.idle, pool.take()) == (0, None)
        pool.close()


async def test_two_hundred_watches_hold_two_hundred_connections() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.reader.read()

    async with relaying(script) as relay:
        watches = [relay.client() for _ in range(200)]
        clients = [await watch.__aenter__() for watch in watches]
        for client in clients:
            await client.send(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for client in clients:
            await client.reader.readuntil(b"\r\n\r\n")
        assert len(relay.upstream.connections) == 200
        for watch in watches:
            await watch.__aexit__(None, None, None)
        await eventually(lambda: all(c.closed.is_set() for c in relay.upstream.connections))
        assert relay.idle == 0
