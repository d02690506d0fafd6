"""Who may look, and the interface."""

import json
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.upstream import answering, ok

from .support import SECRET, inspected

PAGE = ("", "main.js", "style.css", "icon.svg")
INTERFACE = ("requests", "requests/1", "totals", "events")


async def test_the_page_needs_no_secret_and_the_interface_does(
    tmp_path: Path, authority: Authority
) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, upstream):
        for path in PAGE:
            answer = await proxy.ask(path, secret="")
            assert answer.status == 200
            assert SECRET.encode() not in answer.body
        for path in INTERFACE:
            for secret in ("", "wrong", SECRET[:-1], f"{SECRET}x"):
                answer = await proxy.ask(path, secret=secret)
                assert (answer.status, b"secret is required" in answer.body) == (401, True), path
        for method, path in (("DELETE", "requests"), ("POST", "requests/1/replay")):
            assert (await proxy.ask(path, method=method, secret="")).status == 401
        twice = await proxy.ask("requests", f"Authorization: Bearer {SECRET}")
        assert twice.status == 401
        assert upstream.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("Sec-Fetch-Site: same-site",), id="another localhost port"),
        pytest.param(("Sec-Fetch-Site: cross-site",), id="another site"),
        pytest.param(("Origin: http://localhost:9",), id="another localhost port, an old browser"),
        pytest.param(("Origin: null",), id="a sandboxed frame"),
        pytest.param(
            ("Sec-Fetch-Site: same-origin", "Service-Worker: script"), id="a service worker"
        ),
    ],
)
@pytest.mark.parametrize("path", ["", "main.js", "requests", "events"])
async def test_other_origins_get_nothing(
    tmp_path: Path, authority: Authority, path: str, fields: tuple[str, ...]
) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        answer = await proxy.ask(path, *fields)
        assert answer.status == 403
        own = await proxy.ask("requests", "Sec-Fetch-Site: same-origin")
        assert own.status == 200


async def test_a_rebound_name_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    async with (
        inspected(tmp_path, authority, answering(ok())) as (proxy, _),
        await Client.connect(proxy.app.admin_name) as client,
    ):
        await client.send(
            f"GET /inspect/requests HTTP/1.1\r\nHost: evil.example\r\n"
            f"Authorization: Bearer {SECRET}\r\n\r\n".encode()
        )
        assert (await client.answer()).status == 403


async def test_users_that_may_not_connect_may_not_look(
    tmp_path: Path, authority: Authority
) -> None:
    async with inspected(tmp_path, authority, answering(ok()), "--clients=65533") as (proxy, _):
        assert (await proxy.ask("")).status == 403
        assert (await proxy.ask("requests")).status == 403


async def test_responses_may_be_framed_and_read_by_nobody(
    tmp_path: Path, authority: Authority
) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        for path, status in (("", 200), ("requests", 200), ("nothing", 404)):
            answer = await proxy.ask(path)
            assert answer.status == status
            policy = answer.values("content-security-policy")[0]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.values("cross-origin-opener-policy") == ["same-origin"]
            assert answer.values("referrer-policy") == ["no-referrer"]
            assert answer.values("x-content-type-options") == ["nosniff"]
            assert answer.values("cache-control") == ["no-store"]
            assert answer.values("access-control-allow-origin") == []


async def test_the_stricter_guards_stay(tmp_path: Path, authority: Authority) -> None:
    own = "Sec-Fetch-Site: same-origin"
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        async with await Client.connect(proxy.app.admin_name) as client:
            home = await client.get("/")
            assert home.status == 200
            assert b'href="/inspect/"' in home.body
            assert (await client.get("/readyz?verbose", own)).status == 200
            assert (await client.get("/metrics")).status == 200
            assert (await client.get("/metrics", own)).status == 403
            assert (await client.get("/readyz", "Sec-Fetch-Site: same-site")).status == 403
            assert (await client.get("/quitquitquit", own, method="POST")).status == 403
            assert (await client.get("/inspect")).values("location") == ["/inspect/"]
        assert not proxy.app.quitting.is_set()


async def test_paths_and_methods_that_are_not_served(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        for path in ("requests/9", "requests/x", "requests/1/replay/", "..%2fservice.py", "a/b"):
            assert (await proxy.ask(path)).status == 404, path
        answer = await proxy.ask("requests", method="PUT")
        assert (answer.status, answer.values("allow")) == (405, ["GET, DELETE"])
        assert (await proxy.ask("requests/1/replay")).status == 405
        assert (await proxy.ask("requests?nothing=1")).status == 400
        assert (await proxy.ask("requests?limit=x")).status == 400


async def test_requests_are_listed_filtered_and_cleared(
    tmp_path: Path, authority: Authority
) -> None:
    script = answering(ok(b"{}", "Content-Type: application/json"))
    async with inspected(tmp_path, authority, script) as (proxy, _):
        await proxy.send("/api/v1/namespaces/shop/pods/web", "User-Agent: alice/1")
        await proxy.send("/apis/apps/v1/namespaces/shop/deployments", "User-Agent: bob/2")
        await proxy.send("/api/v1/namespaces/dev/pods/x/exec?command=sh")
        everything = await proxy.requests(3)
        assert [each["verb"] for each in everything] == ["get", "list", "get"]
        first = everything[-1]
        assert first["id"] == "1"
        assert first["context"] == "test"
        assert (first["namespace"], first["name"], first["status"]) == ("shop", "web", 200)
        for query, ids in {
            "?verb=list": ["2"],
            "?resource=pods": ["3", "1"],
            "?namespace=shop&verb=get": ["1"],
            "?status=4xx": ["3"],
            "?status=200": ["2", "1"],
            "?client=ALICE": ["1"],
            "?q=deployments": ["2"],
            "?limit=1": ["3"],
            "?before=3": ["2", "1"],
        }.items():
            listed = (await proxy.json(f"requests{query}"))["requests"]
            assert [each["id"] for each in listed] == ids, query
        totals = await proxy.json("totals")
        agents = {row.get("user_agent"): row["count"] for row in totals["clients"]}
        assert agents == {"alice/1": 1, "bob/2": 1, None: 1}
        assert sum(row["errors"] for row in totals["resources"]) == 1
        assert (await proxy.ask("requests", method="DELETE")).status == 204
        assert await proxy.json("requests") == {"requests": [], "not_kept": 0}
        assert (await proxy.json("totals"))["clients"] == []


async def test_nothing_secret_is_in_any_answer(tmp_path: Path, authority: Authority) -> None:
    body = json.dumps({"kind": "Secret", "data": {"p": "HIDDEN"}}).encode()
    script = answering(ok(body, "Content-Type: application/json", "Set-Cookie: s=HIDDEN"))
    async with inspected(tmp_path, authority, script) as (proxy, _):
        await proxy.send(
            "/api/v1/namespaces/shop/configmaps/x?token=HIDDEN&access_token=HIDDEN",
            "Authorization: Bearer HIDDEN",
            "Cookie: a=HIDDEN",
            "X-Other: HIDDEN",
            "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.HIDDEN",
        )
        (found,) = await proxy.requests(1)
        for path in ("requests", f"requests/{found['id']}", "totals"):
            answer = await proxy.ask(path)
            assert b"HIDDEN" not in answer.body, path
        detail = await proxy.json(f"requests/{found['id']}")
        assert detail["response"]["body"]["value"]["data"] == {"p": "***"}
        assert detail["commands"].keys() == {"missing"}


async def test_the_proxys_own_token_is_never_shown(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, upstream):
        await proxy.send("/api")
        (found,) = await proxy.requests(1)
        assert upstream.requests[0].values("authorization") == ["Bearer t"]
        detail = await proxy.json(f"requests/{found['id']}")
        names = [name.lower() for name, _ in detail["request"]["headers"]]
        assert "authorization" not in names
        assert found["credential"] == "token"


async def test_an_open_admin_address_is_warned_of(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    flag = "--admin-address=0.0.0.0:0"
    async with inspected(tmp_path, authority, answering(ok()), flag):
        pass
    assert "the inspector's secret, and all that it shows" in caplog.text
