"""Everything through which a proxy can be watched, put together as the flags say.

It gets the records of exchanges and hands them on to the request log, the metrics, and whoever
else counts. What no flag asks for is not even imported.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..config.settings import Settings
from ..errors import KubelatchError
from ..gate.patterns import PatternList, split_patterns
from ..relay.record import Record, Recorder
from ..system.supervision import Supervisor
from .access_log import (
    RESPONSE_FIELDS,
    STDERR,
    STREAMS,
    AccessLog,
    Batches,
    CombinedFormat,
    Format,
    JsonFormat,
    LogWriter,
    RequestViews,
    TextFormat,
)

if TYPE_CHECKING:
    from ..context.reload import Reloader
    from ..credentials import Credential
    from ..gate import Refusal
    from ..gate.head import RawHeaders
    from ..relay.handler import Handler
    from ..upstream.generation import Generation
    from .admin import Admin, ApiServerHealth, Check
    from .metrics import Metrics, Snapshot

log = logging.getLogger(__name__)

# A probe gives up after a second, by default; a plugin that takes longer goes on meanwhile.
_CREDENTIAL_TIMEOUT: Final = 0.8


class Observer:
    """See the module.

    Args:
        settings: the flags.
        environ: the environment, for ``NO_COLOR`` and ``TERM``.
        stderr: standard error, for request logs that go there; None if it is not ours to
            write to, as in a program that embeds the proxy.
        interactive: a person at a terminal sees standard error.

    Attributes:
        begun: to be called with the record of each exchange that the gate lets through; None
            if nobody wants to know.

    Raises:
        KubelatchError: a pattern, a file or an address is no good.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        stderr: LogWriter | None = None,
        interactive: bool = False,
    ) -> None:
        self._views = RequestViews(settings.api_prefix)
        # The request log's; to be closed if it is our own.
        self._writer: LogWriter | None = None
        self._owned = False
        self._metrics: Metrics | None = None
        self._api_server: ApiServerHealth | None = None
        self._admin: Admin | None = None
        self._handler: Handler | None = None
        self._reloader: Reloader | None = None
        self._supervisor: Supervisor | None = None
        self._quit: Callable[[], None] | None = None
        self._generation: Generation | None = None
        self._credential: Credential | None = None
        self._refreshes = 0
        # Patterns first: a bad one must not leave a file or a socket behind.
        skip = PatternList("--log-skip-paths", split_patterns(settings.log_skip_paths))
        access_log = self._make_log(settings, environ, stderr, skip, interactive=interactive)
        consumers: list[Callable[[Sequence[Record]], None]] = [access_log.take]
        if settings.admin_address:
            consumers += self._make_admin(settings)
        self._batches = Batches(*consumers)
        self._keeps_response_fields = settings.verbosity >= RESPONSE_FIELDS
        self.begun: Recorder | None = access_log.begin if settings.verbosity >= STREAMS else None

    @property
    def admin_name(self) -> str:
        """The address of the admin listener; empty without one."""
        return self._admin.name if self._admin is not None else ""

    def ended(self, record: Record) -> None:
        """Take the record of an exchange that is over."""
        if not self._keeps_response_fields:
            # A hundred records with a dozen fields each are a lot to keep for nobody.
            record.answer = ()
        self._batches(record)

    async def start(
        self,
        handler: "Handler",
        reloader: "Reloader",
        supervisor: Supervisor,
        quit_: Callable[[], None],
    ) -> None:
        """Begin to answer on the admin address.

        Args:
            handler: is asked what is under way.
            reloader: is asked how configuration and credential are.
            supervisor: is asked what has failed.
            quit_: drains and ends the proxy.
        """
        self._handler, self._reloader, self._quit = handler, reloader, quit_
        self._supervisor = supervisor
        if self._admin is not None:
            await self._admin.start(supervisor)

    def reopen(self) -> None:
        """Write the request log to a new file of the same name."""
        self._batches.flush()
        if self._writer is not None:
            self._writer.reopen()

    def close_log(self) -> None:
        """Write what is left, and close the request log. May be repeated."""
        self._batches.flush()
        if self._writer is not None and self._owned:
            self._writer.close()

    async def stop(self) -> None:
        """Write what is left, and close everything. May be repeated."""
        if self._admin is not None:
            await self._admin.stop()
        self.close_log()

    async def checks(self) -> "Sequence[Check]":
        """See ``admin.ProxyControl``."""
        from .admin import Check  # noqa: PLC0415 -- seldom used

        if self._reloader is None or self._handler is None or self._api_server is None:
            return [Check("listening", "not yet")]
        self._batches.flush()
        draining = self._handler.registry.draining
        rejected = self._reloader.last_error
        return [
            Check("listening", "draining, and accepts no more" if draining else ""),
            Check("credential", await _credential_problem(self._reloader)),
            Check("configuration", rejected.message if rejected else "", counts=False),
            Check("background-tasks", self._supervisor.problem if self._supervisor else ""),
            self._api_server.check(),
        ]

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """See ``admin.ProxyControl``."""
        self._batches.flush()
        return self._metrics.expose(accept) if self._metrics is not None else (b"", "text/plain")

    def judge_client(self, uid: int | None, headers: "RawHeaders") -> "Refusal | None":
        """See ``admin.ProxyControl``."""
        if self._handler is None:
            return None
        return self._handler.judge_client(uid, headers)

    @property
    def wants_token(self) -> bool:
        """See ``admin.ProxyControl``."""
        return self._handler is not None and self._handler.gate.requires_token

    def quit(self) -> None:
        """See ``admin.ProxyControl``."""
        if self._quit is not None:
            self._quit()

    def _snapshot(self) -> "Snapshot":
        from .metrics import Snapshot  # noqa: PLC0415 -- seldom used

        reloader, handler = self._reloader, self._handler
        if reloader is None or handler is None:
            return Snapshot()
        self._look()
        generation = reloader.current()
        status = generation.credentials.describe()
        return Snapshot(
            in_flight=handler.registry.records,
            idle=generation.idle,
            reloads=reloader.reloads,
            reload_failures=reloader.failures,
            reload_failed=reloader.last_error is not None,
            refreshes=self._refreshes,
            refresh_failed=bool(status.last_error),
            credential_expiry=status.expires_at,
            certificate_expiry=status.certificate.not_after if status.certificate else None,
            lines_lost=self._writer.lost if self._writer is not None else 0,
            loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )

    def _look(self, _: Sequence[Record] = ()) -> None:
        """Notice that a generation has another credential than it had.

        Looking with each batch of records misses none: one is replaced at most once a second.
        """
        if self._reloader is None:
            return
        generation = self._reloader.current()
        credential = generation.credentials.cached()
        if credential is None or credential is self._credential:
            return
        if generation is self._generation and self._credential is not None:
            self._refreshes += 1
        self._generation, self._credential = generation, credential

    def _make_log(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        stderr: LogWriter | None,
        skip: PatternList,
        *,
        interactive: bool,
    ) -> AccessLog:
        where = settings.log_requests
        if where == "auto" and interactive and not settings.quiet:
            where = STDERR
        if where in {"auto", "off"}:
            return AccessLog(
                None,
                TextFormat(),
                self._views,
                scope="problems" if where == "auto" else "none",
                verbosity=settings.verbosity,
            )
        if where != STDERR:
            writer = LogWriter(where, report=log.error)
        else:
            writer = stderr if stderr is not None else LogWriter(STDERR)
        self._writer, self._owned = writer, writer is not stderr
        form = make_format(settings.log_format, colour=writer.is_terminal and _colourful(environ))
        return AccessLog(
            writer, form, self._views, scope="all", skip=skip, verbosity=settings.verbosity
        )

    def _make_admin(self, settings: Settings) -> list[Callable[[Sequence[Record]], None]]:
        from .admin import Admin, ApiServerHealth  # noqa: PLC0415 -- seldom used
        from .metrics import Metrics  # noqa: PLC0415 -- seldom used

        self._admin = Admin(
            settings.admin_address, self, accept_hosts=split_patterns(settings.accept_hosts)
        )
        self._api_server = ApiServerHealth()
        self._metrics = Metrics(self._views, self._snapshot)
        return [self._look, self._api_server.take, self._metrics.take]


async def _credential_problem(reloader: "Reloader") -> str:
    """Why no request could be authenticated now; empty if one could."""
    try:
        async with asyncio.timeout(_CREDENTIAL_TIMEOUT):
            generation = reloader.current()
            generation.transport(await generation.credential())
    except TimeoutError:
        return "it is still being fetched"
    except KubelatchError as error:
        return error.message
    return ""


def make_format(name: str, *, colour: bool = False) -> Format:
    """The format of that name; colours are for text only."""
    if name == "json":
        return JsonFormat()
    return CombinedFormat() if name == "combined" else TextFormat(colour=colour)


def _colourful(environ: Mapping[str, str]) -> bool:
    """https://no-color.org, and terminals that say they can do nothing."""
    return not environ.get("NO_COLOR") and environ.get("TERM") not in {None, "", "dumb"}


def is_interactive() -> bool:
    """Whether a person sees standard error, and this is what they are looking at.

    A job in the background shares the terminal with a shell, and should keep quiet.
    """
    try:
        return os.isatty(2) and os.tcgetpgrp(2) == os.getpgrp()
    except OSError:
        return False
