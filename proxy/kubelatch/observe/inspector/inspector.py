"""The inspector: captures exchanges, keeps the last of them, and tells who listens.

The event loop hands captures of exchanges that have ended, in batches, to one thread, which parses,
redacts and formats; what comes back is bytes. At most 200 exchanges a second are captured
(``sampler``). The rest takes the ordinary path, and is counted.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from ...relay.client import ClientProtocol
from ...relay.handler import Handler
from ...relay.record import Record
from ...relay.registry import Registry
from ...relay.request import ClientRequest, Plan
from ...relay.upstream_exchange import UpstreamExchange
from ...system.peer_process import connection_of
from ...system.supervision import where
from ...system.threads import DaemonExecutor
from ...upstream.generation import Generation
from ...upstream.request import UpstreamRequest
from ..access_log.request_view import RequestViews
from .capture import Capture, CapturedExchange, CapturePool
from .entries import EntryBuilder, GateOf, KeptExchange
from .pending import PendingSource
from .replaying import Replays
from .ring import Ring
from .sampler import Sampler
from .totals import ExchangeTotals

log = logging.getLogger(__name__)

T = TypeVar("T")

# Captured exchanges under way. Streams are captured at any rate.
_MAX_RUNNING: Final = 2000
# How often those under way are looked at, in seconds, and how old they are then.
_REFRESH: Final = 0.5
_OLD: Final = 0.25
# How often totals are sent, in seconds; it also shows that the connection lives.
_TOTALS: Final = 1.0
# How long what has ended waits to be handed to the thread, in seconds.
_DELAY: Final = 0.1
# Bytes of events that are sent at once.
_PIECE: Final = 64 * 1024


class InspectorOptions(NamedTuple):
    """What is kept.

    Attributes:
        entries: the most exchanges.
        size: the most bytes that they may have.
        bodies: the most bytes of a body; 0: none is kept.
    """

    entries: int = 1000
    size: int = 32 * 1024 * 1024
    bodies: int = 64 * 1024


class Inspector:
    """See the module.

    Args:
        handler: its exchanges are captured.
        options: what is kept.
        context: returns the kubeconfig context in use.
        views: makes what parses requests.

    Attributes:
        not_kept: how many exchanges were not captured.
        replays: those under way.
    """

    def __init__(
        self,
        handler: Handler,
        options: InspectorOptions,
        context: Callable[[], str],
        views: Callable[[], RequestViews] = RequestViews,
    ) -> None:
        self._handler = handler
        self._options = options
        self._context = context
        # Its own views: they are made in another thread.
        self._builder = EntryBuilder(views(), options.bodies)
        self._ring = Ring(options.entries, options.size)
        self._totals = ExchangeTotals(views(), time.monotonic())
        self._pool = CapturePool()
        self._executor = DaemonExecutor(1, "kubelatch inspector")
        self._live: dict[Record, Capture] = {}
        self._ended: list[Capture] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0
        self._sampler = Sampler(time.monotonic())
        # Distinguishes the events of this process from those of an earlier one.
        self._run = secrets.token_hex(4)
        self._listeners: set[asyncio.Event] = set()
        self._refresher: asyncio.Task[None] | None = None
        self.replays = Replays()
        self._pending: PendingSource | None = None
        self._sent_totals = (0.0, b"")
        self.not_kept = 0
        handler.exchange = self._exchange

    def close(self) -> None:
        """Capture no more."""
        self._handler.exchange = UpstreamExchange
        for waiting in (self._timer, self._refresher):
            if waiting is not None:
                waiting.cancel()
        self._executor.shutdown()

    def _exchange(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        registry: Registry,
        plan: Plan,
        upstream: UpstreamRequest,
        generation: Generation,
        *,
        tunnel_keepalive: float,
    ) -> UpstreamExchange:
        """Make an exchange with the upstream; one that is captured, as far as the rate allows."""
        if (
            not self._sampler.takes(client, record.started)
            and not self._must_capture(record, upstream)
        ) or len(self._live) >= _MAX_RUNNING:
            return UpstreamExchange(
                client,
                request,
                record,
                registry,
                plan,
                upstream,
                generation,
                tunnel_keepalive=tunnel_keepalive,
            )
        capture = self._capture(record)
        replaying = self.replays.take(record) if record.asked else self.replays.current
        if replaying is not None:
            replaying.number = capture.number
            capture.replayed = str(replaying.original)
        if client.transport is not None:
            capture.connection = connection_of(client.transport.get_extra_info("socket"))
        self._live[record] = capture
        return CapturedExchange(
            capture,
            client,
            request,
            record,
            registry,
            plan,
            upstream,
            generation,
            tunnel_keepalive=tunnel_keepalive,
        )

    def _must_capture(self, record: Record, upstream: UpstreamRequest) -> bool:
        """Whether the rate does not count: for streams, replays and what was held."""
        target = record.target
        stream = upstream.upgrade or "watch" in target or "follow" in target
        return bool(stream) or bool(record.asked) or self.replays.current is not None

    def _capture(self, record: Record) -> Capture:
        self._last += 1
        capture = Capture(self._last, record, self._options.bodies, self._pool)
        capture.context = self._context()
        return capture

    def take(self, records: Sequence[Record]) -> None:
        """Take exchanges that have ended, and requests that became none."""
        self._totals.add(records)
        self._sampler.ended(len(records))
        live, ended = self._live, self._ended
        before = len(ended)
        for record in records:
            if record in live:
                ended.append(live.pop(record))
            elif record.rule or record.asked or not record.method:
                capture = self._capture_refusal(record)
                if capture is not None:
                    ended.append(capture)
        self.not_kept += len(records) - (len(ended) - before)
        if ended and self._timer is None:
            # Handing over at each batch would cost more than what is handed over.
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        ended, self._ended = self._ended, []
        build = partial(self._build, ended, self._handler.gate_of)
        self.in_thread(build).add_done_callback(partial(_go_on, self._keep))

    def _capture_refusal(self, record: Record) -> Capture | None:
        replaying = self.replays.take(record)
        if replaying is None and not record.asked and not self._sampler.takes(None, record.ended):
            return None
        capture = self._capture(record)
        if replaying is not None:
            replaying.number = capture.number
            capture.replayed = str(replaying.original)
        return capture

    def show_pending(self, source: PendingSource) -> None:
        """Show what waits for an answer, too."""
        self._pending = source
        source.notify(self._notify)

    def _build(self, captures: Sequence[Capture], gate_of: GateOf) -> list[KeptExchange]:
        entries = []
        for capture in captures:
            try:
                entries.append(self._builder.ended(capture, gate_of(capture.record)))
            except Exception as error:  # noqa: BLE001 -- the others are kept all the same
                log.error("internal error in the inspector (%s)", where(error))
        return entries

    def _keep(self, entries: list[KeptExchange]) -> None:
        for entry in entries:
            self._ring.add(entry)
        self._notify()

    def in_thread(self, call: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Call in the inspector's thread, in the order of calls."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, call, *arguments)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener.set()

    async def refresh(self) -> None:
        """Show what is under way as it is now."""
        now = time.monotonic()
        changed = []
        for capture in self._live.values():
            record = capture.record
            shown = record.status, record.sent, record.received
            if capture.shown != shown and (record.protocol or now - record.started > _OLD):
                capture.shown = shown
                changed.append(capture)
        if changed:
            entries = await self.in_thread(self._build_running, changed, now)
            # Of those that have ended meanwhile, the end is shown.
            running = {capture.number for capture in self._live.values()}
            for entry in entries:
                if entry.number in running:
                    self._ring.show(entry)
            self._notify()

    def _build_running(self, captures: Sequence[Capture], now: float) -> list[KeptExchange]:
        return [self._builder.running(capture, now) for capture in captures]

    async def _keep_refreshing(self) -> None:
        while self._listeners:
            await self.refresh()
            await asyncio.sleep(_REFRESH)

    def clear(self) -> None:
        """Forget what has ended, and count from zero."""
        self._ring.clear()
        self._totals.clear()
        self._sent_totals = (0.0, b"")
        self.not_kept = 0
        self._notify()

    async def entries(self) -> list[KeptExchange]:
        """What is kept and under way, newest first."""
        await self.refresh()
        return self._ring.newest_first()

    def find(self, number: int) -> KeptExchange | None:
        """The exchange with that id; None if it is not kept."""
        return self._ring.find(number)

    async def detail(self, entry: KeptExchange) -> bytes:
        """All that is kept of an exchange beyond its summary, as a JSON object."""
        if entry.detail:
            return entry.detail
        capture = next((c for c in self._live.values() if c.number == entry.number), None)
        return await self.in_thread(self._builder.detail, capture) if capture else b"{}"

    def totals(self) -> bytes:
        """The totals, and how many exchanges were kept, as a JSON object."""
        now = time.monotonic()
        sent, text = self._sent_totals
        if not text or now - sent >= _TOTALS / 2:
            counts = {"kept": len(self._ring), "not_kept": self.not_kept}
            text = json.dumps({**self._totals.json(now), **counts}, separators=(",", ":")).encode()
            self._sent_totals = now, text
        return text

    async def events(self, last: str) -> AsyncGenerator[bytes, None]:
        """Server-sent events (HTML Living Standard, section 9.2), without an end.

        Args:
            last: the id of the last event that the client has seen; empty at first.
        """
        run, _, number = last.partition("-")
        known = run == self._run and number.isascii() and number.isdigit()
        position = int(number[:18]) if known else 0
        changed = asyncio.Event()
        self._listeners.add(changed)
        if self._refresher is None or self._refresher.done():
            self._refresher = asyncio.create_task(
                self._keep_refreshing(), name="kubelatch inspector"
            )
        try:
            yield b": kubelatch\n\n" if known else b"event: clear\ndata: {}\n\n"
            counted, told = 0.0, -1
            while True:
                changed.clear()
                if self._pending is not None and self._pending.changes != told:
                    told = self._pending.changes
                    yield b"event: pending\ndata: %b\n\n" % self._pending.listed()
                for piece, end in self._news(position):
                    yield piece
                    position = end
                now = time.monotonic()
                if now - counted >= _TOTALS:
                    counted = now
                    yield b"event: totals\ndata: %b\n\n" % self.totals()
                try:
                    async with asyncio.timeout(max(counted + _TOTALS - time.monotonic(), 0.01)):
                        await changed.wait()
                except TimeoutError:
                    pass
        finally:
            self._listeners.discard(changed)

    def _news(self, position: int) -> list[tuple[bytes, int]]:
        """The events after a change, in pieces, each with the change that it ends with."""
        pieces: list[tuple[bytes, int]] = []
        part = bytearray()
        cleared = self._ring.cleared
        if position < cleared:
            part += b"id: %b-%d\nevent: clear\ndata: {}\n\n" % (self._run.encode(), cleared)
            pieces.append((bytes(part), cleared))
            part.clear()
        for change, entry in self._ring.since(0 if position < cleared else position):
            part += b"id: %b-%d\nevent: exchange\ndata: %b\n\n" % (
                self._run.encode(),
                change,
                entry.summary,
            )
            if len(part) > _PIECE:
                pieces.append((bytes(part), change))
                part.clear()
        if part:
            pieces.append((bytes(part), self._ring.changes))
        return pieces


def _go_on(then: Callable[[T], None], done: "asyncio.Future[T]") -> None:
    if done.cancelled():
        return
    error = done.exception()
    if error is not None:
        log.error("internal error in the inspector (%s)", where(error))
    else:
        then(done.result())
