"""One request and its response, as one object from the request's head to the response's last byte.

An exchange goes through its steps in callbacks. The one rule for tasks: a task is made where a
step has to wait, and goes on with the next step.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import KubelatchError
from . import local
from .attempt import Attempt
from .client import ClientProtocol
from .kind import Kind
from .record import Record
from .registry import Registry
from .request import ClientRequest

log = logging.getLogger(__name__)

T = TypeVar("T")


def internal_error() -> KubelatchError:
    """The error of a fault of the proxy's own. A new one each time: it collects tracebacks."""
    return KubelatchError("internal error of the proxy", hint="its log says more; please report it")


class Exchange:
    """What all exchanges have; see the module.

    Args:
        client: where the request came from, and the response goes.
        request: as it came.
        record: is filled in.
        registry: holds the exchange while it is under way.

    Attributes:
        keep_alive: the client's connection may go on after it.
    """

    __slots__ = (
        "_drained",
        "_over",
        "_task",
        "_written",
        "client",
        "keep_alive",
        "record",
        "registry",
        "request",
    )

    def __init__(
        self, client: ClientProtocol, request: ClientRequest, record: Record, registry: Registry
    ) -> None:
        self.client = client
        self.request = request
        self.record = record
        self.registry = registry
        self.keep_alive = request.keep_alive and not registry.draining
        self._over = False
        self._written = False
        self._drained: asyncio.Future[None] | None = None
        # What a step waits for.
        self._task: asyncio.Task[None] | None = None
        registry.add(self)
        client.exchange = self

    @property
    def kind(self) -> Kind:
        """What kind of request it is."""
        return Kind.LOCAL

    @property
    def attempt(self) -> Attempt | None:
        """The attempt under way."""
        return None

    @property
    def awaits_response(self) -> bool:
        """The whole request has gone upstream, and nothing of a response has come."""
        return False

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if self._written:
            self._finish()

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self.client.writing_paused:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def cancel(self) -> None:
        """End it: the client is gone."""
        if self._over:
            return
        self._stop()
        self.keep_alive = False
        self.record.cause = self.record.cause or "client-gone"
        self._finish()

    def hand_over(self) -> None:
        """End it without a response: the caller makes another exchange of its client, request and
        record at once. Only before anything was sent."""
        self._stop()
        self._over = True
        self.client.exchange = None
        self.registry.replace(self)

    def judge_again(self) -> None:
        """Rules have changed: what waits to be let through is decided anew."""

    def drain(self) -> None:
        """The proxy is being stopped: what has not begun does not begin."""

    def fail(self, error: KubelatchError) -> None:
        """End it: with *error* if the client has got nothing yet, else by a cut."""
        if self._over:
            return
        self._stop()
        if self.record.status:
            self.record.cause = error.cause
            self.client.cut(reset=True)
            self.keep_alive = False
        else:
            self.keep_alive = local.fail(
                self.client, self.request, error, self.record, last=self.registry.draining
            )
        self._finish()

    def _stop(self) -> None:
        """Stop what is under way; nothing of it is reported any more."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _finish(self) -> None:
        """The response is written, or cut; it is over when the client has taken most of it."""
        if self.client.writing_paused and not self.client.leaving:
            self._written = True
            return
        self._over = True
        try:
            self.registry.discard(self)
        finally:
            self.client.end_exchange(keep_alive=self.keep_alive)

    def _wait(self, step: Callable[[], Awaitable[T]], go_on: Callable[[T], None]) -> None:
        """Begin *step*, which has to wait, and go on with its result."""
        self._task = asyncio.get_running_loop().create_task(
            self._waiting(step, go_on), name="kubelatch exchange"
        )

    async def _waiting(self, step: Callable[[], Awaitable[T]], go_on: Callable[[T], None]) -> None:
        try:
            result = await step()
            if not self._over:
                self._task = None
                go_on(result)
        except KubelatchError as error:
            self.fail(error)
        except Exception:  # the boundary that no fault of ours may cross
            log.exception("internal error")
            self.fail(internal_error())
