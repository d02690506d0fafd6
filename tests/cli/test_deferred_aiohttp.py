"""aiohttp in the command's process: its server at once, its client when it is asked for."""

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from .processes import ROOT

_DEFER = "import sys\nfrom kubelatch.cli.deferred_aiohttp import import_server\n"


def script(code: str, *path: Path) -> Sequence[str]:
    """What a program prints, in lines, with directories before those where packages are found."""
    first = f"import sys\nsys.path[:0] = {[str(ROOT / 'proxy'), *map(str, path)]}\n"
    ended = subprocess.run(
        [sys.executable, "-c", first + _DEFER + textwrap.dedent(code)],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def package(directory: Path, **modules: str) -> Path:
    """A package that calls itself aiohttp; its server's modules are empty if not given."""
    root = directory / "aiohttp"
    root.mkdir()
    empty = dict.fromkeys(
        ("http", "http_exceptions", "streams", "web_protocol", "web_server", "client"), ""
    )
    for name, text in (empty | modules).items():
        (root / f"{name}.py").write_text(textwrap.dedent(text))
    return directory


def test_the_server_is_imported_without_the_client() -> None:
    shown = script(
        """
        print(import_server())
        import aiohttp, aiohttp.http, aiohttp.web_server
        print(aiohttp.__version__, aiohttp.http.SERVER_SOFTWARE.rpartition("/")[2])
        # warnings, unittest and inspect look into every module.
        print(hasattr(aiohttp, "__warningregistry__"), hasattr(aiohttp, "__wrapped__"))
        from aiohttp import web
        print(web is sys.modules["aiohttp.web"], web.Server is aiohttp.web_server.Server)
        print([name for name in sys.modules if name.startswith("aiohttp.client")])
        """
    )
    found = version("aiohttp")
    assert shown == [
        *("True", f"{found} {found}", "False False", "True True"),
        "['aiohttp.client_exceptions']",
    ]


def test_all_of_it_comes_with_the_first_name_that_is_missing() -> None:
    shown = script(
        """
        import_server()
        import aiohttp, importlib, types
        from aiohttp.streams import StreamReader
        before = id(aiohttp), aiohttp.__spec__, aiohttp.__file__, aiohttp.__path__
        print(type(aiohttp) is types.ModuleType, "ClientSession" in vars(aiohttp))
        from aiohttp import ClientSession
        print(type(aiohttp) is types.ModuleType, "ClientSession" in vars(aiohttp))
        after = id(aiohttp), aiohttp.__spec__, aiohttp.__file__, aiohttp.__path__
        print(before == after, aiohttp.StreamReader is StreamReader)
        try:
            aiohttp.nothing_such
        except AttributeError as error:
            print(error)
        from aiohttp import *
        print(TCPConnector is aiohttp.TCPConnector)
        import aiohttp.web, aiohttp.test_utils
        print(issubclass(aiohttp.web.Server, aiohttp.web_server.Server))
        print(importlib.reload(aiohttp) is aiohttp, aiohttp.StreamReader is StreamReader)
        """
    )
    assert shown == [
        "False False",
        "True True",
        "True True",
        "module aiohttp has no attribute nothing_such",
        "True",
        "True",
        "True True",
    ]


def test_its_directory_is_that_of_all_of_it_and_so_it_is_after_a_reload() -> None:
    code = """
    import_server()
    import aiohttp, importlib
    {}
    print("ClientSession" in dir(aiohttp), hasattr(aiohttp, "nothing"), type(aiohttp).__name__)
    """
    for first in ("", "importlib.reload(aiohttp)"):
        assert script(code.format(first)) == ["True False module"]


def test_threads_that_ask_at_once_get_it_and_it_runs_once(tmp_path: Path) -> None:
    shown = script(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        import_server()
        import aiohttp
        barrier = threading.Barrier(8)
        def ask(_):
            barrier.wait(10)
            return aiohttp.client_session
        with ThreadPoolExecutor(8) as pool:
            print(set(pool.map(ask, range(8))), aiohttp.runs)
        """,
        package(
            tmp_path,
            __init__="""
            __version__ = "3.14.4"
            import time
            runs = globals().get("runs", 0) + 1
            from . import client
            # A missing name is missing within it, not run again.
            assert not hasattr(client.package, "nothing")
            time.sleep(0.05)
            client_session = 1
            """,
            client="import sys\npackage = sys.modules[__package__]",
        ),
    )
    assert shown == ["{1} 1"]


def test_a_server_that_needs_its_client_gets_it(tmp_path: Path) -> None:
    shown = script(
        """
        print(import_server())
        import aiohttp.web_server, aiohttp.streams
        print(aiohttp.streams.count, aiohttp.web_server.ClientSession, type(aiohttp).__name__)
        """,
        package(
            tmp_path,
            __init__='__version__ = "3.14.4"\nClientSession = 7\nfrom . import streams\n',
            streams="count = globals().get('count', 0) + 1",
            web_server="from . import ClientSession",
        ),
    )
    assert shown == ["False", "1 7 module"]


def test_a_package_whose_version_is_elsewhere_is_left_as_it_is(tmp_path: Path) -> None:
    shown = script(
        "print(import_server(), 'aiohttp' in sys.modules)",
        package(tmp_path, __init__="from .client import __version__\n"),
    )
    assert shown == ["False False"]


def test_one_that_has_been_imported_is_left_as_it_is() -> None:
    shown = script(
        """
        import aiohttp, types
        print(import_server(), type(aiohttp) is types.ModuleType)
        """
    )
    assert shown == ["False True"]


def test_an_init_that_fails_is_run_again_when_asked_again(tmp_path: Path) -> None:
    shown = script(
        """
        print(import_server())
        import aiohttp, pathlib
        for _ in range(2):
            try:
                print(aiohttp.answer)
            except ImportError as error:
                print(error.name)
            pathlib.Path(aiohttp.__path__[0], "late.py").write_text("answer = 42")
            import importlib
            importlib.invalidate_caches()
        """,
        package(tmp_path, __init__='__version__ = "3.14.4"\nfrom .late import answer\n'),
    )
    assert shown == ["True", "aiohttp.late", "42"]


def test_oidc_gets_the_client_and_not_in_the_event_loop() -> None:
    shown = script(
        """
        import_server()
        import asyncio, threading
        from kubelatch.credentials.oidc_http import IssuerHttp
        from kubelatch.errors import CredentialError
        from kubelatch.kubeconfig import TlsConfig
        loader = sys.modules["aiohttp"].__spec__.loader
        def exec_module(module):
            print(threading.current_thread() is threading.main_thread())
            type(loader).exec_module(loader, module)
        loader.exec_module = exec_module
        try:
            asyncio.run(IssuerHttp(TlsConfig(), {}).get("https://127.0.0.1:1/"))
        except CredentialError as error:
            print(error.message)
        """
    )
    assert shown == ["False", "oidc: https://127.0.0.1:1 cannot be reached: ClientConnectorError"]


def test_run_does_without_the_client_too() -> None:
    shown = script(
        """
        import atexit
        from kubelatch.cli.main import main
        atexit.register(lambda: print("aiohttp.client" in sys.modules, "aiohttp" in sys.modules))
        main(["run", "--demo", "--", "true"])
        """
    )
    assert shown == ["False True"]


def test_a_program_that_embeds_the_proxy_has_all_of_aiohttp() -> None:
    shown = script("import kubelatch.app, aiohttp\nprint('ClientSession' in vars(aiohttp))")
    assert shown == ["True"]
