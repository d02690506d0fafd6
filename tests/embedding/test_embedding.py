"""The proxy as a library: what a program that embeds it may rely on."""

import asyncio
import logging
import os
import signal
import ssl
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

import kubelatch
from kubelatch import KubelatchError, Proxy
from kubelatch.config.options import ProxyOptions
from kubelatch.config.settings import FLAGS
from kubelatch.demo import DemoServer
from kubelatch.errors import ConfigError, ListenError, UsageError
from tests.package.conftest import ROOT
from tests.support.client import Client
from tests.support.kubeconfig import write

from . import signature


def get(url: str) -> int:
    with urlopen(url, timeout=10) as response:
        return int(response.status)


async def get_async(proxy: Proxy, target: str = "/api/v1/namespaces") -> int:
    async with await Client.connect(proxy.url.partition("//")[2]) as client:
        return (await client.get(target)).status


async def test_it_serves_within_the_event_loop() -> None:
    async with Proxy(demo=True) as running:
        url = running.url
        assert url.startswith("http://127.0.0.1:")
        assert await get_async(running) == 200
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(url.partition("//")[2])


def test_it_serves_from_a_thread() -> None:
    with Proxy(demo=True) as running:
        assert get(f"{running.url}/api/v1/namespaces") == 200
    assert "kubelatch" not in {thread.name for thread in threading.enumerate()}


async def test_a_kubeconfig_may_be_a_mapping_or_a_file(tmp_path: Path) -> None:
    async with DemoServer() as access:
        for config in (access.kubeconfig(), write(tmp_path / "config", access.kubeconfig())):
            async with Proxy(config, context="demo-viewer") as running:
                assert await get_async(running, "/api/v1/namespaces/shop/pods") == 200
                assert await get_async(running, "/api/v1/nodes") == 403


async def test_options_are_the_flags(tmp_path: Path) -> None:
    options: ProxyOptions = {"read_only": True, "unix_socket": str(tmp_path / "s"), "demo": True}
    async with Proxy(**options) as running:
        assert running.url == f"unix://{tmp_path}/s"
        async with await Client.connect(str(tmp_path / "s")) as client:
            answer = await client.get("/api/v1/namespaces/x", method="DELETE")
            assert answer.status == 403


def test_https_and_the_authority_that_clients_trust() -> None:
    with Proxy(demo=True, tls="auto") as running:
        assert running.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cadata=running.ca)
        with urlopen(f"{running.url}/version", context=context, timeout=10) as response:
            assert response.status == 200
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urlopen(f"{running.url}/version", timeout=10)
    with pytest.raises(RuntimeError, match="not running"):
        _ = running.ca
    with Proxy(demo=True) as plain:
        assert plain.ca == ""


@pytest.mark.parametrize("mode", [0o660, "660", "0o660"])
async def test_a_sockets_mode_may_be_a_number(tmp_path: Path, mode: int | str) -> None:
    path = tmp_path / "s"
    async with Proxy(demo=True, unix_socket=str(path), unix_socket_mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_who_it_acts_as_can_be_changed() -> None:
    async with Proxy(demo=True, impersonate="nobody") as running:
        assert await get_async(running) == 403


def test_every_option_is_a_flag_of_the_command() -> None:
    flags = {flag.option for flag in FLAGS if not flag.ignored}
    # The first argument, ``impersonate``, another way to say in_cluster=False, and the terminal's.
    # A library leaves its host's core files alone.
    others = {"kubeconfig", "as", "no_in_cluster", "quiet", "v", "version", "help"}
    others |= {"allow_core_dumps", "open"}
    assert set(ProxyOptions.__annotations__) == flags - others


def test_the_types_of_the_options_are_up_to_date() -> None:
    committed = signature.PATH.read_text()
    assert committed == signature.module(), "run: python -m tests.embedding.signature"


@pytest.mark.parametrize("seconds", [5, 5.0, 0.25])
async def test_a_duration_may_be_a_whole_number(seconds: float) -> None:
    options: ProxyOptions = {"drain_timeout": seconds, "request_timeout": seconds, "demo": True}
    async with Proxy(**options) as running:
        assert await get_async(running) == 200


def test_an_option_that_does_not_exist_is_refused_at_once() -> None:
    options: dict[str, Any] = {"nonsense": 1}
    with pytest.raises(UsageError, match="unknown flag: --nonsense"):
        Proxy(**options)


def test_what_goes_wrong_in_the_thread_is_raised_to_the_caller() -> None:
    with Proxy(demo=True) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(ListenError, match="address already in use"):
            Proxy(demo=True, port=port).start_thread()
    assert issubclass(ListenError, KubelatchError)


async def test_what_goes_wrong_at_the_start_leaves_nothing_behind() -> None:
    running = Proxy({"clusters": []})
    with pytest.raises(ConfigError):
        await running.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = running.url
    await running.aclose()


async def test_closing_may_be_repeated_and_starting_again_too() -> None:
    running = Proxy(demo=True)
    for _ in range(2):
        await running.start()
        with pytest.raises(RuntimeError, match="running already"):
            await running.start()
        await running.aclose()
        await running.aclose()
    running.start_thread()
    running.close()
    running.close()


async def test_the_wrong_way_to_close_is_refused() -> None:
    running = Proxy(demo=True)
    async with running:
        with pytest.raises(RuntimeError, match="aclose"):
            running.close()
    running.start_thread()
    with pytest.raises(RuntimeError, match=r"close\(\)"):
        await running.aclose()
    running.close()


def test_several_run_side_by_side() -> None:
    with Proxy(demo=True) as one, Proxy(demo=True, api_prefix="/k8s/") as other:
        assert one.url != other.url
        assert get(f"{other.url}/k8s/version") == 200


def test_an_open_watch_does_not_hold_up_the_end() -> None:
    with Proxy(demo=True, drain_timeout=0.0) as running:
        watch = urlopen(f"{running.url}/api/v1/namespaces?watch=true", timeout=10)
    watch.close()


def test_signals_and_logging_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    handlers = list(logging.getLogger().handlers)

    async def main() -> None:
        async with Proxy(demo=True):
            now = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
            assert now == before[1:]

    asyncio.run(main())
    with Proxy(demo=True):
        pass
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == before
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("kubelatch").handlers == []


def test_a_refused_request_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Proxy(demo=True, accept_paths="^/version$") as running,
        pytest.raises(HTTPError, match="403"),
    ):
        get(f"{running.url}/api")
    assert capfd.readouterr() == ("", "")


def test_variables_of_the_command_do_not_reach_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELATCH_API_PREFIX", "/elsewhere/")
    with Proxy(demo=True) as running:
        assert get(f"{running.url}/version") == 200


def test_the_public_names_are_three() -> None:
    assert sorted(kubelatch.__all__) == ["KubelatchError", "Proxy", "__version__"]
    for name in kubelatch.__all__:
        assert getattr(kubelatch, name)
    with pytest.raises(AttributeError):
        _ = kubelatch.nonsense  # type: ignore[attr-defined]


def test_importing_it_costs_next_to_nothing() -> None:
    code = "import kubelatch, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"aiohttp", "asyncio", "ssl", "yaml", "cryptography", "pytest"} & set(loaded)


def test_a_program_that_uses_it_can_be_type_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            from kubelatch import KubelatchError, Proxy

            def use(name: str) -> str:
                try:
                    with Proxy(context=name, read_only=True) as running:
                        return running.url
                except KubelatchError as error:
                    return error.hint

            Proxy(prot=1)
            """
        )
    )
    if not (ROOT / "proxy/kubelatch/py.typed").exists() or not _has_mypy():
        pytest.skip("mypy is not installed: pip install '.[lint]'")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         "--cache-dir=/dev/null", program],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert 'Unexpected keyword argument "prot"' in result.stdout
    assert "Found 1 error" in result.stdout


def _has_mypy() -> bool:
    import importlib.util

    return importlib.util.find_spec("mypy") is not None


def pytest_in(directory: Path, code: str, *flags: str, more: str = "") -> str:
    (directory / "more.yaml").write_text(more)
    (directory / "test_it.py").write_text(textwrap.dedent(code))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "kubelatch", "-p", "no:asyncio",
         "-c", os.devnull, "--rootdir", directory, "test_it.py", *flags],
        cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT / "proxy")},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return result.stdout


def test_the_plugin_gives_each_test_a_cluster_and_more_on_demand(tmp_path: Path) -> None:
    output = pytest_in(
        tmp_path,
        """
        import json
        import pytest
        from urllib.request import Request, urlopen

        maps = "/api/v1/namespaces/shop/configmaps"
        uids = []

        @pytest.mark.parametrize("time", [1, 2])
        def test_the_same(kubelatch, time):
            body = b'{"metadata": {"name": "mine"}}'
            headers = {"Content-Type": "application/json"}
            urlopen(Request(kubelatch.url + maps, body, headers))
            listed = json.load(urlopen(kubelatch.url + maps + "?limit=5"))
            uids.append([item["metadata"]["uid"] for item in listed["items"]])
            assert uids[0] == uids[-1]
            assert [str(request) for request in kubelatch.requests] == [
                f"POST {maps}", f"GET {maps}?limit=5"
            ]
            assert kubelatch.requests[0].json == {"metadata": {"name": "mine"}}
            assert kubelatch.requests[0].headers["content-type"] == "application/json"

        @pytest.mark.kubelatch(api_prefix="/k8s/", demo_load=["more.yaml"])
        def test_marked(kubelatch, kubelatch_factory):
            assert json.load(urlopen(kubelatch.url + "/k8s" + maps + "/more"))["data"] == {"a": "1"}
            other = kubelatch_factory(api_prefix="/other/")
            assert urlopen(other.url + "/other/version").status == 200
            assert [request.target for request in other.requests] == ["/version"]
        """,
        more="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: shop}\n"
        "data: {a: '1'}\n",
    )
    assert "3 passed" in output, output


async def test_the_plugin_can_be_pointed_at_a_cluster(tmp_path: Path) -> None:
    async with DemoServer() as access:
        config = write(tmp_path / "config", access.kubeconfig())
        output = await asyncio.to_thread(
            pytest_in,
            tmp_path,
            """
            import pytest
            from urllib.error import HTTPError, URLError
            from urllib.request import urlopen

            def test_who_am_i(kubelatch):
                with pytest.raises(HTTPError, match="403"):
                    urlopen(kubelatch.url + "/api/v1/nodes")

            def test_what_it_saw(kubelatch):
                assert kubelatch.requests == []
            """,
            f"--kubelatch-kubeconfig={config}",
            "--kubelatch-context=demo-viewer",
        )
    assert "1 passed, 1 skipped" in output
