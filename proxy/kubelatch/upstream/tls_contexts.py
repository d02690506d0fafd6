"""Which TLS context verifies the server of one pool: OpenSSL's, or one that does it as Go does.

OpenSSL is asked first, and from then on whichever was last satisfied. Either verifies all that
the server shows to it, within the handshake, so that a server gains nothing by showing something
else to each.
"""

import asyncio
import ssl

from ..credentials.tls import ClientContext, TlsContext, may_be_good_for_go, proxy_context


class TlsContexts:
    """See the module.

    Args:
        own: the context that was configured; None for plain HTTP.

    Attributes:
        current: the one to use for the next connection.
    """

    def __init__(self, own: TlsContext | None) -> None:
        self.current = own
        self._own = own
        self._go: TlsContext | None = None
        self._proxy: TlsContext | None = None
        self._preparing = asyncio.Lock()

    def resumes(self, context: TlsContext) -> bool:
        """Whether sessions may be resumed with it: they stand for what OpenSSL has verified."""
        return context is self._own

    async def other(self, context: TlsContext, refusal: BaseException | None) -> TlsContext | None:
        """The other one, if a server that *context* refused may be good for it.

        Args:
            context: the one in use.
            refusal: why the connection failed.
        """
        if not isinstance(refusal, ssl.SSLCertVerificationError):
            return None
        own = self._own
        if context is not own:
            return own
        if not isinstance(own, ClientContext) or not may_be_good_for_go(own, refusal):
            return None
        async with self._preparing:
            if self._go is None:
                try:
                    self._go = await asyncio.to_thread(_go_context, own)
                except ssl.SSLError:
                    # The client certificate is no good there: the refusal stands.
                    return None
        return self._go

    async def for_proxy(self) -> TlsContext:
        """The context for an https proxy on the way."""
        if self._proxy is not None:
            return self._proxy
        # Reads the system's certificates.
        self._proxy = made = await asyncio.to_thread(proxy_context, self._own)
        return made


def _go_context(own: ClientContext) -> TlsContext:
    from ..credentials.tls.go_context import GoContext  # noqa: PLC0415 -- a third of a second, seldom needed

    return GoContext(own)
