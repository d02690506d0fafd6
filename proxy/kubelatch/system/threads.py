"""An executor for calls that may block: files on a network file system, name resolution.

A thread that hangs in the kernel cannot be ended. The threads here are daemons and never joined, so
that such a thread delays neither a stop nor the end of the process, as asyncio's default executor
would.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_DEFAULT_THREADS: Final = 16

_Job = tuple["Future[Any]", Callable[[], Any]]


class DaemonExecutor(ThreadPoolExecutor):
    """An executor of daemon threads, started on demand.

    It derives from ThreadPoolExecutor since ``loop.set_default_executor`` requires that; none of
    that class's threads is ever started.

    Args:
        threads: the maximum number of threads; further calls wait.
        name: of the threads.
    """

    def __init__(self, threads: int = _DEFAULT_THREADS, name: str = "kubelatch worker") -> None:
        super().__init__(max_workers=1)
        self._most = threads
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        # Calls that wait or run; a thread is started only if all others are busy.
        self._pending = 0
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run the call in one of the threads.

        Raises:
            RuntimeError: after :meth:`shutdown`.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._ended:
                msg = "the executor has been shut down"
                raise RuntimeError(msg)
            self._pending += 1
            if self._started < min(self._pending, self._most):
                self._started += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, without waiting for running ones. May be repeated."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            for _ in range(self._started):
                self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 -- passed to the caller
                    _settle(future.set_exception, error)
                else:
                    _settle(future.set_result, result)
            # Otherwise a large result is kept until the next call.
            del job, future, call
            with self._lock:
                self._pending -= 1


def _settle(settle: Callable[[Any], None], outcome: object) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop that waited for it has ended
        settle(outcome)
