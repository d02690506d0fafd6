"""Accepts connections from a listening socket, and makes a protocol for each.

Unlike ``loop.create_server``, it copes with running out of file descriptors. asyncio then retries
once for each place in the backlog, with a traceback each time; libuv accepts the pending
connections and closes them. Here they wait in the kernel's queue until a descriptor is free, and
the log reports it.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

# Connections accepted in one iteration of the loop, so that a burst does not delay other clients.
_BATCH: Final = 64
# There is no event for a descriptor that has become free.
_RETRY_SECONDS: Final = 0.1
_SILENT_SECONDS: Final = 60.0
_ENDED: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """See the module.

    Args:
        sock: a bound socket; closed with the acceptor.
        factory: makes the protocol of each connection.
        ended: called with the reason if the socket can never accept again.
        backlog: how many connections may wait in the kernel's queue.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        ended: Callable[[str], None],
        *,
        backlog: int,
    ) -> None:
        self._socket = sock
        self._factory = factory
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        self._opening: set[asyncio.Task[object]] = set()
        sock.setblocking(False)
        sock.listen(backlog)
        self._start()

    def close(self) -> None:
        """Close the socket; connections in its queue are refused. May be repeated."""
        if self._socket.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _start(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._wait(exc)
                    return
                if exc.errno in _ENDED:
                    # Another process that shares the socket has shut it down.
                    self._loop.remove_reader(self._socket.fileno())
                    self._ended(exc.strerror or "")
                    return
                # A connection that was lost before accept(2): ECONNABORTED and others.
                continue
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(self._factory, sock), name="kubelatch accept"
            )
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _wait(self, exc: OSError) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(_RETRY_SECONDS, self._start)
        if self._loop.time() >= self._silent_until:
            self._silent_until = self._loop.time() + _SILENT_SECONDS
            log.error(
                "New clients have to wait: %s. Raise the limit (ulimit -n), or let some go",
                exc.strerror,
            )
