"""Who may reach a service, and which: clients, pages, and the policy for what carries them."""

from pathlib import Path

import pytest
from aiohttp import web

from kubelatch.errors import UsageError
from tests.support.client import Answer
from tests.support.cluster import application

from .conftest import HOST, Setting, Start

RULES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: forward, namespace: %s}
rules:
- {apiGroups: [""], resources: [%s], verbs: [create]}
"""


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def ask(start: Start, *flags: str, host: str = HOST, fields: tuple[str, ...] = ()) -> Answer:
    """The response to a request for a service, with these flags; nothing of what is refused reaches
    the API server."""
    setting = await start(*flags)
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get("/", *fields, host=host)
    assert setting.cluster.forwards == (answer.status == 200)
    return answer


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ((), 200),
        (("--read-only",), 403),
        (("--read-only", "--service-hosts=shop/web"), 200),
        (("--read-only", "--service-hosts=shop/other"), 403),
        (("--service-hosts=shop/other",), 403),
        (("--service-hosts=shop/other,shop/web",), 200),
        (("--service-hosts=shop/other,all",), 200),
        (("--reject-paths=portforward$",), 403),
        (("--reject-paths=^/api/v1/namespaces/shop/",), 403),
        (("--reject-paths=/pods/web-0/",), 403),
        (("--reject-paths=/pods/other/",), 200),
        (("--reject-methods=POST,PUT,PATCH,DELETE",), 200),
        (("--accept-paths=^/api/v1/namespaces/shop/pods/web-",), 200),
        (("--accept-paths=^/api/v1/nodes",), 403),
        (("--reject-paths=portforward$", "--disable-filter"), 200),
        (("--read-only", "--disable-filter"), 403),
    ],
)
async def test_the_policy_is_asked_for_the_port_forward(
    start: Start, flags: tuple[str, ...], status: int
) -> None:
    assert (await ask(start, *flags)).status == status


@pytest.mark.parametrize(
    ("namespace", "resource", "status"),
    [
        ("shop", "pods/portforward", 200),
        ("other", "pods/portforward", 403),
        ("shop", "pods", 403),
        ("shop", "services/proxy", 403),
    ],
)
async def test_rules_hold(
    start: Start, tmp_path: Path, namespace: str, resource: str, status: int
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES % (namespace, resource))
    answer = await ask(start, f"--allow-rules={rules}")
    assert answer.status == status
    if status == 403:
        assert b"cannot create resource" in answer.body


START = "Referer: http://apps.localhost:{port}/"
LINK = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((), 200),
        (("Sec-Fetch-Site: none", *LINK), 200),
        (("Sec-Fetch-Site: same-origin", "Origin: http://{host}:{port}"), 200),
        (("Origin: http://{host}:{port}",), 200),
        (("Sec-Fetch-Site: same-origin", "Service-Worker: script"), 200),
        (("Origin: http://localhost:{port}",), 403),
        (("Origin: http://127.0.0.1:{port}",), 403),
        (("Origin: http://{host}",), 403),
        (("Origin: https://{host}:{port}",), 403),
        (("Origin: null",), 403),
        (("Origin: http://apps.localhost:{port}",), 403),
        (("Sec-Fetch-Site: cross-site",), 403),
        (("Sec-Fetch-Site: same-site",), 403),
        (("Sec-Fetch-Site: cross-site", *LINK), 403),
        (("Sec-Fetch-Site: cross-site", *LINK, "Referer: http://x.localhost:{port}/"), 403),
        (("Sec-Fetch-Site: cross-site", *LINK, "Referer: http://apps.localhost:1/"), 403),
        (("Sec-Fetch-Site: cross-site", LINK[0], START), 403),
        (("Sec-Fetch-Site: cross-site", *LINK, START, "Origin: null"), 403),
    ],
)
async def test_pages_of_others_are_refused(
    start: Start, fields: tuple[str, ...], status: int
) -> None:
    setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        sent = [field.format(host=HOST, port=setting.port) for field in fields]
        answer = await setting.get("/", *sent)
    assert answer.status == status
    # Flags that let pages use the API let none in here.
    assert b"--accept-" not in answer.body
    assert setting.cluster.forwards == (status == 200)


async def test_a_link_of_the_start_page_leads_to_the_root_alone(start: Start) -> None:
    setting = await start()
    link = ["Sec-Fetch-Site: cross-site", *LINK, START.format(port=setting.port)]
    answer = await setting.get("/", *link)
    assert answer.status == 200
    # It is loaded again as the application's own.
    assert answer.values("refresh") == ["0;url=/"]
    assert answer.body == b""
    for target in ("/logout", "/?x=1", "//"):
        assert (await setting.get(target, *link)).status == 403
    assert (await setting.get("/", *link, method="POST", body=b"x")).status == 403
    assert setting.cluster.seen == []


async def test_the_client_token_is_asked_for_and_goes_no_further(
    start: Start, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})

    (tmp_path / "token").write_text("s3cret")
    setting = await start(f"--client-token-file={tmp_path / 'token'}")
    async with application(note) as port:
        setting.cluster.serve("web", port)
        refused = await setting.get("/", "Authorization: Bearer other")
        assert refused.status == 401
        assert refused.values("www-authenticate") == ['Basic realm="kubelatch", charset="UTF-8"']
        assert seen == []
        assert (await setting.get("/", "Authorization: Bearer s3cret")).status == 401
    assert seen == [None]


async def test_names_of_users_of_the_cluster_do_not_reach_an_application(start: Start) -> None:
    seen: list[str] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        seen.extend(request.headers)
        return web.Response()

    setting = await start()
    async with application(note) as port:
        setting.cluster.serve("web", port)
        await setting.get("/", "Impersonate-User: a", "X-Remote-User: b", "impersonate_group: c")
    assert seen == ["Host"]


@pytest.mark.parametrize(
    ("host", "status", "message"),
    [
        ("web--shop--prod.localhost", 404, b"no context prod. There are: test"),
        ("web--shop.localhost", 400, b"does not name one service"),
        (f"{'a' * 60}--shop--test.localhost", 400, b"too long"),
        (f"s-{'a' * 32}.localhost", 404, b"no service has the name"),
        ("web.localhost", 403, b"accept-hosts"),
        ("a.web--shop--test.localhost", 403, b"accept-hosts"),
        ("web--shop--test.example", 403, b"accept-hosts"),
    ],
)
async def test_hosts_that_name_no_service(
    start: Start, host: str, status: int, message: bytes
) -> None:
    setting = await start()
    answer = await setting.get("/", host=host)
    assert answer.status == status
    assert message in answer.body
    refused = await setting.get("/", "Sec-Fetch-Site: cross-site", host=host)
    assert refused.status == 403


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://{host}:{port}/x", 200),
        ("http://localhost:{port}/api", 400),
        ("https://{host}:{port}/x", 400),
        ("x", 400),
        ("*", 400),
    ],
)
async def test_a_target_with_a_host_names_the_same(start: Start, target: str, status: int) -> None:
    setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get(target.format(host=HOST, port=setting.port))
    assert answer.status == status


async def test_a_name_is_refused_without_the_flag(start: Start) -> None:
    setting = await start("--service-hosts=")
    assert (await setting.get("/")).status == 403
    assert (await setting.get("/", host="apps.localhost")).status == 403


@pytest.mark.parametrize("value", ["web", "shop/", "/web", "shop/web/x", "Shop/web"])
async def test_a_service_that_cannot_be_one_is_a_usage_error(start: Start, value: str) -> None:
    with pytest.raises(UsageError):
        await start(f"--service-hosts={value}")


async def test_the_api_is_not_reached_through_a_services_name(start: Start) -> None:
    setting: Setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get("/api/v1/services")
    assert answer.body == b"hello"
