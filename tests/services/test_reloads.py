"""Policies, credentials and contexts that change under connections to services."""

from pathlib import Path

import pytest
import yaml
from aiohttp import web

from tests.support.certificates import Authority
from tests.support.cluster import application, cluster
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import serving
from tests.support.relay import eventually

from .conftest import Setting, Start
from .test_policy import RULES


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def test_a_rule_that_is_taken_back_ends_what_it_allowed(start: Start, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES % ("shop", "pods/portforward"))
    setting = await start(f"--allow-rules={rules}")
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        assert (await setting.get()).status == 200
        rules.write_text(RULES % ("shop", "pods"))
        await setting.app.reload()
        assert (await setting.get()).status == 403
        await eventually(lambda: not any(setting.cluster.open.values()))
        rules.write_text(RULES % ("shop", "pods/portforward"))
        await setting.app.reload()
        assert (await setting.get()).status == 200
    assert setting.cluster.forwards == 2


async def test_another_user_gets_no_connection_of_the_first(start: Start, tmp_path: Path) -> None:
    setting = await start(user={"token": "first"})
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        assert (await setting.get()).status == 200
        config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
        config["users"][0]["user"] = {"token": "second"}
        write(tmp_path / "kubeconfig", config)
        await setting.app.reload()
        setting.cluster.identities.clear()
        assert (await setting.get()).status == 200
    assert {who for who, _ in setting.cluster.identities} == {"Bearer second"}
    assert setting.cluster.forwards == 2


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (("--service-hosts",), 403),
        (("--service-hosts", "--write-contexts=other"), 200),
        (("--service-hosts=shop/web",), 200),
    ],
)
async def test_services_of_several_contexts_are_told_apart(
    tmp_path: Path, authority: Authority, flags: tuple[str, ...], status: int
) -> None:
    """Those beside the chosen one are reached where their context may be changed, or by name."""

    def named(name: str) -> object:
        async def respond(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(text=name)

        return respond

    async with (
        cluster(authority) as here,
        cluster(authority) as there,
        application(named("here")) as one,  # type: ignore[arg-type]
        application(named("there")) as two,  # type: ignore[arg-type]
    ):
        here.serve("web", one)
        there.serve("web", two)
        config = kubeconfig(here.url, authority, user={"token": "for-here"})
        other = kubeconfig(there.url, authority, user={"token": "for-there"})
        for kind in ("contexts", "clusters", "users"):
            entry = other[kind][0]
            entry["name"] = "other"
            config[kind].append(entry)
        config["contexts"][1]["context"] = {"cluster": "other", "user": "other"}
        path = write(tmp_path / "kubeconfig", config)
        async with serving(f"--kubeconfig={path}", "--port=0", "--contexts=all", *flags) as app:
            setting = Setting(app, here)
            assert (await setting.get()).body == b"here"
            answer = await setting.get(host="web--shop--other.localhost")
            assert answer.status == status
            assert (answer.body == b"there") == (status == 200)
            if status == 403:
                assert b"--write-contexts=other" in answer.body
                assert b"--service-hosts=shop/web" in answer.body
            page = await setting.get("/", "Accept: text/html", host="apps.localhost")
            assert b"/?context=other" in page.body
            # A path of ours is the application's there.
            assert (await setting.get("/clusters/other/api")).body == b"here"
        assert {who for who, _ in here.identities} == {"Bearer for-here"}
        assert {who for who, _ in there.identities} <= {"Bearer for-there"}
