"""A context that is served beside the chosen one: made at its first request, with its own files,
credential, connections and failures.

One that nobody asks for any more rests: its files are not watched until the next request, which
looks at them first.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from ..config.settings import Settings
from ..errors import KubelatchError
from ..gate import Gate
from ..gate.settings import CLUSTERS
from ..kubeconfig.contexts import ContextEntry
from ..upstream.generation import Generation
from .reload import Reloader

log = logging.getLogger(__name__)

# Seconds after a failure during which it is repeated, without another attempt.
_PAUSE: Final = 1.0

State = Literal["unused", "ready", "failing"]


class ContextError(KubelatchError):
    """A context cannot be used now: 503, for its own requests alone."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "config"


def settings_beside(settings: Settings, name: str, alias: str, *, writable: bool) -> Settings:
    """The settings of a context beside the chosen one.

    Flags that say where the chosen context's server is, or how to authenticate there, are not for
    other clusters: a credential given for one must not reach another. ``--as`` holds for all, since
    it restricts.

    Args:
        settings: the flags.
        name: the context's.
        alias: its alias.
        writable: whether it may be changed, as far as the flags let anything be changed.
    """
    read_only = settings.read_only
    if not writable and read_only == "off":
        read_only = "on"
    return settings.replaced(
        context=name,
        api_prefix=f"{CLUSTERS}{alias}/",
        www="",
        read_only=read_only,
        cluster="",
        user="",
        server="",
        certificate_authority="",
        insecure_skip_tls_verify=None,
        tls_server_name="",
        client_certificate="",
        client_key="",
        token=None,
        username="",
        password=None,
        proxy_url=None,
        in_cluster=False,
    )


class ServedContext:
    """See the module. It is a place of the relay.

    Args:
        alias: under which it is served.
        entry: what the kubeconfig says of it.
        settings: its own.
        read_only_hint: see :class:`~kubelatch.gate.settings.GateSettings`.
        make: makes its reloader.
        chosen_gate: the gate of the chosen context, from which its own is made as long as it has
            no configuration.

    Attributes:
        name: the alias.
        entry: what the kubeconfig says of it.
        settings: its own.
    """

    chosen = False

    def __init__(
        self,
        alias: str,
        entry: ContextEntry,
        settings: Settings,
        read_only_hint: str,
        make: Callable[[Settings, str], Reloader],
        chosen_gate: Callable[[], Gate],
    ) -> None:
        self.name = alias
        self.entry = entry
        self.settings = settings
        self._read_only_hint = read_only_hint
        self._make = make
        self._chosen_gate = chosen_gate
        # The gate before there is a configuration, and the one that it was made from.
        self._early: tuple[Gate, Gate] | None = None
        self._reloader: Reloader | None = None
        self._awake = False
        self._used = False
        self._preparing: asyncio.Task[ContextError | None] | None = None
        self._failure: ContextError | None = None
        self._retry_at = 0.0
        self._stopped = False

    @property
    def gate(self) -> Gate:
        """Decides. Before there is a configuration, and while it rests, it decides as the chosen
        context's, but for what is its own by the flags."""
        if self._awake and self._reloader is not None:
            return self._reloader.setup.gate
        source = self._chosen_gate()
        if self._early is None or self._early[0] is not source:
            gate = gate_below(
                source,
                self.settings.api_prefix,
                read_only=self.settings.read_only,
                read_only_hint=self._read_only_hint,
                impersonation_configured=False,
            )
            self._early = source, gate
        return self._early[1]

    def current(self) -> Generation | None:
        """The generation for an exchange that begins now; None if it has to be prepared."""
        if not self._awake or self._reloader is None:
            return None
        self._used = True
        return self._reloader.current()

    @property
    def reloader(self) -> Reloader | None:
        """Holds its setup; None before its first use."""
        return self._reloader

    @property
    def problem(self) -> str:
        """Why it, or its newest configuration, cannot be used; empty if nothing is known."""
        if self._failure is not None:
            return self._failure.message
        if self._reloader is None:
            return ""
        if self._reloader.last_error is not None:
            return self._reloader.last_error.message
        return self._reloader.current().credentials.describe().last_error

    @property
    def state(self) -> State:
        """What is known of it, without a request."""
        if self.problem:
            return "failing"
        return "unused" if self._reloader is None else "ready"

    async def prepare(self) -> None:
        """Make its configuration, or look at the files of one that rests.

        Raises:
            ContextError: it cannot be used now.
        """
        if self._preparing is None:
            if self._failure is not None and time.monotonic() < self._retry_at:
                raise _copy(self._failure)
            self._preparing = asyncio.get_running_loop().create_task(
                self._prepare(), name="kubelatch context"
            )
        failure = await asyncio.shield(self._preparing)
        if failure is not None:
            raise _copy(failure)

    async def _prepare(self) -> ContextError | None:
        try:
            await self._begin()
        except KubelatchError as error:
            before, self._failure = self._failure, self._explain(error)
            self._retry_at = time.monotonic() + _PAUSE
            if before is None or before.message != self._failure.message:
                log.warning("%s", self._failure)
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return self._explain(_gone())
        else:
            self._failure, self._awake = None, True
        finally:
            self._preparing = None
        return self._failure

    async def _begin(self) -> None:
        if self._stopped:
            raise _gone()
        reloader = self._reloader
        if reloader is None:
            reloader = self._make(self.settings, self._read_only_hint)
            await reloader.start()
            self._reloader = reloader
            reloader.watch()
        else:
            reloader.paused = False
            await reloader.check_now()

    def _explain(self, error: KubelatchError) -> ContextError:
        return ContextError(
            f'context "{self.entry.name}" cannot be used: {error.message}',
            hint=error.hint,
            cause=error.cause,
        )

    async def reload(self) -> None:
        """Read its files now, if it is in use."""
        if self._awake and self._reloader is not None:
            await self._reloader.reload()

    def rest(self) -> None:
        """Let it rest if no request has come since the last call."""
        if self._awake and not self._used and self._reloader is not None:
            self._awake, self._reloader.paused = False, True
        self._used = False

    async def stop(self) -> None:
        """Close everything. May be repeated."""
        self._stopped, self._awake = True, False
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])
        if self._reloader is not None:
            await self._reloader.stop()


class ChosenContext:
    """The chosen context, below its alias as well. It is a place of the relay.

    Args:
        alias: under which it is served.
        entry: what the kubeconfig says of it.
        settings: the flags.
        reloader: holds its setup.

    Attributes:
        name: the alias.
        entry: what the kubeconfig says of it.
        settings: the flags.
        reloader: holds its setup.
    """

    chosen = True

    def __init__(
        self, alias: str, entry: ContextEntry, settings: Settings, reloader: Reloader
    ) -> None:
        self.name = alias
        self.entry = entry
        self.settings = settings
        self.reloader = reloader
        self._made: tuple[Gate, Gate] | None = None

    @property
    def gate(self) -> Gate:
        """Decides as at the root."""
        source = self.reloader.setup.gate
        if self._made is None or self._made[0] is not source:
            self._made = source, gate_below(source, f"{CLUSTERS}{self.name}/")
        return self._made[1]

    def current(self) -> Generation:
        """The generation for an exchange that begins now."""
        return self.reloader.current()

    async def prepare(self) -> None:
        """Nothing: it was prepared at the start."""

    @property
    def problem(self) -> str:
        """Why its newest configuration, or its credential, cannot be used."""
        if self.reloader.last_error is not None:
            return self.reloader.last_error.message
        return self.reloader.current().credentials.describe().last_error

    @property
    def state(self) -> State:
        """What is known of it, without a request."""
        return "failing" if self.problem else "ready"


def gate_below(source: Gate, prefix: str, **changes: object) -> Gate:
    """A gate as *source* below another prefix, beside the API at the root.

    Args:
        source: the chosen context's.
        prefix: where it is.
        changes: settings that differ.
    """
    return Gate(
        replace(
            source.settings,
            api_prefix=prefix,
            www_prefix=None,
            shares_origin=True,
            **changes,  # type: ignore[arg-type]
        )
    )


def _gone() -> ContextError:
    return ContextError("it is not served any more")


def _copy(error: ContextError) -> ContextError:
    """A copy: one instance raised in many tasks would collect their tracebacks."""
    return ContextError(error.message, hint=error.hint, cause=error.cause)
