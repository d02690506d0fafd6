"""The requests that wait for an answer.

All of it runs in the event loop, and an answer takes effect within one turn of it: whatever comes
first decides, and what comes later finds nothing that waits. Descriptions are made in a thread.
"""

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...relay.held import HeldExchange, TooManyHeldError
from ...system.peer_process import LocalConnection, connection_of
from ...system.supervision import where
from ...system.threads import DaemonExecutor
from .describe import Describer, Question
from .digest import digest_of

log = logging.getLogger(__name__)

MAX_PER_CLIENT: Final = 8
"""Requests of one client that may wait at once."""
MAX_WAITING: Final = 256
"""Requests of all clients."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of all bodies that are held."""
UNKNOWN: Final = "nothing is known of it: an internal error"
"""What is shown of a body that could not be described."""


class UnknownRequestError(Exception):
    """No such request waits: it has been answered, is gone, or has changed."""


class ChangedRequestError(Exception):
    """What was shown is not what would be carried out now: the person is asked anew."""


class WaitingRequest:
    """One request that waits.

    Args:
        number: of it; later ones have larger numbers.
        exchange: holds it.

    Attributes:
        connection: its client's; None if nobody knows its process.
        asked: when it began to wait, in seconds since the epoch.
        size: bytes of its body.
        version: counts how often it has changed.
        body_digest: of its body; empty until the thread has made it.
        digest: see :func:`digest_of`.
        description: what is shown of it; empty until the thread has made it.
    """

    def __init__(self, number: int, exchange: HeldExchange) -> None:
        self.number = number
        self.exchange = exchange
        self.connection: LocalConnection | None = None
        self.asked = 0.0
        self.size = 0
        self.version = 0
        self.body_digest = b""
        self.digest = ""
        self.description: dict[str, Any] = {}

    @property
    def ident(self) -> str:
        """Its id: another one once anything of it has changed."""
        return f"{self.number}-{self.digest[:8]}"


class ApprovalQueue:
    """See the module, and :class:`kubelatch.relay.held.Approvals`.

    Args:
        timeout: seconds that an answer may take; 0 is for ever.
        context: returns the name of the kubeconfig context that a request goes to.
        describer: makes descriptions.

    Attributes:
        on_change: is called when what waits has changed.
        changes: how often it has.
    """

    def __init__(
        self, timeout: float, context: Callable[[HeldExchange], str], describer: Describer
    ) -> None:
        self.timeout = timeout
        self._context = context
        self._describer = describer
        self._executor = DaemonExecutor(1, "kubelatch approvals")
        self._requests: dict[HeldExchange, WaitingRequest] = {}
        self._clients: Counter[int | str] = Counter()
        self._bytes = 0
        self._last = 0
        self.on_change: Callable[[], None] = lambda: None
        self.changes = 0

    def close(self) -> None:
        """Describe no more."""
        self._executor.shutdown()

    def admit(self, exchange: HeldExchange) -> None:
        """See :class:`Approvals`."""
        client = client_of(exchange)
        if self._clients[client] >= MAX_PER_CLIENT:
            raise TooManyHeldError(f"{MAX_PER_CLIENT} requests of this client wait for an answer")
        if len(self._requests) >= MAX_WAITING:
            raise TooManyHeldError(f"{MAX_WAITING} requests wait for an answer")
        self._last += 1
        self._requests[exchange] = WaitingRequest(self._last, exchange)
        self._clients[client] += 1

    def reserve(self, exchange: HeldExchange, size: int) -> None:
        """See :class:`Approvals`."""
        if self._bytes + size > MAX_BYTES:
            raise TooManyHeldError(
                "the requests that wait for an answer have so long bodies that no more are held"
            )
        self._requests[exchange].size += size
        self._bytes += size

    def ask(self, exchange: HeldExchange) -> None:
        """See :class:`Approvals`."""
        request = self._requests[exchange]
        request.asked = time.time()
        transport = exchange.client.transport
        if transport is not None:
            request.connection = connection_of(transport.get_extra_info("socket"))
        self._describe(request)

    def changed(self, exchange: HeldExchange) -> None:
        """See :class:`Approvals`."""
        request = self._requests.get(exchange)
        if request is not None and request.version:
            self._describe(request)

    def forget(self, exchange: HeldExchange) -> None:
        """See :class:`Approvals`."""
        request = self._requests.pop(exchange, None)
        if request is None:
            return
        client = client_of(exchange)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        self._bytes -= request.size
        if request.description:
            self._notify()

    def _notify(self) -> None:
        self.changes += 1
        self.on_change()

    def _describe(self, request: WaitingRequest) -> None:
        exchange = request.exchange
        # Until the thread is done, it is not shown, and cannot be answered.
        request.description = {}
        request.version += 1
        question = Question.of(
            exchange, context=self._context(exchange), connection=request.connection
        )
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._executor, self._make, question)
        call.add_done_callback(partial(self._described, request, request.version))

    def _make(self, question: Question) -> tuple[bytes, dict[str, Any]]:
        """In the thread."""
        try:
            description = self._describer.describe(question)
        except Exception as error:  # noqa: BLE001 -- it can still be answered
            log.error("internal error in a description (%s)", where(error))
            description = {
                **self._describer.least(question),
                "risks": [{"field": "body", "value": UNKNOWN}],
                "body": {"size": len(question.body)},
            }
        return hashlib.sha256(question.body).digest(), description

    def _described(
        self,
        request: WaitingRequest,
        version: int,
        call: "asyncio.Future[tuple[bytes, dict[str, Any]]]",
    ) -> None:
        exchange = request.exchange
        if (
            call.cancelled()
            or self._requests.get(exchange) is not request
            or version != request.version
        ):
            return
        request.body_digest, description = call.result()
        request.digest = digest_of(exchange, self._context(exchange), request.body_digest)
        request.description = description
        log.info(
            "%s waits for an answer: kubelatch approve %s", description["summary"], request.ident
        )
        self._notify()

    def waiting(self) -> list[WaitingRequest]:
        """Those that can be answered, the oldest first."""
        return [each for each in self._requests.values() if each.description]

    def find(self, ident: str) -> WaitingRequest:
        """The request with that id. Raises UnknownRequestError."""
        for request in self._requests.values():
            if request.description and request.ident == ident:
                return request
        raise UnknownRequestError(ident)

    def approve(self, request: WaitingRequest, digest: str, by: str) -> None:
        """Let a request pass, if it is still what was shown.

        Args:
            request: waits.
            digest: of what was shown.
            by: ``page``, ``command`` or ``interface``.

        Raises:
            UnknownRequestError: it does not wait any more.
            ChangedRequestError: it is another one now.
        """
        exchange = request.exchange
        exchange.withdraw_if_left()
        exchange.judge_again()
        if not exchange.waits:
            raise UnknownRequestError(request.ident)
        now = digest_of(exchange, self._context(exchange), request.body_digest)
        if digest != now:
            raise ChangedRequestError(request.ident)
        exchange.approve(by)

    def deny(self, request: WaitingRequest, by: str, reason: str) -> None:
        """Refuse a request.

        Args:
            request: waits.
            by: ``page``, ``command`` or ``interface``.
            reason: what its client is sent; may be empty.

        Raises:
            UnknownRequestError: it does not wait any more.
        """
        exchange = request.exchange
        if not exchange.waits:
            raise UnknownRequestError(request.ident)
        exchange.deny(by, reason)

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Call in the thread of descriptions."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def client_of(exchange: HeldExchange) -> int | str:
    """What counts as one client: a user of this machine, else an address.

    A process may open any number of connections, and a user start any number of processes.
    """
    record = exchange.record
    return record.client if record.uid is None else record.uid
