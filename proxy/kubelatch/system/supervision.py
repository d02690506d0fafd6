"""Background tasks that run for as long as the proxy serves; none fails silently.

A task is a function that is called periodically. If it raises, that is reported, the proxy is not
ready until a later call succeeds, and the calls go on. Failures that cannot be retried, such as
that of a listening socket, end the proxy.
"""

import asyncio
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

log = logging.getLogger(__name__)


class Supervisor:
    """See the module.

    Args:
        on_fatal: called with a message after a failure that cannot be retried.
    """

    def __init__(self, on_fatal: Callable[[str], None] = lambda _: None) -> None:
        self._on_fatal = on_fatal
        self._tasks: set[asyncio.Task[None]] = set()
        self._problems: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """The tasks that fail now, and why; empty if none does."""
        return "; ".join(f"{name}: {problem}" for name, problem in self._problems.items())

    def every(
        self, name: str, seconds: float, turn: Callable[[], Awaitable[None] | None]
    ) -> Callable[[], None]:
        """Call *turn* after *seconds*, and again the same time after each call has ended.

        Returns:
            A function that ends this task; :meth:`stop` ends all.
        """

        async def wait() -> None:
            await asyncio.sleep(seconds)

        return self.repeat(name, wait, turn)

    def repeat(
        self,
        name: str,
        wait: Callable[[], Awaitable[None]],
        turn: Callable[[], Awaitable[None] | None],
    ) -> Callable[[], None]:
        """Call *turn* each time that *wait* has returned; *wait* must not raise."""
        task = asyncio.get_running_loop().create_task(
            self._repeat(name, wait, turn), name=f"kubelatch {name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return lambda: _cancel(task)

    def fatal(self, name: str, problem: str) -> None:
        """Report a failure that cannot be retried, and end the proxy. Reported once."""
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            log.error("%s has ended: %s", name, problem)
            self._on_fatal(f"{name} has ended: {problem}")

    async def stop(self) -> None:
        """End all tasks. May be repeated."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(
        self,
        name: str,
        wait: Callable[[], Awaitable[None]],
        turn: Callable[[], Awaitable[None] | None],
    ) -> None:
        while True:
            await wait()
            try:
                outcome = turn()
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:  # noqa: BLE001 -- the task must go on
                self._failed(name, error)
            else:
                self._problems.pop(name, None)

    def _failed(self, name: str, error: Exception) -> None:
        problem = f"internal error ({where(error)})"
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            log.error("%s: %s; it is tried again", name, problem)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def where(error: BaseException) -> str:
    """An exception's type, file and line, without its text, which may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    kind = type(error).__name__
    return f"{kind}, {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else kind
