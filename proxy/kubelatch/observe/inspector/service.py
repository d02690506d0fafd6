"""Puts the inspector together from the flags."""

import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from ...config.addresses import join_host_port, reachable_host, split_host_port
from ...config.flag_values import parse_body_size, parse_keep
from ...config.settings import Settings
from ...context.reload import Reloader
from ...relay.handler import Handler
from ...relay.limits import Limits
from ...relay.record import Record
from ...secret import Secret
from ..access_log.request_view import RequestViews
from ..secret_pages import SecretPages
from .commands import ClientAddress
from .inspector import Inspector, InspectorOptions
from .pending import PendingSource
from .replay import Replayer
from .routes import InspectorRoutes, read_files

log = logging.getLogger(__name__)

_PATH: Final = "/inspect/"


class InspectorService:
    """The inspector of one proxy, and its pages.

    Args:
        settings: the flags.
        handler: of the proxy's port.
        reloader: knows the context in use.
        secret: what the interface requires.
        pages: serve it, on the admin address.

    Attributes:
        proxy_name: the address of the proxy's port; set once it listens.
    """

    def __init__(
        self,
        settings: Settings,
        handler: Handler,
        reloader: Reloader,
        secret: Secret,
        pages: SecretPages,
    ) -> None:
        self._secret = secret
        self._pages = pages
        self._settings = settings
        entries, size = parse_keep(settings.inspect_keep)
        options = InspectorOptions(entries, size, parse_body_size(settings.inspect_bodies))
        self._inspector = Inspector(
            handler,
            options,
            lambda: reloader.setup.config.context,
            partial(RequestViews, settings.api_prefix, clusters=bool(settings.contexts)),
        )
        self._replayer = Replayer(self._inspector, handler, Limits.of(settings))
        routes = InspectorRoutes(self._inspector, self._replayer, self._address).routes
        pages.add(routes, read_files())
        self.proxy_name = ""

    def take(self, records: Sequence[Record]) -> None:
        """See :class:`Inspector`."""
        self._inspector.take(records)

    def show_pending(self, source: PendingSource) -> None:
        """See :class:`Inspector`."""
        self._inspector.show_pending(source)

    def url(self, admin_name: str) -> Secret | None:
        """The page's URL with the secret; None on a unix socket, which browsers do not speak to.

        Args:
            admin_name: the address that the admin listener has.
        """
        page = _page(admin_name)
        return Secret(f"{page}#{self._secret.reveal()}") if page else None

    def url_for_browser(self, admin_name: str) -> str:
        """A URL whose code a browser of this user may exchange for the secret, once and soon.

        It may stand in a list of processes: other users' browsers get nothing for it.
        """
        page = _page(admin_name)
        if not page:
            return ""
        code = Secret(secrets.token_urlsafe(16))
        self._pages.allow_code(code)
        return f"{page}#code={code.reveal()}"

    async def close(self) -> None:
        """Capture no more, and end what is being replayed."""
        await self._replayer.close()
        self._inspector.close()

    def _address(self) -> ClientAddress:
        settings, name = self._settings, self.proxy_name
        prefix = settings.api_prefix.rstrip("/")
        token_file = settings.client_token_file
        if not name or "/" in name or name.startswith("@"):
            return ClientAddress("http://localhost", prefix, name, token_file)
        url = _url(name)
        if settings.tls:
            url = url.replace("http:", "https:", 1)
        return ClientAddress(url, prefix, "", token_file, settings.tls_ca_file)


def _page(admin_name: str) -> str:
    if "/" in admin_name or admin_name.startswith("@"):
        return ""
    return f"{_url(admin_name)}{_PATH}"


def _url(name: str) -> str:
    host, port = split_host_port(name)
    return f"http://{join_host_port(reachable_host(host), port)}"
