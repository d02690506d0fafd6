"""The TLS contexts of one pool: OpenSSL's, and one that verifies as Go does.

The first connection uses OpenSSL's, a later one the context that last succeeded. Each verifies the
whole chain within its own handshake, so that a server gains nothing by sending each another chain.
"""

import asyncio
import ssl

from ..credentials.tls import ClientContext, TlsContext, go_may_accept, proxy_context


class TlsContexts:
    """See the module.

    Args:
        configured: the configured context; None for plain HTTP.

    Attributes:
        current: the context for the next connection.
    """

    def __init__(self, configured: TlsContext | None) -> None:
        self.current = configured
        self._configured = configured
        self._go: TlsContext | None = None
        self._proxy: TlsContext | None = None
        self._preparing = asyncio.Lock()

    def resumes(self, context: TlsContext) -> bool:
        """Whether *context* may resume sessions: they were verified by OpenSSL."""
        return context is self._configured

    async def other(self, context: TlsContext, refusal: BaseException | None) -> TlsContext | None:
        """The other context, if it may accept a server that *context* refused, or None.

        Args:
            context: the context of the failed connection.
            refusal: why it failed.
        """
        if not isinstance(refusal, ssl.SSLCertVerificationError):
            return None
        configured = self._configured
        if context is not configured:
            return configured
        if not isinstance(configured, ClientContext) or not go_may_accept(configured, refusal):
            return None
        async with self._preparing:
            if self._go is None:
                try:
                    self._go = await asyncio.to_thread(_go_context, configured)
                except ssl.SSLError:
                    # pyOpenSSL cannot use the client certificate.
                    return None
        return self._go

    async def for_proxy(self) -> TlsContext:
        """The context for an https proxy."""
        if self._proxy is not None:
            return self._proxy
        # Reads the system's certificates.
        self._proxy = made = await asyncio.to_thread(proxy_context, self._configured)
        return made


def _go_context(configured: ClientContext) -> TlsContext:
    from ..credentials.tls.go_context import GoContext  # noqa: PLC0415 -- 0.3 s, rarely needed

    return GoContext(configured)
