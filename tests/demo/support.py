"""The real kubectl and a plain HTTPS client, both pointed at a demo."""

import asyncio
import io
import json
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from kubelatch.demo import DemoAccess
from tests.support.kubectl import SHORT_LIVED

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
"""Makes kubectl speak plain SPDY/3.1."""


@dataclass(frozen=True)
class Result:
    """How a kubectl ended."""

    code: int
    out: str
    err: str


class Kubectl:
    """Runs kubectl against a demo.

    Args:
        access: the demo.
        home: an empty directory for kubeconfig and caches.
        environment: more environment variables.
    """

    def __init__(
        self, access: DemoAccess, home: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        config = home / "kubeconfig"
        config.write_text(json.dumps(access.kubeconfig()))
        self._environment = {
            "HOME": str(home),
            "KUBECONFIG": str(config),
            "PATH": os.environ["PATH"],
            **SHORT_LIVED,
            **(environment or {}),
        }

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run to the end."""
        async with self.started(*arguments) as process:
            out, err = await process.communicate(stdin)
        return Result(process.returncode or 0, out.decode(), err.decode())

    async def ok(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run to a good end, and give what it printed."""
        result = await self(*arguments, stdin=stdin)
        assert result.code == 0, result
        return result.out

    @asynccontextmanager
    async def started(
        self, *arguments: str, stream: int = asyncio.subprocess.PIPE
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run for as long as the block lasts, on pipes, or on the terminal behind ``stream``."""
        process = await asyncio.create_subprocess_exec(
            KUBECTL, *arguments, stdin=stream, stdout=stream, stderr=stream, env=self._environment
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def client_context(access: DemoAccess, certificate: Path | None = None) -> ssl.SSLContext:
    """TLS that trusts the demo; with a file, the administrator's certificate is shown."""
    context = ssl.create_default_context(cadata=access.ca_pem)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    if certificate is not None:
        certificate.write_text(access.admin_certificate_pem + access.admin_key_pem.reveal())
        context.load_cert_chain(certificate)
    return context


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What a Status says."""
        text: str = self.json["message"]
        return text


class Http:
    """An HTTPS client with the administrator's token, unless told otherwise."""

    def __init__(self, access: DemoAccess, session: aiohttp.ClientSession) -> None:
        self.access = access
        self.session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, access: DemoAccess, certificate: Path | None = None
    ) -> AsyncIterator["Http"]:
        """A client for the block."""
        connector = aiohttp.TCPConnector(ssl=client_context(access, certificate))
        async with aiohttp.ClientSession(
            access.server, connector=connector, auto_decompress=False
        ) as session:
            yield cls(access, session)

    def url(self, path: str) -> URL:
        """An absolute URL whose escapes are left alone."""
        return URL(self.access.server + path.replace(" ", "%20"), encoded=True)

    def headers(self, token: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
        given = self.access.admin_token.reveal() if token is None else token
        return ({"Authorization": f"Bearer {given}"} if given else {}) | dict(more or {})

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a token of ``""`` makes it anonymous."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        upload = None if data is None else io.BytesIO(data)
        given = ({} if data is None else {"Content-Type": "application/json"}) | dict(headers or {})
        async with self.session.request(
            method,
            self.url(path),
            data=upload,
            headers=self.headers(token, given),
            allow_redirects=False,
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    @asynccontextmanager
    async def watch(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a watch."""
        async with self.session.get(
            self.url(path), headers=self.headers(None, headers)
        ) as response:
            assert response.status == 200
            yield _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    async for line in response.content:
        yield json.loads(line)


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A small object to write."""
    return {"metadata": {"name": name}, "data": data}
