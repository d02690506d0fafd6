"""Which context a request reaches, by its target; and what the others are told."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubelatch.app import App
from kubelatch.errors import ConfigError, UsageError
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, ok

BROWSER = ("Accept: text/html", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")
# Names as tools give them; their aliases are here, prod and dev.
NAMES = ("here", "arn:aws:eks:eu-west-1:123456789012:cluster/prod", "me@dev")
HERE, PROD, DEV = NAMES


def named(name: str) -> ScriptedUpstream:
    """A server that responds with its own name and the target."""

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            await connection.send(ok(f"{name} {request.line.split(' ')[1]}".encode()))

    return ScriptedUpstream(script)


@asynccontextmanager
async def served(
    directory: Path, *flags: str, named_contexts: str = "all"
) -> AsyncIterator[tuple[App, dict[str, ScriptedUpstream]]]:
    """A proxy for three contexts."""
    async with named("here") as here, named("prod") as prod, named("dev") as dev:
        config = contexts({HERE: cluster(here), PROD: cluster(prod), DEV: cluster(dev)})
        async with proxy_in_loop(directory, config, f"--contexts={named_contexts}", *flags) as app:
            yield app, {"here": here, "prod": prod, "dev": dev}


@pytest.mark.parametrize(
    ("target", "status", "expected"),
    [
        ("/api", 200, "here /api"),
        ("/clusters/prod/api/v1/pods?limit=1", 200, "prod /api/v1/pods?limit=1"),
        ("/clusters/dev/", 200, "dev /"),
        ("/clusters/here/api", 200, "here /api"),
        ("/clusters/dev/clusters/prod/", 200, "dev /clusters/prod/"),
        ("/clusters/dev/api/v1/namespaces/a%2Fb", 200, "dev /api/v1/namespaces/a%2Fb"),
        ("http://localhost/clusters/dev/api", 200, "dev /api"),
        ("http://localhost:8001/clusters/dev/api", 200, "dev /api"),
        ("/clusters", 307, "/clusters/"),
        ("/clusters?a", 307, "/clusters/?a"),
        ("/clusters/dev", 307, "/clusters/dev/"),
        ("/clusters/dev?a=b", 307, "/clusters/dev/?a=b"),
        ("/clusters/dev/../prod/api", 400, "out of its context"),
        ("/clusters/dev/../../api", 400, "out of its context"),
        ("/clusters/dev/..", 400, "out of its context"),
        ("/clusters/dev/../develop/api", 400, "out of its context"),
        ("/clusters/here/../../api", 400, "out of its context"),
        ("/clusters/dev/api/v1/namespaces/../../../../../clusters/prod/api", 400, "its context"),
        ("/clusters/dev/../../clusters/dev/api", 307, "/clusters/dev/api"),
        ("/clusters/dev/api/../apis?a=..", 307, "/clusters/dev/apis?a=.."),
        ("/clusters/dev//?a=/..", 307, "/clusters/dev/?a=/.."),
        ("/clusters/../api", 400, "out of its context"),
        ("/clusters/../clusters/dev/api", 400, "out of its context"),
        ("http://localhost/clusters/dev/../prod/api", 400, "out of its context"),
        ("http://localhost/clusters/dev/api/../apis", 307, "/clusters/dev/apis"),
        ("/x/../clusters/dev/api", 400, "out of its context"),
        ("/x/../api", 307, "/api"),
        ("//clusters/dev/api", 307, "/clusters/dev/api"),
        ("/clusters//dev/api", 307, "/clusters/dev/api"),
        ("/clusters/dev//api", 307, "/clusters/dev/api"),
        ("/clusters/./dev/api", 307, "/clusters/dev/api"),
        ("http://localhost/clusters//dev/api", 307, "/clusters/dev/api"),
        ("/clusters/dev/%2e%2e/prod/api", 400, "dot segments"),
        ("/clusters/%2e%2e/clusters/dev", 400, "dot segments"),
        ("/clusters/dev/..;/prod/api", 400, "dot segments"),
        ("/clusters/dev/..%2fprod/api", 400, "dot segments"),
        ("/clusters/dev\\..\\prod/api", 400, "backslash"),
        ("/clusters/%2Fdev/api", 400, "encoded slash"),
        ("/clusters/d%2565v/api", 400, "encoded twice"),
        ("/clusters/dev%00/api", 400, "control character"),
        ("/clusters/DEV/api", 404, 'no context is served under the alias "DEV"'),
        ("/clusters/d%65v/api", 404, 'no context is served under the alias "d%65v"'),
        ("/clusters/dev%2Fapi", 404, 'no context is served under the alias "dev%2Fapi"'),
        ("/clusters/dev;x/api", 404, 'no context is served under the alias "dev;x"'),
        ("/clusters/dev:/api", 404, 'no context is served under the alias "dev:"'),
        ("/clusters/nosuch", 404, 'no context is served under the alias "nosuch"'),
        ("/%63lusters/dev/api", 404, "nothing is served here"),
        ("/%43lusters/dev/api", 200, "here /%43lusters/dev/api"),
        ("/Clusters/dev/api", 200, "here /Clusters/dev/api"),
        ("/clusters.dev/api", 200, "here /clusters.dev/api"),
    ],
)
async def test_a_target_reaches_one_context_or_none(
    tmp_path: Path, target: str, status: int, expected: str
) -> None:
    async with served(tmp_path) as (app, upstreams), client_of(app) as client:
        response = await client.get(target)
        assert response.status == status
        if status == 200:
            assert response.body.decode() == expected
        elif status == 307:
            assert response.values("location") == [expected]
        else:
            assert expected in json.loads(response.body)["message"]
    asked = [name for name, upstream in upstreams.items() if upstream.requests]
    assert asked == ([expected.split(maxsplit=1)[0]] if status == 200 else [])


async def test_an_unknown_alias_is_told_which_there_are(tmp_path: Path) -> None:
    async with served(tmp_path) as (app, _), client_of(app) as client:
        for method in ("GET", "POST", "OPTIONS"):
            response = await client.get("/clusters/nosuch/api", method=method)
            assert response.status == 404
            status = json.loads(response.body)
            assert status["kind"], status["reason"] == ("Status", "NotFound")
            assert "here, dev, prod" in status["message"]
            assert PROD not in status["message"]
        long = await client.get(f"/clusters/{'a' * 5000}/api")
    assert f'"{"a" * 63}..."' in json.loads(long.body)["message"]


@pytest.mark.parametrize("target", ["/clusters/", "/clusters/nosuch/", "/clusters/prod/api"])
@pytest.mark.parametrize(
    "field", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Host: evil.example"]
)
async def test_a_client_that_may_not_ask_learns_no_name(
    tmp_path: Path, target: str, field: str
) -> None:
    async with served(tmp_path) as (app, upstreams), client_of(app) as client:
        host = () if field.startswith("Host") else ("Host: localhost",)
        lines = "\r\n".join([f"GET {target} HTTP/1.1", *host, field])
        await client.send(f"{lines}\r\n\r\n".encode())
        response = await client.answer()
    assert response.status == 403
    assert not re.search(rb"prod|dev\b", response.body)
    assert not any(upstream.requests for upstream in upstreams.values())


async def test_the_client_token_is_asked_for_everywhere(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    flag = f"--client-token-file={tmp_path / 'token'}"
    async with served(tmp_path, flag) as (app, upstreams), client_of(app) as client:
        for target in ("/clusters/", "/clusters/nosuch/", "/clusters/dev/api"):
            refused = await client.get(target)
            assert (refused.status, b"prod" in refused.body) == (401, False)
        assert not upstreams["dev"].requests
        allowed = await client.get("/clusters/dev/api", "Authorization: Bearer s3cret")
        assert allowed.body == b"dev /api"
        assert upstreams["dev"].requests[0].values("authorization") == []


async def test_the_list_of_contexts(tmp_path: Path) -> None:
    flags = ("--write-contexts=dev", "--reject-paths=^/clusters")
    async with served(tmp_path, *flags) as (app, upstreams), client_of(app) as client:
        before = json.loads((await client.get("/clusters/")).body)["clusters"]
        assert (await client.get("/clusters/prod/api")).status == 200
        response = await client.get("/clusters/?a")
        head = await client.get("/clusters/", method="HEAD")
        changed = await client.get("/clusters/", method="POST")
    entries = json.loads(response.body)["clusters"]
    assert [entry["alias"] for entry in entries] == ["here", "dev", "prod"]
    assert [entry["name"] for entry in entries] == [HERE, DEV, PROD]
    assert [entry["state"] for entry in before] == ["ready", "unused", "unused"]
    assert [entry["state"] for entry in entries] == ["ready", "unused", "ready"]
    assert [entry["readOnly"] for entry in entries] == ["off", "off", "on"]
    assert [entry["chosen"] for entry in entries] == [True, False, False]
    assert entries[2] == {
        "alias": "prod",
        "name": PROD,
        "path": "/clusters/prod/",
        "chosen": False,
        "cluster": PROD,
        "server": upstreams["prod"].url,
        "user": PROD,
        "state": "ready",
        "problem": "",
        "readOnly": "on",
        "policy": "reading only, anything but secrets; no paths ^/clusters",
    }
    assert response.values("content-type") == ["application/json"]
    assert (head.status, head.body, changed.status) == (200, b"", 405)


async def test_the_list_is_a_page_for_a_browser(tmp_path: Path) -> None:
    async with served(tmp_path) as (app, _), client_of(app) as client:
        page = await client.get("/clusters/", *BROWSER)
        root = await client.get("/", *BROWSER)
    text = page.body.decode()
    assert page.values("content-type") == ["text/html; charset=utf-8"]
    assert re.findall(r'href="([^"]+)"', text) == [
        "/clusters/here/",
        "/clusters/dev/",
        "/clusters/prod/",
    ]
    assert PROD in text
    assert page.values("content-security-policy")[0].startswith("default-src 'none'")
    assert f"/clusters/prod/  {PROD}: reading only" in root.body.decode()


async def test_without_the_flag_there_are_no_clusters(tmp_path: Path) -> None:
    async with named("here") as here:
        config = contexts({HERE: cluster(here)})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/clusters/dev/api")).body == b"here /clusters/dev/api"
            assert (await client.get("/clusters/")).body == b"here /clusters/"


@pytest.mark.parametrize("prefix", ["/", "/clusters.d/"])
async def test_static_files_and_another_prefix_do_not_shadow_the_contexts(
    tmp_path: Path, prefix: str
) -> None:
    (tmp_path / "www/clusters/dev").mkdir(parents=True)
    (tmp_path / "www/clusters/dev/api").write_text("file")
    (tmp_path / "www/file").write_text("file")
    flags = (f"--www={tmp_path / 'www'}", f"--www-prefix={prefix}", "--api-prefix=/k8s/")
    async with served(tmp_path, *flags) as (app, _), client_of(app) as client:
        assert (await client.get("/clusters/dev/api")).body == b"dev /api"
        assert (await client.get("/k8s/api")).body == b"here /api"
        assert (await client.get(f"{prefix}file")).body == b"file"
        assert (await client.get("/clusters/")).status == 200


@pytest.mark.parametrize(
    ("flags", "error", "text"),
    [
        (["--contexts=nosuch"], ConfigError, 'context "nosuch" does not exist'),
        (["--contexts=x=nosuch"], ConfigError, 'context "nosuch" does not exist'),
        (["--contexts=X=me@dev"], UsageError, "an alias has a-z, 0-9 and dashes within"),
        (["--contexts=here=me@dev"], UsageError, "have the same alias, here"),
        (["--contexts=all", "--www-prefix=/clusters/x"], UsageError, "are served below /clusters/"),
        (["--contexts=all", "--api-prefix=/clusters"], UsageError, "are served below /clusters/"),
        (["--write-contexts=all"], UsageError, "no effect without --contexts"),
        (["--contexts=me@dev", "--write-contexts=x"], UsageError, "no context has this alias"),
    ],
)
async def test_what_cannot_be_served_ends_the_start(
    tmp_path: Path, flags: list[str], error: type[Exception], text: str
) -> None:
    config = contexts({name: Cluster("https://127.0.0.1:1") for name in NAMES})
    with pytest.raises(error, match=re.escape(text)):
        async with proxy_in_loop(tmp_path, config, *flags):
            pass


async def test_contexts_with_one_alias_end_the_start_and_are_named(tmp_path: Path) -> None:
    config = contexts({name: Cluster("https://127.0.0.1:1") for name in ("a@prod", "b@prod")})
    with pytest.raises(UsageError) as caught:
        async with proxy_in_loop(tmp_path, config, "--contexts=all"):
            pass
    assert caught.value.message == (
        '--contexts: contexts "a@prod" and "b@prod" have the same alias, prod'
    )
    async with proxy_in_loop(tmp_path, config, "--contexts=all,b=b@prod") as app:
        assert app.places is not None
        assert app.places.contexts is not None
        assert [place.name for place in app.places.contexts.places] == ["prod", "b"]


async def test_contexts_that_are_named_are_the_only_ones(tmp_path: Path) -> None:
    async with (
        served(tmp_path, named_contexts="staging=me@dev") as (app, _),
        client_of(app) as client,
    ):
        assert (await client.get("/clusters/staging/api")).body == b"dev /api"
        assert (await client.get("/clusters/here/api")).body == b"here /api"
        for alias in ("dev", "prod"):
            assert (await client.get(f"/clusters/{alias}/api")).status == 404
