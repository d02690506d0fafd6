"""Asking the real kubectl and this package the same question, and seeing what arrives.

A recording TLS server stands where the API server would; what counts is what reached it.
"""

import http.client
import os
import shutil
import socket
import ssl
import string
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubelatch.credentials import impersonation_headers, source_for
from kubelatch.credentials.tls import client_context
from kubelatch.errors import KubelatchError
from kubelatch.kubeconfig import ClientConfig, Overrides, load
from kubelatch.secret import Secret
from tests.support.certificates import Authority, Identity, tls_server
from tests.support.kubectl import SHORT_LIVED

from .cases import Case

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent))
INTERESTING = ("authorization", "impersonate-")


@dataclass(frozen=True)
class Seen:
    """What one request looked like to the server; host names in lower case, as all are one."""

    host: str
    server_name: str | None
    certificate: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outcome:
    """What came of asking: what the server saw, or what was said instead."""

    seen: Seen | None
    said: str


class RecordingServer:
    """A TLS server that asks for a client certificate and remembers each request."""

    def __init__(self, authority: Authority, names: Sequence[str], *, tls: bool = True) -> None:
        self.requests: list[Seen] = []
        self._names: dict[int, str | None] = {}
        self._context = _server_context(authority, authority.server(*names)) if tls else None
        if self._context:
            self._context.sni_callback = self._remember_name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # Wakes the accept that the thread is blocked in.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _remember_name(
        self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        self._names[id(connection)] = name and name.lower()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain:
                plain.settimeout(10)
                try:
                    self._answer(plain)
                except (OSError, ValueError):
                    continue

    def _answer(self, plain: socket.socket) -> None:
        name, certificate = None, ""
        connection: socket.socket = plain
        if self._context:
            secure = self._context.wrap_socket(plain, server_side=True)
            connection = secure
            name = self._names.pop(id(secure), None)
            certificate = _common_name(secure.getpeercert())
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
            pairs = [(k.lower(), v) for k, _, v in (line.partition(": ") for line in lines)]
            self.requests.append(
                Seen(
                    host=dict(pairs).get("host", "").lower(),
                    server_name=name,
                    certificate=certificate,
                    headers=tuple(sorted(p for p in pairs if p[0].startswith(INTERESTING))),
                )
            )
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
            )


def _server_context(authority: Authority, identity: Identity) -> ssl.SSLContext:
    context = tls_server()
    with tempfile.NamedTemporaryFile("w") as pem:
        pem.write(identity.certificate + identity.key)
        pem.flush()
        context.load_cert_chain(pem.name)
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _common_name(certificate: Mapping[str, Any] | None) -> str:
    subject = (certificate or {}).get("subject", ())
    return next((v for part in subject for k, v in part if k == "commonName"), "")


@dataclass
class World:
    """The files, servers and variables of one case."""

    directory: Path
    server: RecordingServer
    plain: RecordingServer
    environ: dict[str, str] = field(default_factory=dict)

    def ask_kubectl(self, flags: Sequence[str]) -> Outcome:
        """One GET by the real kubectl."""
        done = subprocess.run(
            [KUBECTL or "kubectl", "get", "--raw", "/api", *flags],
            env={"PATH": os.environ["PATH"], "DISABLE_HTTP2": "1", **SHORT_LIVED, **self.environ},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        # Without credentials kubectl asks on the terminal; that is no answer either.
        return self._outcome("" if done.returncode == 0 else done.stdout + done.stderr)

    async def ask_us(self, overrides: Overrides) -> Outcome:
        """One GET with what this package made of the same files and flags."""
        try:
            config = load(overrides, environ=self.environ)
            await _get(config, {"PATH": os.environ["PATH"], **self.environ})
        except KubelatchError as error:
            return self._outcome(f"{error.message}\n{error.hint}")
        except (ssl.SSLError, OSError) as error:
            return self._outcome(str(error))
        return self._outcome("")

    def _outcome(self, said: str) -> Outcome:
        seen = [*self.server.requests, *self.plain.requests]
        self.server.requests.clear()
        self.plain.requests.clear()
        return Outcome(seen[0] if seen else None, said)


async def _get(config: ClientConfig, environ: Mapping[str, str]) -> None:
    source = source_for(config, environ=environ, has_terminal=False)
    credential = source.cached() or await source.get()
    await source.close()
    server = config.server
    connection: http.client.HTTPConnection
    if server.scheme == "https":
        context = client_context(config.tls, credential.certificate)
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        connection.connect()
        connection.sock = context.wrap_socket(
            connection.sock, server_hostname=config.tls_name.removesuffix(".")
        )
    else:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.putrequest("GET", "/api", skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", server.authority)
    if credential.authorization:
        connection.putheader("Authorization", credential.authorization.reveal())
    for key, value in impersonation_headers(config.impersonation):
        connection.putheader(key, value)
    try:
        connection.endheaders()
        connection.getresponse().read()
    finally:
        connection.close()


def fill(text: str, world: World, words: dict[str, str]) -> str:
    return string.Template(text).substitute(words, dir=world.directory)


async def ask_both(
    case: Case, world: World, words: dict[str, str], *, after: Callable[[], None] = lambda: None
) -> tuple[Outcome, Outcome]:
    """Lay out the case's files, then let kubectl go first; *after* is called after each."""
    for name, text in case.files.items():
        path = world.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A script that uses the shell's own variables is left as it is.
        verbatim = text.startswith("#!") and "cat <<" not in text
        path.write_text(text if verbatim else fill(text, world, words))
        path.chmod(0o755 if text.startswith("#!") else 0o600)
    environ = {"HOME": "${dir}/home", "KUBECONFIG": "${dir}/config", **case.environ}
    world.environ = {key: fill(value, world, words) for key, value in environ.items()}
    flags = [fill(flag, world, words) for flag in case.flags]
    theirs = world.ask_kubectl(flags)
    after()
    ours = await world.ask_us(overrides_of(flags))
    after()
    return theirs, ours


def overrides_of(flags: Sequence[str]) -> Overrides:
    """The overrides for kubectl's own flags, each written ``--name=value`` or ``--name``."""
    values: dict[str, Any] = {}
    for flag in flags:
        name, _, text = flag.removeprefix("--").partition("=")
        match name:
            case "as":
                values["impersonate_user"] = text
            case "as-uid":
                values["impersonate_uid"] = text
            case "as-group":
                values.setdefault("impersonate_groups", []).append(text)
            case "as-user-extra":
                values.setdefault("impersonate_user_extra", []).append(text)
            case "token" | "password":
                values[name] = Secret(text)
            case "insecure-skip-tls-verify" | "disable-compression":
                values[name.replace("-", "_")] = text != "false"
            case _:
                values[name.replace("-", "_")] = text
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return replace(Overrides(), **{**values, **lists})
