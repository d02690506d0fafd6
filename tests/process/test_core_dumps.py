"""Core files would hold keys and tokens: none is written, and children may write theirs."""

import ctypes
import json
import resource
import sys
from pathlib import Path

import pytest

from kubelatch import Proxy
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.upstream import ScriptedUpstream, answering, ok

from .running import COMMAND, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")

# prctl(2), PR_GET_DUMPABLE.
DUMPABLE = "__import__('ctypes').CDLL(None).prctl(3)"
LOOK = f"import resource; print({DUMPABLE}, *resource.getrlimit(resource.RLIMIT_CORE))"
# Says how the command's own process is, once its configuration is read.
INSIDE = f"""
import resource, sys
import kubelatch.app, kubelatch.cli.check
from kubelatch.cli.main import main
from kubelatch.errors import UsageError

def tell(*_, **__):
    raise UsageError(f"{{{DUMPABLE}}} {{resource.getrlimit(resource.RLIMIT_CORE)[0]}}")

kubelatch.app.App.start = kubelatch.cli.check.load_configuration = tell
main()
"""
SOFT = 4096


def limited(*command: str) -> tuple[str, ...]:
    """The command where core files of so many bytes may be written, by blocks of the shell's."""
    return ("/bin/bash", "-c", f'ulimit -Hc {SOFT}; ulimit -Sc {SOFT}; exec "$@"', "bash", *command)


@pytest.mark.parametrize(
    ("flags", "dumpable", "limit"),
    [
        pytest.param((), 0, 0, id="serving"),
        pytest.param(("run", "--", "true"), 0, 0, id="run"),
        pytest.param(("check",), 0, 0, id="check"),
        pytest.param(("--allow-core-dumps",), 1, SOFT * 1024, id="allowed"),
        pytest.param(("check", "--allow-core-dumps"), 1, SOFT * 1024, id="check, allowed"),
    ],
)
async def test_no_core_file_unless_it_is_asked_for(
    flags: tuple[str, ...], dumpable: int, limit: int
) -> None:
    ended = await run(*flags, command=limited(sys.executable, "-c", INSIDE))
    assert ended.error == f"error: {dumpable} {limit}"


async def test_the_command_of_run_may_write_its_own() -> None:
    command = (sys.executable, "-c", LOOK)
    ended = await run("run", "--demo", "--", *command, command=limited(*COMMAND))
    assert (ended.code, ended.out) == (0, f"1 {SOFT * 1024} {SOFT * 1024}\n")


async def test_an_exec_plugin_may_write_its_own(tmp_path: Path, authority: Authority) -> None:
    reported = tmp_path / "reported"
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [
                "-c",
                f"{LOOK.replace('print(', f'print(file=open({str(reported)!r}, chr(119)), *(')}); "
                f"print({json.dumps(answer)!r})",
            ],
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, authority, user=user))
        ended = await run("run", f"--kubeconfig={path}", "--", "true", command=limited(*COMMAND))
    assert (ended.code, ended.err) == (0, "")
    assert reported.read_text() == f"1 {SOFT * 1024} {SOFT * 1024}\n"


async def test_a_library_leaves_its_host_as_it_is() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3)
    async with Proxy(demo=True):
        assert (resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3)) == before
