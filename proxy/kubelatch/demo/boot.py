"""Puts the demo together: certificates, objects, controllers, listener.

Imported only when a demo is started, since ``cryptography`` and aiohttp are heavy.
"""

import asyncio
import contextlib
import secrets
import socket
from dataclasses import dataclass
from functools import partial

from ..secret import Secret
from .access import DemoAccess
from .accounts import Accounts, Tokens
from .admission import admit
from .api import Api
from .authentication import AUTHENTICATED, User
from .certificates import CLIENTS_NAME, Authority, server_context
from .content import VIEWER, restore, start
from .controllers import Controllers
from .http import HttpServer
from .identifiers import Identifiers
from .loading import load
from .mains import Mains
from .rbac import MASTERS
from .registry import Admission, ResourceRegistry
from .resources import Resource
from .server import DemoServer
from .store import Store
from .streams.curl import API_ADDRESS, API_NAMES, DOMAIN
from .tokens import Signer

_ADMIN = "admin"
_BACKLOG = 4096
"""A thousand clients may connect at once; a short queue makes them wait for SYN retries."""
_TLS_HANDSHAKE = 10.0
"""Seconds for a handshake; on loopback, a client that needs longer will never finish."""
_TLS_SHUTDOWN = 1.0
"""Seconds that a closing connection waits for its peer's close_notify."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A demo that listens."""

    access: DemoAccess
    http: HttpServer
    listener: asyncio.Server
    controllers: asyncio.Task[None]
    mains: Mains

    async def stop(self) -> None:
        """End it, with all its tasks and connections."""
        self.listener.close()
        self.controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.controllers
        await self.http.close()
        await self.mains.close()


async def boot(options: DemoServer) -> Running:
    """Start a demo.

    Raises:
        DemoError: an object cannot be loaded.
        OSError: the address cannot be listened on.
    """
    authority, clients = Authority(), Authority(CLIENTS_NAME)
    names = ["localhost", "127.0.0.1", "::1", *API_NAMES, f"{API_NAMES[-1]}.{DOMAIN}"]
    names += [API_ADDRESS, options.host]
    context = server_context(authority, clients, list(dict.fromkeys(names)))
    identifiers = Identifiers(options.seed)
    registry = ResourceRegistry(store=Store(history=options.history, identifiers=identifiers))
    restore(registry.store, authority.certificate_pem)
    accounts = Accounts(registry.store, Signer(), identifiers)
    controllers = Controllers(
        registry,
        start_delay=options.start_delay,
        log_interval=options.log_interval,
        ca_pem=authority.certificate_pem,
        clients=clients,
        accounts=accounts,
    )
    start(registry.store, controllers.mains)
    admin = User(name=_ADMIN, groups=(MASTERS, AUTHENTICATED))

    def admission(resource: Resource) -> Admission:
        return lambda obj, old: admit(registry.store, admin, resource, obj, old)

    for path in options.load:
        load(registry, path, admission, partial(controllers.settle, None))
    listening = _listen(options.host, options.port)
    access = _access(authority, clients, _url(listening))
    static = (
        (access.admin_token, admin),
        (access.viewer_token, User(name=VIEWER, groups=(AUTHENTICATED,))),
    )
    tokens = Tokens(static, accounts)
    api = Api(registry, tokens, controllers.mains, server=access.server)
    http = HttpServer(api, options.on_request)
    listener = await asyncio.get_running_loop().create_server(
        http.protocol,
        sock=listening,
        ssl=context,
        backlog=_BACKLOG,
        ssl_handshake_timeout=_TLS_HANDSHAKE,
        ssl_shutdown_timeout=_TLS_SHUTDOWN,
    )
    return Running(
        access=access,
        http=http,
        listener=listener,
        controllers=asyncio.create_task(controllers.run(), name="demo-controllers"),
        mains=controllers.mains,
    )


def _access(authority: Authority, clients: Authority, server: str) -> DemoAccess:
    admin = clients.issue_client(_ADMIN, (MASTERS,))
    viewer = clients.issue_client(VIEWER, ())
    return DemoAccess(
        server=server,
        ca_pem=authority.certificate_pem,
        admin_certificate_pem=admin.certificate_pem,
        admin_key_pem=admin.key_pem,
        admin_token=Secret(secrets.token_urlsafe(32)),
        viewer_certificate_pem=viewer.certificate_pem,
        viewer_key_pem=viewer.key_pem,
        viewer_token=Secret(secrets.token_urlsafe(32)),
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound
    return f"https://[{reachable}]:{port}" if ":" in reachable else f"https://{reachable}:{port}"
