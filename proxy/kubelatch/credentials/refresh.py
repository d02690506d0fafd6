"""Caches and renews a credential that expires and takes time to fetch, for plugins and OIDC.

It is fetched at first use, again before it expires while the old one is still used, and once after
a 401. One attempt runs at a time for all that wait; a cancelled waiter does not cancel it. After a
failure no attempt is made for one second, doubling up to thirty; meanwhile the failure is raised
again.
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
MAX_BACKOFF = 30.0

Fetch = Callable[[], Awaitable[Credential]]
Attempt: TypeAlias = "asyncio.Task[Credential | CredentialError]"


class Backoff:
    """Seconds to wait between attempts: *first*, then twice as long each time, but no longer than
    thirty seconds or *first*, until :meth:`reset`."""

    def __init__(self, monotonic: Callable[[], float], first: float = 1.0) -> None:
        self._monotonic = monotonic
        self._first = first
        self._longest = max(first, MAX_BACKOFF)
        self._length = 0.0
        self._until = float("-inf")

    def start(self) -> None:
        """Wait from now on, twice as long as the last time."""
        self._length = min(self._longest, self._length * 2 or self._first)
        self._until = self._monotonic() + self._length

    def reset(self) -> None:
        """The next attempt may begin at once."""
        self._length = 0.0
        self._until = float("-inf")

    @property
    def remaining(self) -> float:
        """Seconds until the next attempt may begin; zero or less when it may."""
        return self._until - self._monotonic()


class RefreshingSource:
    """A credential source that calls one slow function."""

    def __init__(
        self,
        kind: Kind,
        fetch: Fetch,
        *,
        initial: Credential | None = None,
        detail: str = "",
        pause: float = 1.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the source; nothing is fetched yet.

        Args:
            kind: for :meth:`describe`.
            fetch: returns a credential or raises CredentialError, in bounded time.
            initial: a credential that is available already.
            detail: the source's name, for :meth:`describe`.
            pause: seconds without an attempt after the first one that failed.
            clock: seconds since the epoch, for expiry.
            monotonic: monotonic seconds, for backoff.
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
        self._failing = Backoff(monotonic, pause)
        self._rejected = Backoff(monotonic, pause)
        self._stale = Backoff(monotonic)
        self._closed = False
        if initial is not None:
            self._store(initial)

    def cached(self) -> Credential | None:
        """The current credential, or None. When it is about to expire, a renewal starts."""
        if self._credential is not None and self._clock() >= self._refresh_at:
            return self._cached_late(self._credential)
        return self._credential

    async def get(self) -> Credential:
        """The current credential, or the result of the attempt that is running or started now.

        Raises:
            CredentialError: the attempt failed, or the last one did a moment ago.
        """
        if (credential := self.cached()) is not None:
            return credential
        if self._attempt is None and self._error is not None and self._failing.remaining > 0:
            raise _copy(self._error)
        outcome = await self._join()
        if isinstance(outcome, CredentialError):
            raise _copy(outcome)
        return outcome

    async def invalidate(self, credential: Credential) -> Credential | None:
        """Renew after a 401, unless that has been done already, or did not help a moment ago."""
        current = self._credential
        if current is not None and not current.same_as(credential):
            return current
        if self._attempt is None:
            if self._rejected.remaining > 0 or self._failing.remaining > 0:
                return None
            if self._rejected.remaining < -2 * MAX_BACKOFF:
                self._rejected.reset()
            self._rejected.start()
        outcome = await self._join()
        if isinstance(outcome, CredentialError) or outcome.same_as(credential):
            return None
        return outcome

    def reload(self) -> Credential | None:
        """The current credential: there are no files to read."""
        return self._credential

    async def close(self) -> None:
        """Cancel the running attempt, and with it the plugin's process."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])

    def describe(self) -> SourceStatus:
        """The current credential's expiry, and the error of the last attempt."""
        credential = self._credential
        certificate = credential.certificate if credential else None
        return SourceStatus(
            kind=self._kind,
            detail=self._detail,
            expires_at=credential.expires_at if credential else None,
            certificate=certificate_info(certificate.chain) if certificate else None,
            last_error=self._error.message if self._error else "",
        )

    def _cached_late(self, credential: Credential) -> Credential | None:
        if self._clock() >= self._expires_at:
            return credential if self._stale.remaining > 0 else None
        if self._failing.remaining <= 0:
            _ = self._begin()
        return credential

    async def _join(self) -> Credential | CredentialError:
        if self._closed:
            return _shutting_down()
        return await asyncio.shield(self._begin())

    def _begin(self) -> Attempt:
        """The running attempt, or a new one."""
        if self._attempt is None:
            self._attempt = asyncio.get_running_loop().create_task(self._run())
        return self._attempt

    async def _run(self) -> Credential | CredentialError:
        try:
            credential = await self._fetch()
        except CredentialError as error:
            self._error = error
            self._failing.start()
            if self._credential is not None:
                _log.warning("%s; the last credential serves until it expires", error.message)
            return error
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return _shutting_down()
        except Exception as fault:  # noqa: BLE001 -- it must not be tried again at each request
            self._error = _internal(fault)
            self._failing.start()
            _log.error("%s", self._error.message)
            return self._error
        else:
            self._error = None
            self._store(credential)
            return credential
        finally:
            self._attempt = None

    def _store(self, credential: Credential) -> None:
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
            # Expired already by this clock, but possibly still valid: do not fetch per request.
            self._stale.start()


def _internal(fault: Exception) -> CredentialError:
    return CredentialError(
        f"internal error while the credential was fetched ({where(fault)})",
        hint="Please report it.",
    )


def _shutting_down() -> CredentialError:
    return CredentialError("no credential is fetched any more: the proxy is shutting down")


def _copy(error: CredentialError) -> CredentialError:
    """A copy: one instance raised in many tasks would collect their tracebacks."""
    return type(error)(error.message, hint=error.hint, cause=error.cause)
