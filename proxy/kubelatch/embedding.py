"""The proxy as a library.

:class:`Proxy` is an asynchronous context manager within an event loop, and an ordinary one
elsewhere, when the proxy runs in a thread. It installs no signal handlers, configures no logging,
and ignores the command's environment variables. Without a given kubeconfig, it is found as kubectl
finds it.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from .config.options import ProxyOptions

if TYPE_CHECKING:
    from .app import App
    from .config.settings import Settings
    from .context.access import ClientAccess


# Defaults that differ from the command's: programs seldom wait for watches that they left open,
# and their standard error is their own.
_DEFAULTS: Final[Mapping[str, Any]] = {"drain_timeout": 1.0, "log_requests": "off"}


class Proxy:
    """A proxy within this process.

    ::

        async with Proxy(context="staging", read_only=True) as proxy:
            print(proxy.url)

        with Proxy(demo=True) as proxy:  # the same, in a thread
            print(proxy.url)

    Args:
        kubeconfig: a kubeconfig as a mapping, or the path of a file; None finds it as kubectl does.
        impersonate: the user of ``--as``, which is a keyword in Python.
        options: flags by name. By default the system chooses the port, requests in flight have one
            second to finish at the end, and requests are not logged.

    Raises:
        UsageError: an option is unknown, or its value is invalid.
    """

    def __init__(
        self,
        kubeconfig: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        impersonate: str = "",
        **options: Unpack[ProxyOptions],
    ) -> None:
        values: dict[str, Any] = {**_DEFAULTS, **options}
        if "unix_socket" not in options:
            values.setdefault("port", 0)
        if impersonate:
            values["as"] = impersonate
        self._kubeconfig: Mapping[str, Any] | None = None
        if isinstance(kubeconfig, Mapping):
            self._kubeconfig = kubeconfig
        elif kubeconfig is not None:
            values["kubeconfig"] = os.fspath(kubeconfig)
        self._settings = _settings(values)
        self._app: App | None = None
        self._thread: _Thread | None = None

    @property
    def url(self) -> str:
        """The URL of its address, e.g. ``http://127.0.0.1:43211``; ``https`` with ``tls``, and
        ``unix:///path`` for a socket.

        Raises:
            RuntimeError: it is not running.
        """
        return self._access.url

    @property
    def ca(self) -> str:
        """With ``tls``: the authority that clients have to trust, in PEM, as
        ``ssl.create_default_context(cadata=proxy.ca)`` takes it; empty if the system's.

        Raises:
            RuntimeError: it is not running.
        """
        return (self._access.ca or b"").decode("ascii", "replace")

    @property
    def _access(self) -> "ClientAccess":
        app = self._app or (self._thread.app if self._thread else None)
        access = app.access if app is not None else None
        if access is None:
            msg = "the proxy is not running"
            raise RuntimeError(msg)
        return access

    async def start(self) -> None:
        """Serve in the running event loop.

        Raises:
            KubelatchError: it cannot start.
            RuntimeError: it is running already.
        """
        self._must_be_stopped()
        app = self._app = self._make()
        try:
            await app.start()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Drain within ``drain_timeout``, and stop. May be repeated.

        Raises:
            RuntimeError: it runs in a thread, which :meth:`close` ends.
        """
        if self._thread is not None:
            msg = "the proxy runs in a thread: use close()"
            raise RuntimeError(msg)
        app, self._app = self._app, None
        if app is not None:
            try:
                await app.drain()
            finally:
                await app.stop()

    def start_thread(self) -> None:
        """Serve in a thread; returns once it listens.

        Raises:
            KubelatchError: it cannot start.
            RuntimeError: it is running already.
        """
        self._must_be_stopped()
        thread = self._thread = _Thread(self._make, self._settings.loop)
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    def close(self) -> None:
        """Like :meth:`aclose`, for a proxy in a thread. May be repeated.

        Raises:
            RuntimeError: it runs in an event loop: use :meth:`aclose`.
        """
        if self._app is not None:
            msg = "the proxy runs in an event loop: use aclose()"
            raise RuntimeError(msg)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _make(self) -> "App":
        from .app import App  # noqa: PLC0415 -- slow, and importers may never start a proxy

        return App(self._settings, os.environ, kubeconfig=self._kubeconfig)

    def _must_be_stopped(self) -> None:
        if self._app is not None or self._thread is not None:
            msg = "the proxy is running already"
            raise RuntimeError(msg)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self.start_thread()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        app = self._app or (self._thread.app if self._thread else None)
        return f"<Proxy {app.status if app else 'stopped'}>"


class _Thread:
    """A thread with an event loop that runs one proxy.

    Args:
        make: makes the proxy; called in the thread.
        loop: of ``--loop``.
    """

    def __init__(self, make: "Callable[[], App]", loop: str) -> None:
        self.app: App | None = None
        self._make = make
        self._choice = loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None
        # A daemon, so that a program that does not close its proxy can still end.
        self._thread = threading.Thread(target=self._main, name="kubelatch", daemon=True)

    def start(self) -> None:
        """Return once the proxy listens; raises the exception of a failed start."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Drain, and return when the thread has ended; raises its exception."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _main(self) -> None:
        from .system.event_loop import loop_factory  # noqa: PLC0415

        try:
            with asyncio.Runner(loop_factory=loop_factory(self._choice)) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 -- raised again in the waiting thread
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = self._make()
        try:
            await app.start()
            self.app = app
            self._started.set()
            await self._stop.wait()
            await app.drain()
        finally:
            await app.stop()


def _settings(options: Mapping[str, Any]) -> "Settings":
    """Settings from options, parsed as the command parses its flags."""
    from .config.settings import from_values, parse  # noqa: PLC0415

    return from_values(parse([f"--{text}" for text in _flags(options)], {}))


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    from .config.flag_values import parse_file_mode  # noqa: PLC0415
    from .config.settings import FLAGS  # noqa: PLC0415

    modes = {flag.option for flag in FLAGS if flag.parse is parse_file_mode}
    durations = {flag.option for flag in FLAGS if flag.is_duration}
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"{flag}={str(value).lower()}"
        elif name in modes and isinstance(value, int):
            yield f"{flag}={value:04o}"
        elif name in durations and isinstance(value, int | float):
            yield f"{flag}={value:f}s"
        elif isinstance(value, tuple | list):
            yield from (f"{flag}={item}" for item in value)
        else:
            yield f"{flag}={value}"
