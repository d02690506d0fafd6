"""The proxy follows its kubeconfig and what it names; a broken file changes nothing."""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Identity
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .waiting import until


async def test_an_edited_kubeconfig_is_used_within_two_seconds(
    tmp_path: Path, authority: Authority
) -> None:
    identity = authority.client()
    async with (
        ScriptedUpstream(answering(ok(b"old")), authority) as old,
        ScriptedUpstream(answering(ok(b"new")), authority) as new,
    ):
        config = kubeconfig(old.url, authority, identity=identity)
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/api")).body == b"old"
            write(tmp_path / "kubeconfig", kubeconfig(new.url, authority, identity=identity))
            await until(lambda: app.reloads == 1)
            # The same client, on the same connection.
            assert (await client.get("/api")).body == b"new"


HEAD = "contexts: [{name: test, context: {cluster: test, user: test}}]\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("{", "error loading config file", id="not YAML"),
        pytest.param("current-context: other\n", 'context "test" does not exist', id="left out"),
        pytest.param("", 'context "test" does not exist', id="emptied"),
        pytest.param("a: !!int x\nusers: 2024-13-45", "users must be a list", id="odd scalars"),
        pytest.param("a: &a [*a]", "an anchor contains itself", id="self-reference"),
        pytest.param("a: " + "[" * 9000, "exceeded maximum nesting depth", id="nested deeply"),
        pytest.param("a: \x00", "not a text", id="a zero byte"),
        pytest.param(
            f"{HEAD}clusters: [{{name: test, cluster: {{server: 'https://a..b'}}}}]",
            "empty label",
            id="an empty label",
        ),
        pytest.param(
            f"{HEAD}clusters: [{{name: test, cluster: {{server: 'https://a',"
            'certificate-authority: "/a\\0b"}}]',
            "does not name a file",
            id="a zero byte in a path",
        ),
        pytest.param(
            f'{HEAD}users: [{{name: test, user: {{username: "\\ud800"}}}}]',
            "invalid unicode",
            id="half a surrogate pair",
        ),
    ],
)
async def test_a_broken_kubeconfig_is_reported_once_and_not_used(
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    content: str,
    words: str,
) -> None:
    async with ScriptedUpstream(answering(ok(b"good")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            with caplog.at_level(logging.ERROR):
                (tmp_path / "kubeconfig").write_text(content)
                await until(lambda: "is not used" in app.status)
                assert (await client.get("/api")).body == b"good"
            errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
            assert len(errors) == 1
            assert words in errors[0].lower()
            write(tmp_path / "kubeconfig", config)
            await until(lambda: "is not used" not in app.status)
            assert (await client.get("/api")).body == b"good"


async def test_a_stream_in_flight_lives_on_with_its_old_cluster(
    tmp_path: Path, authority: Authority
) -> None:
    go_on = asyncio.Event()

    async def watch(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    identity = authority.client()
    async with (
        ScriptedUpstream(watch, authority) as old,
        ScriptedUpstream(answering(ok(b"new")), authority) as new,
    ):
        config = kubeconfig(old.url, authority, identity=identity)
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as watcher:
            await watcher.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await watcher.reader.readuntil(b"one\r\n")
            write(tmp_path / "kubeconfig", kubeconfig(new.url, authority, identity=identity))
            await until(lambda: app.reloads == 1)
            async with client_of(app) as client:
                assert (await client.get("/api")).body == b"new"
            go_on.set()
            assert await watcher.reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


async def ask_again_and_again(client: Client, enough: asyncio.Event) -> list[int]:
    statuses = []
    while not enough.is_set():
        statuses.append((await client.get("/api")).status)
    return statuses


def files_of(directory: Path, authority: Authority, identity: Identity) -> dict[str, str]:
    paths = {name: str(directory / name) for name in ("ca.pem", "client.pem", "client.key")}
    Path(paths["ca.pem"]).write_text(authority.pem)
    Path(paths["client.pem"]).write_text(identity.certificate)
    Path(paths["client.key"]).write_text(identity.key)
    return paths


async def test_rotated_certificates_and_ca_fail_no_request_under_load(
    tmp_path: Path, authority: Authority
) -> None:
    """Client certificate, key and CA are replaced one file after another, as writers do."""
    first, second = authority.client("first"), authority.client("second")
    paths = files_of(tmp_path, authority, first)
    async with ScriptedUpstream(answering(ok()), authority, require_certificate=True) as upstream:
        config = kubeconfig(
            upstream.url,
            user={"client-certificate": paths["client.pem"], "client-key": paths["client.key"]},
            cluster={"certificate-authority": paths["ca.pem"]},
        )
        async with proxy_in_loop(tmp_path, config) as app:
            clients = [await Client.connect(app.name) for _ in range(4)]
            enough = asyncio.Event()
            load = [asyncio.create_task(ask_again_and_again(c, enough)) for c in clients]
            Path(paths["client.key"]).write_text(second.key)
            await asyncio.sleep(0)
            Path(paths["client.pem"]).write_text(second.certificate)
            Path(paths["ca.pem"]).write_text(Authority().pem + authority.pem)
            await until(lambda: app.reloads >= 1)
            await until(lambda: "second" in names_of(upstream))
            enough.set()
            statuses = [status for some in await asyncio.gather(*load) for status in some]
            for client in clients:
                client.close()
    assert set(statuses) == {200}


def names_of(upstream: ScriptedUpstream) -> set[str]:
    """The common names of all client certificates that were shown."""
    return {connection.client_name for connection in upstream.connections}


async def test_a_rotated_token_file_is_used_within_two_seconds(
    tmp_path: Path, authority: Authority
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"tokenFile": str(token)})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            await client.get("/api")
            fresh = tmp_path / "fresh"
            fresh.write_text("second\n")
            fresh.replace(token)
            async with asyncio.timeout(5):
                while upstream.requests[-1].values("authorization") != ["Bearer second"]:
                    assert (await client.get("/api")).status == 200
            assert app.reloads == 0
    assert upstream.requests[0].values("authorization") == ["Bearer first"]


async def test_new_rules_are_followed_and_broken_ones_are_not(
    tmp_path: Path, authority: Authority
) -> None:
    rules = tmp_path / "rules.yaml"
    role = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: x}}\n"
        "rules: [{{apiGroups: [''], resources: [{}], verbs: [list]}}]\n"
    )
    rules.write_text(role.format("pods"))
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        flag = f"--allow-rules={rules}"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            assert (await client.get("/api/v1/pods")).status == 200
            assert (await client.get("/api/v1/nodes")).status == 403
            rules.write_text("kind: Nonsense\n")
            await until(lambda: "is not used" in app.status)
            assert (await client.get("/api/v1/pods")).status == 200
            rules.write_text(role.format("nodes"))
            await until(lambda: app.reloads == 1)
            assert (await client.get("/api/v1/pods")).status == 403
            assert (await client.get("/api/v1/nodes")).status == 200
