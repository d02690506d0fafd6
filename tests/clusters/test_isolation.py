"""Three API servers with identities of their own behind one proxy, under load and reloads: none
ever gets a request or a credential that is for another."""

import asyncio
import gzip
import itertools
import json
import ssl
from pathlib import Path

from tests.context.waiting import until
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.http2_server import Alpn
from tests.support.kubeconfig import write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, ok, server_context

CLIENTS = 6
FLAGS = ("--contexts=all", "--write-contexts=all", "--reject-paths=")


class Api:
    """An API server that takes none but its own clients, and says whose it is.

    Args:
        name: each target that is for it has this in it.
        tokens: those that it accepts; with none, its clients have certificates.
    """

    def __init__(self, name: str, *tokens: str) -> None:
        self.name = name
        self.tokens = {f"Bearer {token}" for token in tokens}
        self.authority = Authority()
        self.faults: list[str] = []
        self.renewals = 0
        # Set by the next request with a token that it accepts.
        self.good = asyncio.Event()
        self.upstream = ScriptedUpstream(
            self._serve, self.authority, require_certificate=not tokens
        )

    def of(self, **user: str) -> Cluster:
        identity = None if self.tokens else self.authority.client(self.name)
        return cluster(self.upstream, self.authority, identity=identity, user=user)

    async def _serve(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            target = request.line.split(" ")[1]
            sent = request.values("authorization")
            if f"/{self.name}/" not in target or target.startswith("/clusters"):
                self.faults.append(request.line)
            if not self.tokens:
                if sent or connection.client_name != self.name:
                    self.faults.append(f"{request.line}: {sent} {connection.client_name}")
            elif connection.client_name or not sent[0].startswith(f"Bearer {self.name}-"):
                self.faults.append(f"{request.line}: {sent} {connection.client_name}")
            elif sent[0] not in self.tokens:
                self.renewals += 1
                await connection.send(ok(b"{}").replace(b"200 OK", b"401 Unauthorized"))
                continue
            else:
                self.good.set()
            if not await self._respond(connection, target, request.values("upgrade")):
                return

    async def _respond(self, connection: Connection, target: str, upgrade: list[str]) -> bool:
        body = f"{self.name} {target}".encode()
        if upgrade:
            await connection.send(
                b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            while data := await connection.reader.read(1024):
                await connection.send(self.name.encode() + b" " + data)
            return False
        if target.endswith("/moved"):
            place = f"{self.upstream.url}/{self.name}/there"
            await connection.send(
                f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
            )
        elif target.endswith("/gzip"):
            packed = gzip.compress(body)
            await connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
                % (len(packed), packed)
            )
        else:
            await connection.send(ok(body))
        return True


def prefix_of(name: str) -> str:
    return "" if name == "a" else f"/clusters/{name}"


async def ask(address: str, number: int, ends: asyncio.Event) -> int:
    """Ask all servers in turn, on one connection, in every way; return how often."""
    asked = 0
    async with await Client.connect(address) as client:
        for turn in itertools.count():
            if ends.is_set() and turn >= 3:
                break
            name = "abc"[(turn + number) % 3]
            prefix, own = prefix_of(name), f"/{name}/{number}/{turn}"
            plain = await client.get(prefix + own)
            assert (plain.status, plain.body) == (200, f"{name} {own}".encode())
            packed = await client.get(f"{prefix}{own}/gzip")
            assert packed.body == f"{name} {own}/gzip".encode()
            moved = await client.get(f"{prefix}{own}/moved")
            assert moved.values("location") == [f"{prefix}/{name}/there"]
            posted = await client.get(prefix + own, "Content-Length: 0", method="POST")
            assert posted.body == f"{name} {own}".encode()
            asked += 4
    return asked


async def upgrade(address: str, name: str) -> None:
    async with await Client.connect(address) as client:
        await client.send(
            f"GET {prefix_of(name)}/{name}/ws HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        assert (await client.answer()).status == 101
        for _ in range(20):
            await client.send(b"ping")
            assert await client.reader.readexactly(6) == f"{name} ping".encode()
            await asyncio.sleep(0.01)


async def test_under_load_and_reloads_each_server_gets_its_own_and_no_more(tmp_path: Path) -> None:
    a, b, c = Api("a"), Api("b", "b-1"), Api("c", "c-1")
    token, ends = tmp_path / "token", asyncio.Event()
    token.write_text("c-1")

    def config(of_b: str) -> dict[str, object]:
        return contexts({"a": a.of(), "b": b.of(token=of_b), "c": c.of(tokenFile=str(token))})

    async with a.upstream, b.upstream, c.upstream:  # noqa: SIM117 -- the config has their ports
        async with proxy_in_loop(tmp_path, config("b-1"), *FLAGS) as app:
            load = [asyncio.ensure_future(ask(app.name, number, ends)) for number in range(CLIENTS)]
            tunnels = [asyncio.ensure_future(upgrade(app.name, name)) for name in "abc" * 2]
            for turn in range(2, 5):
                token.write_text(f"c-{turn}")
                write(tmp_path / "kubeconfig", config(f"b-{turn}"))
                # What is in the files now is all that is good: the first request with another
                # costs a 401, and is sent again with this.
                b.tokens, c.tokens = {f"Bearer b-{turn}"}, {f"Bearer c-{turn}"}
                b.good, c.good = asyncio.Event(), asyncio.Event()
                await asyncio.gather(b.good.wait(), c.good.wait())
                await app.reload()
            ends.set()
            asked = sum(await asyncio.gather(*load))
            await asyncio.gather(*tunnels)
    assert b.renewals
    assert c.renewals
    assert asked >= CLIENTS * 12
    assert a.faults + b.faults + c.faults == []


async def test_watches_over_http2_reach_each_its_own_server(tmp_path: Path) -> None:
    authorities = {"a": Authority(), "b": Authority()}
    secure: dict[str, ssl.SSLContext] = {}
    for name, authority in authorities.items():
        secure[name] = server_context(authority)
        secure[name].set_alpn_protocols(["h2", "http/1.1"])
    async with Alpn().serving(secure["a"]) as a, Alpn().serving(secure["b"]) as b:
        servers = {"a": a, "b": b}
        config = contexts(
            {
                name: Cluster(
                    f"https://127.0.0.1:{server.port}", authorities[name], {"token": f"{name}-1"}
                )
                for name, server in servers.items()
            }
        )
        async with proxy_in_loop(tmp_path, config, "--contexts=all") as app:
            for name, server in [*servers.items()] * 2:
                async with client_of(app) as client:
                    target = f"{prefix_of(name)}/api/v1/pods?watch=1"
                    await client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    watch = await server.exchanges.get()
                    await watch.head((b"content-type", b"application/json"))
                    await watch.send(json.dumps({"of": name}).encode() + b"\n")
                    await client.reader.readuntil(b"\r\n\r\n")
                    assert name.encode() in await client.reader.readuntil(b"}\n")
                    fields = dict(watch.fields)
                    assert fields[b":path"] == b"/api/v1/pods?watch=1"
                    assert fields[b"authorization"] == f"Bearer {name}-1".encode()
                    await watch.end()
            assert a.exchanges.empty()
            assert b.exchanges.empty()
            assert len(a.connections) == len(b.connections) == 1


async def test_a_context_that_is_edited_meanwhile_keeps_its_requests_apart(tmp_path: Path) -> None:
    """The entries of two contexts change places, while both are asked."""
    one, two = Api("one", "one-1"), Api("two", "two-1")

    async def ask_both(address: str, seen: set[tuple[str, str]]) -> None:
        async with await Client.connect(address) as client:
            while not asking_ends.is_set():
                for alias in ("left", "right"):
                    response = await client.get(f"/clusters/{alias}/one/two/")
                    assert response.status == 200
                    seen.add((alias, response.body.decode().split()[0]))

    asking_ends = asyncio.Event()
    async with one.upstream, two.upstream:
        first, second = one.of(token="one-1"), two.of(token="two-1")
        seen: set[tuple[str, str]] = set()
        config = contexts({"root": Cluster("http://127.0.0.1:1"), "left": first, "right": second})
        async with proxy_in_loop(tmp_path, config, "--contexts=all") as app:
            asking = asyncio.ensure_future(ask_both(app.name, seen))
            await until(lambda: len(seen) == 2 or asking.done())
            swapped = contexts(
                {"root": Cluster("http://127.0.0.1:1"), "left": second, "right": first}
            )
            write(tmp_path / "kubeconfig", swapped)
            await until(lambda: len(seen) == 4 or asking.done())
            asking_ends.set()
            await asking
    # Each credential has gone to its own server only, before and after.
    assert one.faults + two.faults == []
