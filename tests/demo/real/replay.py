"""Sends the recorded requests to a demo, in their order, and keeps what it says.

A cluster as the recorded one is made first. Time passes at once where nobody works: a watch of six
seconds takes none.
"""

import asyncio
import base64
import io
import json
import re
import selectors
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from kubelatch.demo import DemoAccess, DemoServer

from .compare import dig, events_of, response_of

FILES = ("setup", "server", "formats", "access", "objects", "kinds", "watches", "pods")
_HERE = Path(__file__).parent
_PATIENCE = 5.0
"""Seconds, of the loop's own time, to wait for what a controller does."""
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_AGE = 8.0
"""Seconds that what was made first had run for: containers had written ``tick``."""
_SHOP = "/api/v1/namespaces/shop"
_MERGE = "application/merge-patch+json"


def steps() -> Iterator[tuple[str, Any]]:
    """All steps with the file that they stand in."""
    for name in FILES:
        with (_HERE / f"{name}.jsonl").open(encoding="utf-8") as rows:
            for row in rows:
                yield name, json.loads(row)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.in_threads = 0
        super().__init__(_JumpingSelector(self))

    def run_in_executor(self, *arguments: Any) -> Any:  # type: ignore[override]
        """Time does not jump while a thread works."""
        future = super().run_in_executor(*arguments)
        self.in_threads += 1
        future.add_done_callback(lambda _: setattr(self, "in_threads", self.in_threads - 1))
        return future

    def time(self) -> float:
        return super().time() + self._ahead

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds


class _JumpingSelector(selectors.SelectSelector):
    _IDLE = 0.005
    """Seconds without anything to do, after which nothing is on its way on loopback either."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= self._IDLE or self._loop.in_threads:
            return super().select(timeout)
        ready = super().select(self._IDLE)
        if not ready:
            self._loop.jump(timeout - self._IDLE)
        return ready


async def replay(certificates: Path) -> dict[str, Any]:
    """The demo's responses by the ids of the steps; without those that it has no user for."""
    async with DemoServer(log_interval=5.0, start_delay=0.5) as access, AsyncExitStack() as stack:
        player = _Player(access, stack, certificates)
        await player.send("admin", "DELETE", _SHOP, {}, None)
        await player.step({"request": {"method": "GET", "path": _SHOP}, "until": 404})
        responses: dict[str, Any] = {}
        for name, step in steps():
            if name == "server" and "sa" not in player.users:
                await player.service_account()
                await asyncio.sleep(_AGE)
            if (response := await player.step(step)) is not None and "response" in step:
                responses[step["id"]] = response
        return responses


class _Player:
    """A user a name, and the values that later steps refer to."""

    def __init__(self, access: DemoAccess, stack: AsyncExitStack, certificates: Path) -> None:
        self._server = access.server
        self._ca = access.ca_pem
        self._stack = stack
        self._directory = certificates
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self.users: dict[str, dict[str, str]] = {"anonymous": {}}
        for row in access.kubeconfig()["users"]:
            name = row["name"].removeprefix("demo-")
            self.users["admin" if name == "demo" else name] = row["user"]
        self._values = {
            "csr": _request("jane"),
            "csr_masters": _request("jane", "system:masters"),
            "csr_viewer": _request("viewer"),
        }

    async def step(self, step: Any) -> Any:
        """Carry out a step; None without a user for it."""
        who = step.get("as", "admin")
        if who not in self.users and who.replace(" ", "_") not in self._values:
            return None
        if "wait" in step:
            await asyncio.sleep(step["wait"])
        request = step["request"]
        arguments = (request["method"], request["path"], request.get("headers", {}))
        body, until = request.get("body"), step.get("until")
        sent = asyncio.create_task(self.send(who, *arguments, body))
        await asyncio.sleep(0)
        for method, path, content in step.get("watch", ()):
            await asyncio.sleep(float(path) if method == "SLEEP" else 0.15)
            if method != "SLEEP":
                headers = {"Content-Type": _MERGE} if method == "PATCH" else {}
                await self.send("admin", method, path, headers, content)
        status, headers, data = await sent
        end = asyncio.get_running_loop().time() + _PATIENCE
        while until is not None and asyncio.get_running_loop().time() < end:
            if status == until or (isinstance(until, str) and _found(data, until) is not None):
                break
            await asyncio.sleep(0.2)
            status, headers, data = await self.send(who, *arguments, body)
        for name, path in step.get("capture", {}).items():
            if (value := _found(data, path.removeprefix("b64:"))) is not None:
                encoded = path.startswith("b64:")
                self._values[name] = base64.b64decode(value).decode() if encoded else value
        if "response" not in step:
            return None
        response = response_of(step, status, headers, data)
        return events_of(step, response, data) if "watch" in step and status == 200 else response

    async def service_account(self) -> None:
        """Ask for a token of shop/default."""
        path = f"{_SHOP}/serviceaccounts/default/token"
        _, _, body = await self.send("admin", "POST", path, {}, {"spec": {}})
        if token := _found(body, "status.token"):
            self.users["sa"] = {"token": token}

    async def send(
        self, who: str, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, to its end."""
        given = {"Accept": "*/*", "User-Agent": "golden/1"} | headers
        given = {k: v for k, v in given.items() if v or k == "Authorization"}
        user = self.users.get(who) or {}
        token = user.get("token") or self._values.get(who.replace(" ", "_"))
        if token:
            given.setdefault("Authorization", f"Bearer {token}")
        data = None
        if isinstance(body, str):
            data = self._filled(body)
        elif body is not None:
            data = self._filled(json.dumps(_whole(body)))
            given.setdefault("Content-Type", "application/json")
        async with self._session(who if user and not user.get("token") else "").request(
            method,
            URL(self._server + self._filled(path), encoded=True),
            data=None if data is None else io.BytesIO(data.encode()),
            headers=given,
            skip_auto_headers=_AUTOMATIC,
            allow_redirects=False,
        ) as response:
            out: dict[str, str] = {}
            for key, value in response.headers.items():
                name = "-".join(word.capitalize() for word in key.split("-"))
                out[name] = f"{out[name]} || {value}" if name in out else value
            content = b"" if response.status == 101 else await response.read()
            if response.status == 101:
                response.close()
            return response.status, out, content

    def _session(self, who: str) -> aiohttp.ClientSession:
        """A client with the certificate of ``who``, or without any."""
        if who not in self._sessions:
            context = ssl.create_default_context(cadata=self._ca)
            if who:
                user = self.users[who]
                file = self._directory / f"{who}.pem"
                keys = ("client-certificate-data", "client-key-data")
                file.write_bytes(b"".join(base64.b64decode(user[key]) for key in keys))
                context.load_cert_chain(file)
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
            )
            self._sessions[who] = session
            self._stack.push_async_callback(session.close)
        return self._sessions[who]

    def _filled(self, text: str) -> str:
        repeated = re.sub(r"\$\{x\*(\d+)\}", lambda m: "x" * int(m[1]), text)
        return re.sub(r"\$\{(\w+)\}", lambda m: self._values.get(m[1], f"missing-{m[1]}"), repeated)


def _whole(body: Any) -> Any:
    """A body in which a long list was written short."""
    if isinstance(body, dict) and "$repeat" in body:
        return [body["of"]] * body["$repeat"]
    return body


def _found(body: bytes, path: str) -> Any:
    try:
        return dig(json.loads(body), path)
    except ValueError:
        return None


def _request(name: str, *organisations: str) -> str:
    """A certificate signing request as the API takes it."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organisations]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def play(certificates: Path) -> dict[str, Any]:
    """:func:`replay` on a loop of its own."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(replay(certificates))


__all__: Sequence[str] = ("FILES", "play", "steps")
