"""Keeping a credential that expires and takes time to get: one machine for plugins and OIDC.

It fetches when asked for the first time, again ahead of expiry while the old one still serves,
and once more when the API server says 401. However many wait, one attempt runs; a waiter that
leaves does not end it. After a failure there is a pause, doubling from one second to thirty, in
which the failure itself is the answer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ..errors import CredentialError
from ..system.supervision import where
from .tls import certificate_info
from .values import Credential, Kind, SourceStatus

_log = logging.getLogger(__name__)

AHEAD = 60.0
"""Renew at most this many seconds before expiry, and at most a tenth of the lifetime."""
LONGEST_PAUSE = 30.0

Fetch = Callable[[], Awaitable[Credential]]
Attempt: TypeAlias = "asyncio.Task[Credential | CredentialError]"


class Pause:
    """Seconds to wait between attempts: 1, 2, 4 and so on until :meth:`reset`."""

    __slots__ = ("_length", "_monotonic", "_until")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._length = 0.0
        self._until = float("-inf")

    def lengthen(self) -> None:
        """Begin a pause, twice as long as the last one."""
        self._length = min(LONGEST_PAUSE, self._length * 2 or 1.0)
        self._until = self._monotonic() + self._length

    def reset(self) -> None:
        """All is well again."""
        self._length = 0.0
        self._until = float("-inf")

    @property
    def left(self) -> float:
        """Seconds until the next attempt may begin; zero or less when it may."""
        return self._until - self._monotonic()


class RefreshingSource:
    """A credential source around one slow function."""

    def __init__(
        self,
        kind: Kind,
        fetch: Fetch,
        *,
        initial: Credential | None = None,
        detail: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what ``fetch`` gives.

        Args:
            kind: for :meth:`describe`.
            fetch: gets a credential or raises CredentialError, in bounded time.
            initial: a credential that is at hand already.
            detail: what to call the source, for :meth:`describe`.
            clock: seconds since the epoch, to judge expiry.
            monotonic: seconds that only grow, to measure pauses.
        """
        self._kind: Kind = kind
        self._fetch = fetch
        self._detail = detail
        self._clock = clock
        self._monotonic = monotonic
        self._credential: Credential | None = None
        self._refresh_at = 0.0
        self._expires_at = 0.0
        self._attempt: Attempt | None = None
        self._error: CredentialError | None = None
        self._failing = Pause(monotonic)
        self._rejected = Pause(monotonic)
        self._stale = Pause(monotonic)
        self._closed = False
        if initial is not None:
            self._keep(initial)

    def cached(self) -> Credential | None:
        """The credential at hand; when it is about to expire, a renewal begins meanwhile."""
        if self._credential is not None and self._clock() >= self._refresh_at:
            return self._peek_late(self._credential)
        return self._credential

    async def get(self) -> Credential:
        """The credential at hand, or the outcome of the attempt under way.

        Raises:
            CredentialError: the attempt failed, or the last one did a moment ago.
        """
        if (credential := self.cached()) is not None:
            return credential
        if self._attempt is None and self._error is not None and self._failing.left > 0:
            raise _again(self._error)
        outcome = await self._join()
        if isinstance(outcome, CredentialError):
            raise _again(outcome)
        return outcome

    async def invalidate(self, credential: Credential) -> Credential | None:
        """Renew after a 401, unless that was done already or did not help a moment ago."""
        current = self._credential
        if current is not None and not current.same_as(credential):
            return current
        if self._attempt is None:
            if self._rejected.left > 0 or self._failing.left > 0:
                return None
            if self._rejected.left < -2 * LONGEST_PAUSE:
                self._rejected.reset()
            self._rejected.lengthen()
        outcome = await self._join()
        if isinstance(outcome, CredentialError) or outcome.same_as(credential):
            return None
        return outcome

    def reload(self) -> Credential | None:
        """Made of no files: what there is."""
        return self._credential

    async def close(self) -> None:
        """End the attempt under way, and with it the plugin's process."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])

    def describe(self) -> SourceStatus:
        """Expiry of the credential at hand, and why the last attempt failed if it did."""
        held = self._credential
        certificate = held.certificate if held else None
        return SourceStatus(
            kind=self._kind,
            detail=self._detail,
            expires_at=held.expires_at if held else None,
            certificate=certificate_info(certificate.chain) if certificate else None,
            last_error=self._error.message if self._error else "",
        )

    def _peek_late(self, credential: Credential) -> Credential | None:
        if self._clock() >= self._expires_at:
            return credential if self._stale.left > 0 else None
        if self._failing.left <= 0:
            _ = self._begin()
        return credential

    async def _join(self) -> Credential | CredentialError:
        if self._closed:
            return _closing()
        return await asyncio.shield(self._begin())

    def _begin(self) -> Attempt:
        """The attempt under way, which may be a new one."""
        if self._attempt is None:
            self._attempt = asyncio.get_running_loop().create_task(self._run())
        return self._attempt

    async def _run(self) -> Credential | CredentialError:
        try:
            credential = await self._fetch()
        except CredentialError as error:
            self._error = error
            self._failing.lengthen()
            if self._credential is not None:
                _log.warning("%s; the last credential serves until it expires", error.message)
            return error
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return _closing()
        except Exception as fault:  # noqa: BLE001 -- it must not be tried again at each request
            self._error = _internal(fault)
            self._failing.lengthen()
            _log.error("%s", self._error.message)
            return self._error
        else:
            self._error = None
            self._keep(credential)
            return credential
        finally:
            self._attempt = None

    def _keep(self, credential: Credential) -> None:
        self._credential = credential
        self._failing.reset()
        if credential.expires_at is None:
            self._refresh_at = self._expires_at = float("inf")
            return
        left = credential.expires_at - self._clock()
        self._expires_at = credential.expires_at
        self._refresh_at = credential.expires_at - min(AHEAD, max(left, 0.0) / 10)
        if left > 0:
            self._stale.reset()
        else:
            # Over already, by this clock. It may serve all the same, and not cost one run each.
            self._stale.lengthen()


def _internal(fault: Exception) -> CredentialError:
    return CredentialError(
        f"internal error while the credential was fetched ({where(fault)})",
        hint="Please report it.",
    )


def _closing() -> CredentialError:
    return CredentialError("no credential is fetched any more: the proxy is shutting down")


def _again(error: CredentialError) -> CredentialError:
    """The same error anew: one instance raised in many tasks would gather their tracebacks."""
    return type(error)(error.message, hint=error.hint, cause=error.cause)
