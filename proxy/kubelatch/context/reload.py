"""Reloading: when kubeconfig or another file changes, the affected parts are rebuilt.

Files are compared by stat once a second, which, unlike inotify, also covers the kubelet's swapped
symlinks, editors that rename, and network file systems. A thread does that and all reading and
parsing, one pass at a time: a file that hangs delays nothing but the next pass. If a pass fails,
the current setup stays in use (as client-go keeps its last good token), and the error is reported
once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from ..errors import ConfigError, KubelatchError
from ..gate import Gate
from ..kubeconfig import ClientConfig, DiskFiles, TrackedFiles
from ..redact import sanitize
from ..system.supervision import Supervisor, where
from ..system.threads import DaemonExecutor
from ..upstream.generation import Generation

if TYPE_CHECKING:
    from .client_tls import ClientTls

log = logging.getLogger(__name__)

# Seconds between passes: a new file is in use within two.
INTERVAL: Final = 1.0
# Seconds after which a pass is reported as slow; it goes on. 3,000 contexts take one second.
SLOW: Final = 10.0
# Seconds after which a slow first pass ends the start.
START_LIMIT: Final = 30.0
# Passes after which a failed reload is repeated though no file has changed.
_TRY_AGAIN: Final = 30
# Seconds that a request with a 401 response waits for a pass.
_REQUEST_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Setup:
    """Everything that is built from settings and files, at one time.

    Attributes:
        config: the chosen cluster and user.
        generation: built from *config*.
        gate: decides which requests pass.
        watched: the files that these depend on.
        client_tls: TLS with clients; None without.
        changes: what differs from the previous setup, as text without secrets.
    """

    config: ClientConfig
    generation: Generation
    gate: Gate
    watched: tuple[str, ...]
    client_tls: "ClientTls | None" = None
    changes: tuple[str, ...] = ()


Make = Callable[[TrackedFiles, Setup | None], Setup]


class Reloader:
    """Holds the current setup, and with it the current generation.

    Args:
        make: builds a setup from the files, given the previous setup; raises KubelatchError. Called
            in a thread.
        files: reads the files.
        use: called in the event loop with each setup after the first, and the previous one.
        supervisor: runs the passes.
        interval: seconds between passes.
        context: the context's name for the log, where there are several; empty for the chosen one.
        executor: runs the calls that block; None: a thread of its own.

    Attributes:
        paused: the files are looked at only when that is asked for.
        last_error: why the changed files are not in use; None if they are.
        reloads: how often changed files were put into use.
        failures: how often changed files could not be used.
    """

    def __init__(
        self,
        make: Make,
        files: DiskFiles,
        use: Callable[[Setup, Setup], None],
        supervisor: Supervisor,
        *,
        interval: float = INTERVAL,
        context: str = "",
        executor: DaemonExecutor | None = None,
    ) -> None:
        self._make = make
        self._disk = files
        self._use = use
        self._supervisor = supervisor
        self._interval = interval
        self._context = context
        self._prefix = f'context "{sanitize(context)}": ' if context else ""
        self._shared = executor is not None
        self._executor = executor or DaemonExecutor(1, "kubelatch reload")
        self._files = TrackedFiles(files)
        self._setup: Setup | None = None
        # Ends the watching; None while there is none.
        self._end: Callable[[], None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        # Former ones as well, as long as an exchange has one.
        self._generations: WeakSet[Generation] = WeakSet()
        # One pass runs at a time; all requests made meanwhile share the next one.
        self._requested: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._forced = False
        self._since_failure = 0
        self._current_context = ""
        self.paused = False
        self.last_error: KubelatchError | None = None
        self.reloads = 0
        self.failures = 0

    @property
    def setup(self) -> Setup:
        """The current setup.

        Raises:
            RuntimeError: before the start.
        """
        if self._setup is None:
            msg = "nothing has been loaded yet"
            raise RuntimeError(msg)
        return self._setup

    def current(self) -> Generation:
        """The generation for an exchange that begins now."""
        return self.setup.generation

    async def start(self) -> None:
        """Build the first setup.

        Raises:
            KubelatchError: a file, an entry or a flag cannot be used.
        """
        call = asyncio.get_running_loop().run_in_executor(self._executor, self._first)
        try:
            async with asyncio.timeout(START_LIMIT):
                self._setup = await call
        except TimeoutError:
            raise _slow(self._disk, START_LIMIT) from None
        except KubelatchError:
            raise
        except Exception as error:
            raise _unexpected(error) from error
        finally:
            if self._setup is None:
                self._shut_down()
        self._setup.generation.reload = self.check_now
        self._generations.add(self._setup.generation)
        self._current_context = self._setup.config.current_context

    @property
    def http2(self) -> tuple[int, int]:
        """The numbers of HTTP/2 connections and of streams on them, former generations' too."""
        counts = [generation.http2 for generation in self._generations]
        return sum(count[0] for count in counts), sum(count[1] for count in counts)

    def watch(self) -> None:
        """Begin to watch the files."""
        self._disk.settle()
        self._end = self._supervisor.repeat(f"{self._prefix}reload", self._wait, self._pass)

    async def stop(self) -> None:
        """Stop watching, and close the generation. May be repeated."""
        if self._end is not None:
            self._end()
            self._end = None
        self._complete_request()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        self._shut_down()
        if self._setup is not None:
            await self._setup.generation.close()

    async def check_now(self) -> Generation:
        """Check the files now, and return the generation that is current afterwards.

        Waits for at most two seconds, since a request waits for it.
        """
        await self._request_pass(_REQUEST_TIMEOUT)
        return self.current()

    async def reload(self) -> None:
        """Read the files now, changed or not; returns when that is done, or takes too long."""
        self._forced = True
        await self._request_pass(SLOW)

    async def _request_pass(self, seconds: float) -> None:
        if self._end is None:
            return
        if self._requested is None:
            self._requested = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.wait([self._requested], timeout=seconds)

    def _complete_request(self) -> None:
        if self._requested is not None and not self._requested.done():
            self._requested.set_result(None)
        self._requested = None

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self.paused else self._interval):
                await self._wake.wait()

    def _shut_down(self) -> None:
        if not self._shared:
            self._executor.shutdown()

    async def _pass(self) -> None:
        """Check the files once, and use a new setup if they have changed."""
        requested, self._requested = self._requested, None
        forced, self._forced = self._forced, False
        self._wake.clear()
        try:
            await self._check(forced)
        finally:
            if requested is not None and not requested.done():
                requested.set_result(None)

    async def _check(self, forced: bool) -> None:
        self._since_failure += 1
        forced |= self.last_error is not None and self._since_failure >= _TRY_AGAIN
        call = asyncio.get_running_loop().run_in_executor(self._executor, self._read, forced)
        hung = None
        try:
            done, _ = await asyncio.wait([call], timeout=SLOW)
            if not done:
                hung, before = _slow(self._disk, SLOW), self.last_error
                self._fail(hung)
                await asyncio.wait([call])
                self.last_error = before
        finally:
            call.cancel()
        try:
            setup = call.result()
        except KubelatchError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 -- the next pass must still run
            self._fail(_unexpected(error))
        else:
            if setup is not None:
                self._install(setup, forced=forced)
            elif hung is not None:
                log.warning("%sthe configuration can be read again", self._prefix)

    def _first(self) -> Setup:
        """In the thread."""
        setup = self._make(self._files, None)
        self._files.keep(setup.watched)
        return setup

    def _read(self, forced: bool) -> Setup | None:
        """In the thread: the new setup, or None if no file has changed."""
        setup = self.setup
        setup.generation.credentials.reload()
        if not self._files.changed() and not forced:
            return None
        # Files of a failed pass count as seen, so that the error is reported once. Files that the
        # failure kept from being read stay watched.
        before, self._files = self._files, TrackedFiles(self._disk)
        self._files.follow(before)
        setup = self._make(self._files, setup)
        self._files.keep(setup.watched)
        return setup

    def _fail(self, error: KubelatchError) -> None:
        self.failures += 1
        self._since_failure = 0
        if self.last_error is None or self.last_error.message != error.message:
            log.error("%sthe changed configuration is not used: %s", self._prefix, error)
        self.last_error = error

    def _install(self, setup: Setup, *, forced: bool) -> None:
        old = self.setup
        repaired, self.last_error = self.last_error is not None, None
        self._setup = setup
        self.reloads += 1
        self._use(setup, old)
        if setup.changes:
            log.info("%sconfiguration reloaded: %s", self._prefix, ", ".join(setup.changes))
        elif repaired:
            log.info("%sthe configuration can be used again, and is the one in use", self._prefix)
        elif forced and not self._context:
            log.info("configuration reloaded: nothing has changed")
        if not self._context:
            self._report_switch(setup.config)
        if setup.generation is not old.generation:
            setup.generation.reload = self.check_now
            self._generations.add(setup.generation)
            task = asyncio.get_running_loop().create_task(
                old.generation.retire(), name="kubelatch retire"
            )
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    def _report_switch(self, config: ClientConfig) -> None:
        """Warn, once for each switch, that kubeconfig's current-context is now another."""
        before, self._current_context = self._current_context, config.current_context
        if config.current_context not in {before, config.context}:
            log.warning(
                'current-context is now "%s"; this proxy stays with "%s"',
                config.current_context,
                config.context,
            )


def _slow(files: DiskFiles, seconds: float) -> ConfigError:
    return ConfigError(
        f"reading {files.reading or 'the configuration'} takes longer than {seconds:g} s",
        hint="Is it on a file system that hangs?",
    )


def _unexpected(error: Exception) -> ConfigError:
    # Without its text, which may quote a secret.
    return ConfigError(
        f"internal error while the configuration was read ({where(error)})",
        hint="Please report it.",
    )
