"""The connections with one TLS identity: HTTP/1.1 for everything, and HTTP/2 for watches."""

from collections.abc import Callable

from .dial import Dialer
from .http2.transport import Http2Transport
from .pool import Pool
from .transport import Transport


class Connections:
    """See the module.

    Args:
        dialer: reaches the API server with this identity.
        transports: makes the transport for everything.
        http2: watches may go over HTTP/2; with TLS alone, where the server can say so.

    Attributes:
        plain: the transport for everything.
        http2: the other one for watches; None before the first watch.
    """

    __slots__ = ("_closed", "_dialer", "http2", "plain")

    def __init__(
        self, dialer: Dialer, transports: Callable[[Dialer], Transport], *, http2: bool
    ) -> None:
        self.plain = transports(dialer)
        self._dialer = dialer if http2 and dialer.address.context is not None else None
        self.http2: Http2Transport | None = None
        self._closed = False

    @property
    def watches(self) -> Transport:
        """The transport for watches, as far as is known now; it may decline."""
        http2 = self.http2
        if http2 is None:
            if self._dialer is None or not isinstance(self.plain, Pool):
                return self.plain
            self.http2 = http2 = Http2Transport(self._dialer, self.plain)
            if self._closed:
                http2.close()
        return self.plain if http2.declined else http2

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return self.plain.idle + (self.http2.idle if self.http2 is not None else 0)

    def on_suspend(self) -> None:
        """The machine was suspended: what is idle is closed, what is in use has to show life."""
        self.plain.drop_idle()
        if self.http2 is not None:
            self.http2.on_suspend()

    def close(self) -> None:
        """See :class:`Transport`."""
        self._closed = True
        self.plain.close()
        if self.http2 is not None:
            self.http2.close()
