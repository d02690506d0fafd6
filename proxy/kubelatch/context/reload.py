"""Following kubeconfig and the other files: what changed is made anew, and nothing else.

Files are compared by stat once a second: symlinks that the kubelet swaps, editors that rename,
and network file systems all show up so, which inotify cannot say. That, and all reading and
parsing, happens in a thread, one pass at a time: a file that hangs, or takes long, holds up
nothing but the next pass. A pass that meets anything it cannot use leaves in place what works
(client-go keeps its last good token in the same way), and is reported once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import ConfigError, KubelatchError
from ..gate import Gate
from ..kubeconfig import ClientConfig, DiskFiles, TrackedFiles
from ..system.supervision import Supervisor, where
from ..system.threads import DaemonExecutor
from ..upstream.generation import Generation

log = logging.getLogger(__name__)

# Within two seconds a new file is in use; a few stats a second cost nothing.
INTERVAL: Final = 1.0
# A pass that takes longer is reported; it goes on. A kubeconfig of 3,000 contexts takes one.
SLOW: Final = 10.0
# The first pass ends the start instead.
START_LIMIT: Final = 30.0
# What could not be read or used is tried again after so many passes, changed or not.
_TRY_AGAIN: Final = 30
# How long a request that was answered 401 waits for a pass.
_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that is made of settings and files, as they are at one time.

    Attributes:
        config: the chosen cluster and user.
        generation: made of it.
        gate: decides on requests to it.
        watched: the files that it was all made of.
        changes: what differs from the setup before, in words without secrets.
    """

    config: ClientConfig
    generation: Generation
    gate: Gate
    watched: tuple[str, ...]
    changes: tuple[str, ...] = ()


Make = Callable[[TrackedFiles, Setup | None], Setup]


class Reloader:
    """Holds the current setup, and with it the current generation.

    Args:
        make: makes a setup of what the files say now, reading them through what it is given, and
            keeps of the last one what is the same; raises KubelatchError. Called in a thread.
        files: reads the files.
        use: is given each setup after the first and the one before it, in the event loop.
        supervisor: sees to it that watching goes on.
        interval: seconds between two looks at the files.

    Attributes:
        last_error: why what the files say now is not in use; None if it is.
        reloads: how often they were read anew and used.
        failures: how often they were read anew and not used.
    """

    def __init__(
        self,
        make: Make,
        files: DiskFiles,
        use: Callable[[Setup, Setup], None],
        supervisor: Supervisor,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._make = make
        self._disk = files
        self._use = use
        self._supervisor = supervisor
        self._interval = interval
        self._executor = DaemonExecutor(1, "kubelatch reload")
        self._files = TrackedFiles(files)
        self._setup: Setup | None = None
        # Ends the watching; None while there is none.
        self._end: Callable[[], None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        # One pass runs; all who ask while it does share the next.
        self._asked: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._forced = False
        self._since_failure = 0
        self._current_context = ""
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
        """Make the first setup.

        Raises:
            KubelatchError: it cannot be made.
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
                self._executor.shutdown()
        self._setup.generation.reload = self.look
        self._current_context = self._setup.config.current_context

    def watch(self) -> None:
        """Begin to follow the files."""
        self._disk.settle()
        self._end = self._supervisor.repeat("reload", self._wait, self._pass)

    async def stop(self) -> None:
        """Stop watching, and close the generation. May be repeated."""
        if self._end is not None:
            self._end()
            self._end = None
        self._answer()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        self._executor.shutdown()
        if self._setup is not None:
            await self._setup.generation.close()

    async def look(self) -> Generation:
        """Look at the files now, and return the generation that is current then.

        A file that hangs is not waited for longer than a request can wait.
        """
        await self._ask(_PATIENCE)
        return self.current()

    async def reload(self) -> None:
        """Read the files now, changed or not; returns when that is done, or takes too long."""
        self._forced = True
        await self._ask(SLOW)

    async def _ask(self, seconds: float) -> None:
        if self._end is None:
            return
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.wait([self._asked], timeout=seconds)

    def _answer(self) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
        self._asked = None

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._wake.wait()

    async def _pass(self) -> None:
        """Look at the files once, and use what they say if that is something else."""
        asked, self._asked = self._asked, None
        forced, self._forced = self._forced, False
        self._wake.clear()
        try:
            await self._look(forced)
        finally:
            if asked is not None and not asked.done():
                asked.set_result(None)

    async def _look(self, forced: bool) -> None:
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
        except Exception as error:  # noqa: BLE001 -- whatever it met, the next pass goes on
            self._fail(_unexpected(error))
        else:
            if setup is not None:
                self._install(setup, forced=forced)
            elif hung is not None:
                log.warning("the configuration can be read again")

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
        # What is read is remembered even if it is of no use, so that it is reported once; and what
        # a failure keeps from being read goes on being watched.
        before, self._files = self._files, TrackedFiles(self._disk)
        self._files.follow(before)
        setup = self._make(self._files, setup)
        self._files.keep(setup.watched)
        return setup

    def _fail(self, error: KubelatchError) -> None:
        self.failures += 1
        self._since_failure = 0
        if self.last_error is None or self.last_error.message != error.message:
            log.error("the changed configuration is not used: %s", error)
        self.last_error = error

    def _install(self, setup: Setup, *, forced: bool) -> None:
        old = self.setup
        repaired, self.last_error = self.last_error is not None, None
        self._setup = setup
        self.reloads += 1
        self._use(setup, old)
        if setup.changes:
            log.info("configuration reloaded: %s", ", ".join(setup.changes))
        elif repaired:
            log.info("the configuration can be used again, and is the one in use")
        elif forced:
            log.info("configuration reloaded: nothing has changed")
        self._report_switch(setup.config)
        if setup.generation is not old.generation:
            setup.generation.reload = self.look
            task = asyncio.get_running_loop().create_task(
                old.generation.retire(), name="kubelatch retire"
            )
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    def _report_switch(self, config: ClientConfig) -> None:
        """Say that others use another context from now on; once for each switch."""
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
    # Its own text could quote a secret.
    return ConfigError(
        f"internal error while the configuration was read ({where(error)})",
        hint="Please report it.",
    )
