"""Contexts beside the chosen one: made when they are asked for, followed, left, and their own."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubelatch.app import App
from kubelatch.context.contexts import Contexts
from kubelatch.context.served import ServedContext
from kubelatch.kubeconfig import entries
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.kubeconfig import write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, ok

from .waiting import until

EVENT = b'{"type":"ADDED","object":{}}\n'
WATCH = "/api/v1/pods?watch=1"


def named(name: str, authority: Authority | None = None) -> ScriptedUpstream:
    """A server that responds with its name, and to a watch with one event."""

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            if WATCH in request.line:
                await connection.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(EVENT), EVENT)
                )
                await connection.reader.read()
                return
            await connection.send(ok(name.encode()))

    return ScriptedUpstream(script, authority)


@asynccontextmanager
async def proxy(
    directory: Path, clusters: Mapping[str, Cluster], *flags: str
) -> AsyncIterator[tuple[App, Client, Contexts]]:
    config = contexts(clusters)
    async with (
        proxy_in_loop(directory, config, "--contexts=all", *flags) as app,
        client_of(app) as client,
    ):
        assert app.places is not None
        assert app.places.contexts is not None
        yield app, client, app.places.contexts


def place(found: Contexts, alias: str) -> ServedContext:
    place = found.find(alias)
    assert isinstance(place, ServedContext)
    return place


async def test_a_context_is_made_at_its_first_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with named("here") as here, named("there") as there:
        clusters = {"here": cluster(here), "there": cluster(there)}
        async with proxy(tmp_path, clusters) as (_, client, found):
            assert place(found, "there").reloader is None
            assert (await client.get("/api")).body == b"here"
            assert place(found, "there").reloader is None
            assert (await client.get("/clusters/there/api")).body == b"there"
            assert place(found, "there").state == "ready"
    # What is served from the start on is no news.
    assert "is served at" not in caplog.text


async def test_a_broken_context_fails_by_itself_and_is_used_when_it_is_mended(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with named("here") as here, named("there", authority) as there:
        clusters = {"here": cluster(here), "there": cluster(there, authority)}
        config = contexts(clusters)
        broken = json.loads(json.dumps(config))
        broken["clusters"][1]["cluster"]["certificate-authority-data"] = "bm8gUEVN"
        async with (
            proxy_in_loop(tmp_path, broken, "--contexts=all") as app,
            client_of(app) as client,
        ):
            for _ in range(2):
                failed = await client.get("/clusters/there/api")
                assert failed.status == 503
                assert 'context "there" cannot be used' in json.loads(failed.body)["message"]
            assert (await client.get("/api")).body == b"here"
            listed = json.loads((await client.get("/clusters/")).body)["clusters"][1]
            assert (listed["state"], "cannot be used" in listed["problem"]) == ("failing", True)
            write(tmp_path / "kubeconfig", config)

            async def mended() -> bool:
                return (await client.get("/clusters/there/api")).body == b"there"

            async with asyncio.timeout(10):
                while not await mended():  # noqa: ASYNC110 -- a file has no event
                    await asyncio.sleep(0.1)
    # Repeated attempts do not repeat the message.
    warnings = [r for r in caplog.records if "cannot be used" in r.getMessage()]
    assert len([r for r in warnings if r.name == "kubelatch.context.served"]) == 1


async def test_an_unreachable_context_fails_by_itself(tmp_path: Path) -> None:
    async with named("here") as here:
        clusters = {"here": cluster(here), "there": Cluster("http://127.0.0.1:1")}
        async with proxy(tmp_path, clusters) as (_, client, _found):
            assert (await client.get("/clusters/there/api")).status == 502
            assert (await client.get("/api")).body == b"here"


async def test_contexts_that_appear_are_served_and_those_that_vanish_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with named("here") as here, named("there") as there:
        first = {"here": cluster(here)}
        both = {**first, "there": cluster(there)}
        async with proxy(tmp_path, first) as (app, client, found):
            assert (await client.get("/clusters/there/api")).status == 404
            write(tmp_path / "kubeconfig", contexts(both))
            await until(lambda: found.find("there") is not None)
            assert (await client.get("/clusters/there/api")).body == b"there"
            async with client_of(app) as watcher, client_of(app) as other:
                await watcher.send(
                    f"GET /clusters/there{WATCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                await watcher.reader.readuntil(EVENT + b"\r\n")
                await other.send(f"GET {WATCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                await other.reader.readuntil(EVENT + b"\r\n")
                write(tmp_path / "kubeconfig", contexts(first))
                # Its watch ends between two events, as at a drain; that of another goes on.
                assert (await watcher.to_end())[0] == b"0\r\n\r\n"
                assert (await client.get("/clusters/there/api")).status == 404
                assert (await client.get("/api")).body == b"here"
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await other.reader.readexactly(1)
    texts = [record.getMessage() for record in caplog.records]
    assert 'context "there" is served at /clusters/there/' in texts
    assert 'context "there" is gone: /clusters/there/ ends' in texts


async def test_a_file_that_is_empty_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    async with named("here") as here, named("there") as there:
        clusters = {"here": cluster(here), "there": cluster(there)}
        async with proxy(tmp_path, clusters) as (_, client, found):
            before = place(found, "there")
            assert (await client.get("/clusters/there/api")).body == b"there"
            # What a pass sees of kubectl's write between truncating and writing.
            (tmp_path / "kubeconfig").write_bytes(b"")
            await found._pass()
            assert found._missing == {"there"}
            assert (await client.get("/clusters/there/api")).body == b"there"
            write(tmp_path / "kubeconfig", contexts(clusters))
            await found._pass()
            assert found._missing == set()
            assert found.find("there") is before


async def test_a_newcomer_with_a_taken_alias_is_not_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with named("here") as here, named("a") as a, named("b") as b:
        first = {"here": cluster(here), "x@prod": cluster(a)}
        async with proxy(tmp_path, first) as (_, client, found):
            write(tmp_path / "kubeconfig", contexts({**first, "y@prod": cluster(b)}))
            await until(lambda: "have the same alias" in caplog.text)
            assert (await client.get("/clusters/prod/api")).body == b"a"
            # Nor does its name come to mean the other cluster when the first one is gone.
            write(tmp_path / "kubeconfig", contexts({"here": first["here"], "y@prod": cluster(b)}))
            await until(lambda: found.find("prod") is None)
            assert (await client.get("/clusters/prod/api")).status == 404
        assert not b.requests


async def test_an_edited_context_is_used_and_others_are_not_disturbed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with named("here") as here, named("old") as old, named("new") as new:
        clusters = {"here": cluster(here), "there": cluster(old)}
        async with proxy(tmp_path, clusters) as (app, client, found):
            assert (await client.get("/clusters/there/api")).body == b"old"
            generation = app._reloader.current() if app._reloader else None
            write(tmp_path / "kubeconfig", contexts({**clusters, "there": cluster(new)}))
            reloader = place(found, "there").reloader
            assert reloader is not None
            await until(lambda: reloader.setup.config.server.url == new.url)
            assert (await client.get("/clusters/there/api")).body == b"new"
            assert app._reloader is not None
            assert app._reloader.current() is generation
    assert 'context "there": configuration reloaded: the server is' in caplog.text


async def test_a_context_that_rests_looks_at_its_files_before_the_next_request(
    tmp_path: Path,
) -> None:
    async with named("here") as here, named("old") as old, named("new") as new:
        clusters = {"here": cluster(here), "there": cluster(old)}
        token = tmp_path / "token"
        token.write_text("first")
        flag = f"--client-token-file={token}"
        async with proxy(tmp_path, clusters, flag) as (app, client, found):
            there = place(found, "there")
            first, second = "Authorization: Bearer first", "Authorization: Bearer second"
            assert (await client.get("/clusters/there/api", first)).body == b"old"
            found._rest()
            assert there.current() is not None
            found._rest()
            found._rest()
            assert there.current() is None
            write(tmp_path / "kubeconfig", contexts({**clusters, "there": cluster(new)}))
            token.write_text("second")
            await app.reload()
            # Neither the old token nor the old server is good any more.
            assert (await client.get("/clusters/there/api", first)).status == 401
            assert there.current() is None
            assert (await client.get("/clusters/there/api", second)).body == b"new"


async def test_a_context_with_a_watch_does_not_rest(tmp_path: Path) -> None:
    async with named("here") as here, named("there") as there:
        clusters = {"here": cluster(here), "there": cluster(there)}
        async with proxy(tmp_path, clusters) as (app, _, found):
            async with client_of(app) as watcher:
                await watcher.send(
                    f"GET /clusters/there{WATCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                await watcher.reader.readuntil(EVENT + b"\r\n")
                for _ in range(3):
                    found._rest()
                assert place(found, "there").current() is not None
            await until(lambda: not app.in_flight)
            for _ in range(3):
                found._rest()
            assert place(found, "there").current() is None


async def test_many_contexts_are_parsed_once_and_cost_nothing_while_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    real = entries.parse

    def parse(content: bytes, origin: str) -> entries.Kubeconfig:
        parsed.append(origin)
        return real(content, origin)

    monkeypatch.setattr("kubelatch.kubeconfig.merge.parse", parse)
    async with named("here") as here, named("there") as there:
        clusters = {"here": cluster(here)}
        clusters |= {f"c{number}": cluster(there) for number in range(300)}
        async with proxy(tmp_path, clusters) as (app, client, found):
            for number in range(20):
                assert (await client.get(f"/clusters/c{number}/api")).body == b"there"
            assert len(parsed) == 1
            assert sum(place.reloader is not None for place in found.others) == 20
            write(tmp_path / "kubeconfig", contexts({**clusters, "more": cluster(there)}))
            await app.reload()
            assert (await client.get("/clusters/more/api")).body == b"there"
            assert len(parsed) == 2


def plugin(path: Path, body: str) -> dict[str, Any]:
    """A user with an exec plugin that counts its runs."""
    path.write_text(f"#!/bin/sh\necho run >> {path}.runs\n{body}\n")
    path.chmod(0o755)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(path), "interactiveMode": "Never"}}


@pytest.mark.parametrize(("flag", "pause"), [("all", 60.0), ("all,there", 1.0)])
async def test_a_failing_plugin_of_a_context_that_nobody_named_seldom_runs(
    tmp_path: Path, authority: Authority, flag: str, pause: float
) -> None:
    async with named("here") as here, named("there", authority) as there:
        user = plugin(tmp_path / "plugin", "exit 3")
        clusters = {"here": cluster(here), "there": cluster(there, authority, user=user)}
        config = contexts(clusters)
        async with (
            proxy_in_loop(tmp_path, config, f"--contexts={flag}") as app,
            client_of(app) as client,
        ):
            for _ in range(3):
                failed = await client.get("/clusters/there/api")
                assert failed.status == 503
                assert "plugin failed with exit code 3" in json.loads(failed.body)["message"]
            assert app.places is not None
            assert app.places.contexts is not None
            reloader = place(app.places.contexts, "there").reloader
            assert reloader is not None
            source: Any = reloader.current().credentials
            assert pause - 1 < source._failing.remaining <= pause
    assert (tmp_path / "plugin.runs").read_text() == "run\n"


async def test_a_plugin_that_asks_questions_without_a_terminal_is_503_and_named(
    tmp_path: Path, authority: Authority
) -> None:
    async with named("here") as here, named("there", authority) as there:
        user = plugin(tmp_path / "plugin", "exit 3")
        user["exec"]["interactiveMode"] = "Always"
        clusters = {"here": cluster(here), "there": cluster(there, authority, user=user)}
        async with proxy(tmp_path, clusters) as (_, client, _found):
            failed = await client.get("/clusters/there/api")
    assert failed.status == 503
    message = json.loads(failed.body)["message"]
    assert "standard input is not a terminal" in message
    assert "The plugin plugin asks questions" in message


async def test_flags_for_the_chosen_server_are_not_for_the_others(
    tmp_path: Path, authority: Authority
) -> None:
    async with named("here", authority) as here, named("there", authority) as there:
        clusters = {
            "here": cluster(here, authority),
            "there": cluster(there, authority, user={"token": "theirs"}),
        }
        flags = ("--token=ours", f"--server={here.url}", "--as=somebody")
        async with proxy(tmp_path, clusters, *flags) as (_, client, _found):
            assert (await client.get("/api")).body == b"here"
            assert (await client.get("/clusters/there/api")).body == b"there"
        (request,) = there.requests
        assert request.values("authorization") == ["Bearer theirs"]
        assert request.values("impersonate-user") == ["somebody"]
        assert here.requests[0].values("authorization") == ["Bearer ours"]
