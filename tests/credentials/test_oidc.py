"""The legacy OIDC provider against a real issuer over TLS."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kubelatch.credentials import CredentialSource, source_for
from kubelatch.errors import ConfigError, CredentialError
from kubelatch.kubeconfig import Overrides, load
from tests.support.certificates import Authority, tls_server

from .support import Clock


def jwt(expiry: float, name: str = "me") -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry, "sub": name}).encode())
    return f"e30.{claims.decode().rstrip('=')}.c2ln"


@dataclass
class Issuer:
    """Answers discovery and refresh, and remembers what it was asked."""

    url: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    takes_header: bool = True
    endpoint: str = ""
    moved_to: str = ""
    asked: list[tuple[dict[str, str], str]] = field(default_factory=list)

    async def discover(self, request: web.Request) -> web.Response:
        if self.moved_to and not request.query:
            raise web.HTTPFound(self.moved_to)
        endpoint = self.endpoint or f"{self.url}/token"
        return web.json_response({"issuer": self.url, "token_endpoint": endpoint})

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        header = request.headers.get("Authorization", "")
        self.asked.append((form, header))
        if header and not self.takes_header:
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def issuer(authority: Authority, tmp_path: Path) -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discover)
    app.router.add_post("/token", issuer.token)
    identity = authority.server()
    pem = tmp_path / "issuer.pem"
    pem.write_text(identity.certificate + identity.key)
    context = tls_server()
    context.load_cert_chain(pem)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    issuer.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield issuer
    await runner.cleanup()


@dataclass
class Kubeconfig:
    """A kubeconfig with an OIDC user, with comments that must survive."""

    path: Path
    issuer: Issuer
    ca: str

    def write(self, **settings: str) -> None:
        lines = {
            "client-id": "my client",
            "client-secret": "s3:cret",
            "idp-issuer-url": f"{self.issuer.url}/",
            "idp-certificate-authority-data": base64.b64encode(self.ca.encode()).decode(),
            **settings,
        }
        config = "\n".join(f"        {k}: {v} # {k}" for k, v in lines.items())
        self.path.write_text(
            f"""# mine
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1"}}}}]
contexts:
- {{name: x, context: {{cluster: c, user: u}}}}  # the only one
current-context: x
users:
- name: other
  user: {{token: abc}}
- name: u
  user:
    auth-provider:
      name: oidc
      config:
{config}
"""
        )
        self.path.chmod(0o640)

    def source(self, clock: Clock) -> CredentialSource:
        config = load(Overrides(kubeconfig=str(self.path)), environ={})
        return source_for(config, clock=clock, monotonic=clock, environ={})

    def provider(self) -> dict[str, str]:
        user = yaml.safe_load(self.path.read_text())["users"][1]["user"]
        config: dict[str, str] = user["auth-provider"]["config"]
        return config


@pytest.fixture
def kubeconfig(tmp_path: Path, issuer: Issuer, authority: Authority) -> Kubeconfig:
    return Kubeconfig(tmp_path / "config", issuer, authority.pem)


async def test_a_valid_token_causes_no_request(kubeconfig: Kubeconfig, clock: Clock) -> None:
    kubeconfig.write(**{"id-token": jwt(clock.now + 60)})
    credential = kubeconfig.source(clock).cached()
    assert credential is not None
    assert credential.authorization is not None
    assert credential.authorization.reveal() == f"Bearer {jwt(clock.now + 60)}"
    assert credential.expires_at == clock.now + 50
    assert kubeconfig.issuer.asked == []


@pytest.mark.parametrize("stale", ["expired", "absent", "nonsense"])
async def test_a_refresh(kubeconfig: Kubeconfig, clock: Clock, stale: str) -> None:
    tokens = {"expired": {"id-token": jwt(clock.now)}, "absent": {}, "nonsense": {"id-token": "x"}}
    kubeconfig.write(**tokens[stale], **{"refresh-token": "r1"})
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600)}

    credential = await kubeconfig.source(clock).get()

    assert credential.authorization is not None
    assert credential.authorization.reveal() == f"Bearer {jwt(clock.now + 600)}"
    ((form, header),) = kubeconfig.issuer.asked
    assert form == {"grant_type": "refresh_token", "refresh_token": "r1"}
    # RFC 6749, 2.3.1: both are form-encoded before they are put together.
    assert header == f"Basic {base64.b64encode(b'my+client:s3%3Acret').decode()}"


async def test_an_issuer_that_wants_its_client_in_the_form(
    kubeconfig: Kubeconfig, clock: Clock
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    kubeconfig.issuer.takes_header = False
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600)}
    await kubeconfig.source(clock).get()
    form, header = kubeconfig.issuer.asked[-1]
    assert (form["client_id"], form["client_secret"], header) == ("my client", "s3:cret", "")


async def test_the_new_tokens_go_into_the_file_and_nothing_else_changes(
    kubeconfig: Kubeconfig, clock: Clock
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    before = kubeconfig.path.read_text()
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600), "refresh_token": "r2"}

    await kubeconfig.source(clock).get()

    provider = kubeconfig.provider()
    assert (provider["id-token"], provider["refresh-token"]) == (jwt(clock.now + 600), "r2")
    kept = kubeconfig.path.read_text().splitlines()
    assert [line for line in before.splitlines() if line not in kept] == [
        "        refresh-token: r1 # refresh-token"
    ]
    assert kubeconfig.path.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in kubeconfig.path.parent.iterdir() if "config" in path.name] == [
        "config"
    ]


async def test_the_rotated_token_is_used_next_and_a_401_causes_one_refresh(
    kubeconfig: Kubeconfig, clock: Clock
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    source = kubeconfig.source(clock)
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600), "refresh_token": "r2"}
    rejected = await source.get()
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 700)}
    fresh = await source.invalidate(rejected)
    assert fresh is not None
    assert not fresh.same_as(rejected)
    assert [form["refresh_token"] for form, _ in kubeconfig.issuer.asked] == ["r1", "r2"]


async def test_a_stale_lock_causes_a_warning_only(
    kubeconfig: Kubeconfig, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    before = kubeconfig.path.read_text()
    Path(f"{kubeconfig.path}.lock").touch()
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600), "refresh_token": "r2"}
    source = kubeconfig.source(clock)

    rejected = await source.get()
    await source.invalidate(rejected)

    assert kubeconfig.path.read_text() == before
    assert kubeconfig.issuer.asked[-1][0]["refresh_token"] == "r2"
    assert "stay in memory only" in caplog.text
    assert "r2" not in caplog.text.replace(str(kubeconfig.path), "")


async def test_a_link_is_written_through(
    kubeconfig: Kubeconfig, clock: Clock, tmp_path: Path
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    real = tmp_path / "elsewhere"
    real.mkdir()
    kubeconfig.path.rename(real / "config")
    kubeconfig.path.symlink_to(real / "config")
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600), "refresh_token": "r2"}
    await kubeconfig.source(clock).get()
    assert kubeconfig.path.is_symlink()
    assert kubeconfig.provider()["refresh-token"] == "r2"


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (400, {"error": "invalid_grant"}, "the issuer responded 400 invalid_grant"),
        (400, {"error": "hunter2 hunter2"}, "the issuer responded 400"),
        (400, {"error": "hunter2"}, "the issuer responded 400"),
        (400, {"error": "hunter"}, "the issuer responded 400"),
        (500, {}, "the issuer responded 500"),
        (200, {"access_token": "hunter2"}, "did not contain an id_token"),
        (200, {"id_token": "hunter2"}, "ID Token is not a valid JWT"),
    ],
)
async def test_an_issuer_that_refuses(
    kubeconfig: Kubeconfig, clock: Clock, status: int, answer: dict[str, str], message: str
) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    kubeconfig.issuer.status, kubeconfig.issuer.answer = status, answer
    with pytest.raises(CredentialError) as caught:
        await kubeconfig.source(clock).get()
    assert caught.value.message.endswith(message)


async def test_an_issuer_that_is_not_trusted(kubeconfig: Kubeconfig, clock: Clock) -> None:
    other = base64.b64encode(Authority().pem.encode()).decode()
    kubeconfig.write(**{"refresh-token": "r1", "idp-certificate-authority-data": other})
    with pytest.raises(CredentialError, match="cannot be reached"):
        await kubeconfig.source(clock).get()
    assert kubeconfig.issuer.asked == []


def test_a_broken_issuer_ca_is_an_error_at_start(kubeconfig: Kubeconfig, clock: Clock) -> None:
    kubeconfig.write(**{"idp-certificate-authority-data": "'!'"})
    with pytest.raises(ConfigError, match="illegal base64"):
        kubeconfig.source(clock)


@pytest.fixture
async def eavesdropper() -> AsyncIterator[tuple[str, list[bytes]]]:
    """An address of plain http, and what was sent there."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", heard


@pytest.mark.parametrize("where", ["issuer", "endpoint", "redirect"])
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
async def test_nothing_is_sent_over_plain_http(
    kubeconfig: Kubeconfig,
    clock: Clock,
    eavesdropper: tuple[str, list[bytes]],
    where: str,
    scheme: str,
) -> None:
    """Neither to an issuer of http, nor where one of https says the tokens are to be had."""
    address, heard = eavesdropper
    url = address.replace("http", scheme, 1)
    kubeconfig.write(
        **{"refresh-token": "r1"}, **({"idp-issuer-url": url} if where == "issuer" else {})
    )
    if where == "endpoint":
        kubeconfig.issuer.endpoint = f"{url}/token?hunter2"
    if where == "redirect":
        kubeconfig.issuer.moved_to = f"{url}/.well-known/openid-configuration"
    with pytest.raises(CredentialError, match="its URL is not one of https") as caught:
        await kubeconfig.source(clock).get()
    assert address in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert heard == []
    assert kubeconfig.issuer.asked == []


async def test_an_issuer_whose_discovery_has_moved(kubeconfig: Kubeconfig, clock: Clock) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    kubeconfig.issuer.moved_to = "/.well-known/openid-configuration?there"
    kubeconfig.issuer.answer = {"id_token": jwt(clock.now + 600)}
    await kubeconfig.source(clock).get()
    assert len(kubeconfig.issuer.asked) == 1


async def test_an_issuer_that_redirects_in_a_loop(kubeconfig: Kubeconfig, clock: Clock) -> None:
    kubeconfig.write(**{"refresh-token": "r1"})
    kubeconfig.issuer.moved_to = "/.well-known/openid-configuration"
    with pytest.raises(CredentialError, match="responded 302 and names no token_endpoint"):
        await kubeconfig.source(clock).get()


@pytest.mark.parametrize("expiry", [1e300, "1e999", 10**30])
async def test_an_expiry_that_no_date_can_name(
    kubeconfig: Kubeconfig, clock: Clock, expiry: float | str
) -> None:
    claims = base64.urlsafe_b64encode(f'{{"exp": {expiry}}}'.encode()).decode().rstrip("=")
    kubeconfig.write(**{"id-token": f"e30.{claims}.c2ln"})
    status = kubeconfig.source(clock).describe()
    assert status.expires_at is not None
    assert datetime.fromtimestamp(status.expires_at, UTC).year == 9999
