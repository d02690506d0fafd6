"""``kubelatch pending``, ``approve`` and ``deny``, with kubectl as the one who asks."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubelatch.app import App
from kubelatch.config import settings
from kubelatch.demo.arrivals import Arrival
from tests.support.relay import eventually
from tests.support.upstream import ScriptedUpstream, answering, ok

from .processes import Config, finish, kubelatch

KUBECTL = str(Path(sys.executable).parent / "kubectl")
SECRET = "0123456789abcdef-answers"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class Demo:
    """A demo behind a proxy that asks.

    Attributes:
        app: the proxy.
        flags: of our commands.
        writes: the writes that have reached the API server.
    """

    def __init__(self, app: App, directory: Path) -> None:
        self.app = app
        self.home = directory
        self.flags = ("--inspect-secret-file=" + str(directory / "secret"),)
        self.writes: list[str] = []

    async def arrived(self, arrival: Arrival) -> None:
        if arrival.method in WRITES:
            self.writes.append(f"{arrival.method} {arrival.target.decode().partition('?')[0]}")

    @property
    def admin(self) -> str:
        return f"--admin-address={self.app.admin_name}"

    async def kubectl(self, *words: str, stdin: bytes = b"") -> asyncio.subprocess.Process:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            *(KUBECTL, "-s", f"http://{self.app.name}", "-n", "shop", *words),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": "/dev/null"},
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process

    async def run(self, *words: str) -> tuple[int, str, str]:
        """One of our commands."""
        return await kubelatch(words[0], self.admin, *self.flags, *words[1:])

    async def waiting(self) -> dict[str, Any]:
        """What waits, once something does."""
        async with asyncio.timeout(20):
            while True:
                code, out, err = await self.run("pending", "-o", "json")
                assert (code, err) == (0, "")
                found: list[dict[str, Any]] = json.loads(out)["pending"]
                if found:
                    return found[0]


@asynccontextmanager
async def asking(directory: Path, *flags: str) -> AsyncIterator[Demo]:
    file = directory / "secret"
    file.write_text(SECRET)
    given = [
        "--demo", "--port=0", "--read-only", "--ask", "--admin-address=127.0.0.1:0",
        f"--inspect-secret-file={file}", *flags,
    ]  # fmt: skip
    app = App(settings.from_values(settings.parse(given, {})), {})
    demo = Demo(app, directory)
    app.on_demo_request = demo.arrived
    try:
        await app.start()
        demo.writes.clear()
        yield demo
    finally:
        await app.stop()


SCALE = "PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "tool"},
    "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "evil:1"}]},
}


async def test_an_approved_command_is_carried_out_once(tmp_path: Path) -> None:
    async with asking(tmp_path) as demo:
        scale = await demo.kubectl("scale", "deployment", "web", "--replicas=5")
        shown = await demo.waiting()
        assert shown["summary"] == 'patch deployments.apps/scale "web" in namespace "shop"'
        assert (shown["uid"], shown["process"]["pid"]) == (os.getuid(), scale.pid)
        assert demo.writes == []
        code, out, _ = await demo.run("pending")
        assert (code, out.count("replicas")) == (0, 1)
        assert await demo.run("approve", shown["id"]) == (
            0, f"approved {shown['id']}: {shown['summary']}\n", "",
        )  # fmt: skip
        assert await finish(scale) == (0, "deployment.apps/web scaled\n", "")
        assert demo.writes == [SCALE]
        assert (await demo.run("pending"))[1] == "nothing waits for an answer\n"
        code, out, _ = await demo.run("approve", shown["id"])
        assert (code, "no such request waits" in out) == (1, True)
        assert demo.writes == [SCALE]


async def test_the_reason_of_a_no_is_what_kubectl_prints(tmp_path: Path) -> None:
    async with asking(tmp_path) as demo:
        create = await demo.kubectl("create", "-f", "-", stdin=json.dumps(POD).encode())
        shown = await demo.waiting()
        risks = {risk["field"]: risk["value"] for risk in shown["risks"]}
        assert risks == {"spec.hostNetwork": "true", "spec.containers[0].image": "evil:1"}
        code, out, _ = await demo.run("pending", shown["id"])
        assert (code, '"image": "evil:1"' in out) == (0, True)
        assert await demo.run("deny", shown["id"], "not on the host network") == (
            0, f"denied {shown['id']}\n", "",
        )  # fmt: skip
        code, _, err = await finish(create)
        assert code == 1
        assert "Forbidden" in err
        assert "denied: not on the host network" in err
        assert demo.writes == []


async def test_what_would_change_is_shown_and_approved_as_shown(tmp_path: Path) -> None:
    async with asking(tmp_path) as demo:
        scale = await demo.kubectl("scale", "deployment", "web", "--replicas=5")
        shown = await demo.waiting()
        code, out, _ = await demo.run("pending", shown["id"], "--diff")
        assert (code, "-  replicas: 3\n+  replicas: 5\n" in out) == (0, True)
        assert scale.returncode is None
        ident = out.strip().rpartition(" ")[2]
        assert ident.startswith(f"{shown['id']}@")
        code, out, _ = await demo.run("approve", f"{shown['id']}@1")
        assert (code, "the object is not the one that was shown" in out) == (1, True)
        assert (await demo.run("approve", ident))[0] == 0
        assert (await finish(scale))[0] == 0
        # The dry run, and the write.
        assert demo.writes == [SCALE, SCALE]


async def test_a_body_that_is_not_read_is_seen_in_what_would_change(tmp_path: Path) -> None:
    """kubectl creates with protobuf."""
    async with asking(tmp_path) as demo:
        create = await demo.kubectl("create", "deployment", "tool", "--image=evil:1")
        shown = await demo.waiting()
        assert "nothing is known of it" in shown["risks"][0]["value"]
        code, out, _ = await demo.run("pending", shown["id"], "--diff")
        assert (code, "risky       spec.template.spec.containers[0].image: evil:1" in out) == (
            0, True,
        )  # fmt: skip
        assert "+      - image: evil:1" in out
        assert (await demo.run("deny", shown["id"]))[0] == 0
        assert (await finish(create))[0] == 1


async def test_without_an_answer_kubectl_is_refused(tmp_path: Path) -> None:
    async with asking(tmp_path, "--ask-timeout=100ms") as demo:
        delete = await demo.kubectl("delete", "deployment", "web")
        code, _, err = await finish(delete)
        assert (code, "not given within 0.1 s" in err) == (1, True)
        assert demo.writes == []


async def test_a_kubectl_that_is_interrupted_withdraws(tmp_path: Path) -> None:
    async with asking(tmp_path) as demo:
        delete = await demo.kubectl("delete", "deployment", "web")
        shown = await demo.waiting()
        delete.kill()
        await delete.communicate()
        await eventually(lambda: not len(demo.app._registry))
        assert (await demo.run("approve", shown["id"]))[0] == 1
        assert demo.writes == []


async def test_a_secret_is_read_once_it_is_approved(tmp_path: Path) -> None:
    async with asking(tmp_path) as demo:
        get = await demo.kubectl("get", "secrets", "-o", "name")
        shown = await demo.waiting()
        assert shown["message"] == "Secrets cannot be read through this proxy"
        assert (await demo.run("approve", shown["id"]))[0] == 0
        code, out, _ = await finish(get)
        assert (code, "secret/" in out) == (0, True)


async def test_an_exec_is_held_and_then_works(tmp_path: Path) -> None:
    async with asking(tmp_path, "--reject-paths=") as demo:
        run = await demo.kubectl("exec", "deploy/web", "--", "sh", "-c", "echo $((40+2))")
        shown = await demo.waiting()
        assert shown["command"] == ["sh", "-c", "echo $((40+2))"]
        code, out, _ = await demo.run("pending")
        assert (code, "sh -c 'echo $((40+2))'" in out) == (0, True)
        assert (await demo.run("approve", shown["id"]))[0] == 0
        assert (await finish(run))[:2] == (0, "42\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("approve",), "needs the id"),
        (("deny",), "needs the id"),
        (("deny", "1-00000000", "two", "texts"), "unknown argument"),
        (("pending", "-o", "yaml"), "neither text nor json"),
        (("pending", "--diff"), "needs the id"),
        (("pending", "--inspect-secret-file=/nonexistent"), "cannot read the inspector's secret"),
        (("pending", "--inspect-secret-file="), "need the inspector's secret"),
        (("pending", "--admin-address=127.0.0.1:1"), "no proxy answers at 127.0.0.1:1"),
    ],
)
async def test_what_cannot_be_asked_says_why(
    tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    flag = f"--inspect-secret-file={tmp_path / 'secret'}"
    code, out, err = await kubelatch(words[0], flag, *words[1:])
    assert (code in {1, 2}, out) == (True, "")
    assert problem in err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            ("--ask", "--inspect"),
            "--ask has no effect without --read-only, --allow-rules or --contexts",
        ),
        (("--ask", "--read-only"), "with --ask alone nobody could answer"),
        (("--ask", "--read-only", "--admin-address=@a"), "with --ask alone nobody could answer"),
        (("--ask-timeout=1m",), "--ask-timeout has no effect without --ask"),
        (("--inspect-secret-file=x",), "--inspect-secret-file has no effect without --inspect"),
    ],
)
async def test_flags_without_which_nobody_would_be_asked(
    flags: tuple[str, ...], problem: str
) -> None:
    code, out, err = await kubelatch("--demo", "--port=0", *flags)
    assert (code, out) == (2, "")
    assert problem in err


_THIEF = """
import glob, http.client, json, os, socket, sys, urllib.error, urllib.request as u
admin = sys.argv[1]
url = os.environ["KUBELATCH_URL"]
seen = {"environ": dict(os.environ), "argv": [], "memory": "", "answers": []}
for name in ("cmdline", "environ"):
    try:
        seen["argv"].append(open(f"/proc/{os.getppid()}/{name}", "rb").read().decode("latin-1"))
    except OSError as error:
        seen["argv"].append(type(error).__name__)
try:
    open(f"/proc/{os.getppid()}/mem", "rb")
    seen["memory"] = "open"
except OSError as error:
    seen["memory"] = type(error).__name__
class Admin(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(admin)
import threading
def write():
    try:
        u.urlopen(u.Request(url + "/api/v1/namespaces/shop/pods/p", method="DELETE"), timeout=60)
        seen["written"] = 200
    except urllib.error.HTTPError as error:
        seen["written"] = error.code
writer = threading.Thread(target=write)
writer.start()
for method, path in (
    ("GET", "pending"), ("POST", "pending/approve"), ("POST", "session"),
    ("POST", "pending/1-00000000/approve"), ("GET", ""), ("GET", "events"),
):
    for token in ("", "x", "null", os.environ.get("KUBELATCH_URL", "")):
        connection = Admin("localhost")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, f"/inspect/{path}", body="{}", headers=headers)
        response = connection.getresponse()
        seen["answers"].append([path, response.status, response.read(2000).decode()])
writer.join()
print(json.dumps(seen))
"""


async def test_a_command_of_run_cannot_answer_itself(
    tmp_path: Path, config: Config, authority: Any
) -> None:
    """Neither by what it is started with, nor by the socket, nor by its parent's memory."""
    admin = tmp_path / "admin.sock"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, err = await kubelatch(
            "run", config(upstream), "--read-only", "--ask", "--inspect", "--ask-timeout=2s",
            f"--admin-address={admin}", "--", sys.executable, "-c", _THIEF, str(admin),
        )  # fmt: skip
    assert (code, "advice and no boundary" in err) == (0, True)
    seen = json.loads(out)
    assert seen["written"] == 403
    assert {(path, status) for path, status, _ in seen["answers"] if status == 200} <= {("", 200)}
    assert {status for path, status, _ in seen["answers"] if path} <= {401, 403}
    assert upstream.requests == []
    # Where the tests' user is root, nothing keeps it from another process's memory.
    if os.getuid():
        assert seen["memory"] != "open"
    assert not [name for name in seen["environ"] if "SECRET" in name]
