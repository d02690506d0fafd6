"""The observers that the flags ask for: request log, metrics, admin address.

It receives the record of every exchange and passes it to each of them in batches. Modules that no
flag asks for are not imported.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..config.settings import Settings
from ..context.reload import Reloader
from ..errors import KubelatchError
from ..gate.patterns import PatternList, split_patterns
from ..relay.handler import Handler
from ..relay.record import Record, Recorder
from ..system.supervision import Supervisor
from .access_log import (
    RESPONSE_FIELDS,
    STDERR,
    STREAMS,
    AccessLog,
    Batches,
    CombinedFormat,
    JsonFormat,
    LineFormat,
    LineLog,
    LogWriter,
    RequestViews,
    TextFormat,
)
from .context_states import ContextStates

if TYPE_CHECKING:
    from ..context.contexts import Contexts
    from .admin import Admin, Check
    from .approvals import ApprovalService
    from .inspector import InspectorService
    from .secret_pages import SecretPages
    from .state_metrics import Snapshot
    from .written_rules import RulesService

log = logging.getLogger(__name__)

_FORMATS: Final[Mapping[str, Callable[[], LineFormat]]] = {
    "text": TextFormat,
    "json": JsonFormat,
    "combined": CombinedFormat,
}

# Seconds that a readiness check waits for a credential. A kubelet's probe times out after one
# second by default; a slower plugin goes on running.
_CREDENTIAL_TIMEOUT: Final = 0.8


class Observer:
    """Request log, metrics and admin address of one proxy.

    Args:
        settings: the flags.
        environ: the environment, for ``NO_COLOR`` and ``TERM``.
        handler: of the proxy's port; its clients and exchanges are reported.
        reloader: its configuration and credential are reported.
        supervisor: runs the admin address; its problems are reported.
        quit_: drains and ends the proxy.
        contexts: those beside the chosen one are reported, too; None without any.
        stderr: writes to standard error; None in a program that embeds the proxy.
        interactive: a person at a terminal reads standard error.

    Attributes:
        accepted: called with the record of each exchange that passes the gate; None if no observer
            needs it.

    Raises:
        KubelatchError: a pattern, a file or an address cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        handler: Handler,
        reloader: Reloader,
        supervisor: Supervisor,
        quit_: Callable[[], None],
        *,
        contexts: "Contexts | None" = None,
        stderr: LogWriter | None = None,
        interactive: bool = False,
    ) -> None:
        self._handler = handler
        self._reloader = reloader
        self._supervisor = supervisor
        self._quit = quit_
        self._contexts = contexts
        self._views = RequestViews(settings.api_prefix, clusters=contexts is not None)
        # The request log's writer; closed here if it was opened here.
        self._writer: LogWriter | None = None
        self._owned = False
        self._admin: Admin | None = None
        self._pages: SecretPages | None = None
        self._inspector: InspectorService | None = None
        self._approvals: ApprovalService | None = None
        self._rules: RulesService | None = None
        self._states = ContextStates(reloader, contexts)
        # Patterns first: a bad one must leave neither a file nor a socket behind.
        skip = PatternList("--log-skip-paths", split_patterns(settings.log_skip_paths))
        access_log = self._make_log(settings, environ, stderr, skip, interactive=interactive)
        consumers: list[Callable[[Sequence[Record]], None]] = [access_log.write]
        if settings.inspect or settings.ask:
            consumers += self._make_pages(settings)
        if settings.write_rules:
            from . import written_rules  # noqa: PLC0415 -- seldom used

            self._rules = written_rules.RulesService(
                settings, handler, self._views, lambda: reloader.setup.config.context
            )
            consumers.append(self._rules.take)
        if settings.admin_address:
            consumers += self._make_admin(settings)
        self._batches = Batches(*consumers)
        self._keeps_response_fields = settings.verbosity >= RESPONSE_FIELDS
        self.accepted: Recorder | None = access_log.begin if settings.verbosity >= STREAMS else None

    @property
    def admin_name(self) -> str:
        """The address of the admin listener; empty without one."""
        return self._admin.name if self._admin is not None else ""

    def ended(self, record: Record) -> None:
        """Take the record of an exchange that has ended."""
        if not self._keeps_response_fields:
            # A batch of a hundred records would keep a dozen fields each alive.
            record.response_headers = ()
        self._batches.add(record)

    def name_of(self, record: Record) -> str:
        """What a request is about: resource and object, or its target."""
        view = self._views.read(record)
        return f"{view.kind} {view.object_name}".rstrip() if view.kind else view.target

    @property
    def inspector(self) -> "InspectorService | None":
        """The inspector; None without ``--inspect``."""
        return self._inspector

    async def start(self) -> None:
        """Begin to serve the admin address; the proxy has started."""
        if self._admin is not None:
            await self._admin.start(self._supervisor)
        if self._rules is not None:
            self._rules.begin()

    def reopen(self) -> None:
        """Reopen the request log's file, as after a rotation."""
        self._batches.flush()
        if self._writer is not None:
            self._writer.reopen()

    def close_log(self) -> None:
        """Write pending records and the rules, and close the request log. May be repeated."""
        self._batches.flush()
        if self._rules is not None:
            self._rules.write()
        if self._writer is not None and self._owned:
            self._writer.close()

    async def stop(self) -> None:
        """Write pending records, and close everything. May be repeated."""
        if self._admin is not None:
            await self._admin.stop()
        self.close_log()
        if self._inspector is not None:
            await self._inspector.close()
        if self._approvals is not None:
            self._approvals.close()

    def _make_pages(self, settings: Settings) -> list[Callable[[Sequence[Record]], None]]:
        """Make what requires the inspector's secret, and return what takes records.

        Raises:
            ConfigError: the file with the secret cannot be used.
        """
        from .secret_file import make_secret, read_secret  # noqa: PLC0415 -- for people who look
        from .secret_pages import SecretPages  # noqa: PLC0415 -- the same

        file, handler, reloader = settings.inspect_secret_file, self._handler, self._reloader
        secret = read_secret(file) if file else make_secret()
        self._pages = pages = SecretPages(handler, secret, own_user=settings.ask)
        if settings.inspect:
            from .inspector import InspectorService  # noqa: PLC0415 -- the same

            self._inspector = InspectorService(settings, handler, reloader, secret, pages)
        if settings.ask:
            from .approvals import ApprovalService  # noqa: PLC0415 -- where somebody is asked

            self._approvals = ApprovalService(settings, handler, reloader, pages)
            if self._inspector is not None:
                self._inspector.show_pending(self._approvals)
        return [self._inspector.take] if self._inspector is not None else []

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
        verbosity = settings.verbosity
        if where in {"auto", "off"}:
            return LineLog(
                None,
                JsonFormat() if settings.log_format == "json" else TextFormat(),
                self._views,
                scope="problems" if where == "auto" else "none",
                verbosity=verbosity,
            )
        if where != STDERR:
            writer = LogWriter(where, report=log.error)
        else:
            writer = stderr if stderr is not None else LogWriter(STDERR)
        self._writer, self._owned = writer, writer is not stderr
        if settings.log_format == "text" and writer.is_terminal:
            from .access_log.terminal import TerminalLog  # noqa: PLC0415 -- not for a service

            # https://no-color.org concerns colours alone.
            is_smart = environ.get("TERM") not in {None, "", "dumb"}
            return TerminalLog(
                writer,
                self._views,
                colour=is_smart and not environ.get("NO_COLOR"),
                moves_cursor=is_smart,
                skip=skip,
                verbosity=verbosity,
            )
        form = _FORMATS[settings.log_format]()
        return LineLog(writer, form, self._views, skip=skip, verbosity=verbosity)

    def _make_admin(self, settings: Settings) -> list[Callable[[Sequence[Record]], None]]:
        from ..relay.limits import Limits  # noqa: PLC0415 -- seldom used
        from .admin import Admin, ApiServerHealth  # noqa: PLC0415 -- seldom used
        from .metrics import MetricsCollector  # noqa: PLC0415 -- seldom used

        metrics = MetricsCollector(self._views, self._snapshot, contexts=self._contexts is not None)
        api_server = ApiServerHealth()

        def expose(accept: str) -> tuple[bytes, str]:
            self._batches.flush()
            return metrics.expose(accept)

        async def checks() -> "Sequence[Check]":
            self._batches.flush()
            return [*await self._checks(), api_server.check()]

        self._admin = Admin(
            settings.admin_address,
            self._handler,
            checks=checks,
            metrics=expose,
            quit_=self._quit,
            limits=Limits.of(settings),
            accept_hosts=split_patterns(settings.accept_hosts),
            pages=self._pages,
        )
        if self._pages is not None and not self._admin.local:
            log.warning(
                "%s is open to other machines: the inspector's secret, and all that it shows, go "
                "there in plain text",
                self._admin.name,
            )
        return [self._states.count_refreshes, api_server.update, metrics.count]

    async def _checks(self) -> "list[Check]":
        from .admin import Check  # noqa: PLC0415 -- seldom used

        draining = self._handler.registry.draining
        rejected = self._reloader.last_error
        beside = []
        if self._contexts is not None:
            beside = [Check("contexts", self._states.problems, affects_readiness=False)]
        return [
            Check("listening", "draining, and accepts no more" if draining else ""),
            Check("credential", await _credential_problem(self._reloader)),
            Check("configuration", rejected.message if rejected else "", affects_readiness=False),
            *beside,
            Check("background-tasks", self._supervisor.problem),
        ]

    def _snapshot(self) -> "Snapshot":
        from .state_metrics import Snapshot  # noqa: PLC0415 -- seldom used

        return Snapshot(
            in_flight=self._handler.registry.records,
            contexts=self._states.now(),
            lines_lost=self._writer.lost if self._writer is not None else 0,
            loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )


async def _credential_problem(reloader: Reloader) -> str:
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


def is_interactive() -> bool:
    """Whether standard error is a terminal and this process is in its foreground.

    A background job shares the terminal with a shell, and must not write into its prompt.
    """
    try:
        return os.isatty(2) and os.tcgetpgrp(2) == os.getpgrp()
    except OSError:
        return False
