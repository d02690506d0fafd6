"""The state of all contexts that are in use, for metrics and health."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..context.reload import Reloader
from ..relay.record import Record

if TYPE_CHECKING:
    from ..context.contexts import Contexts
    from ..credentials import Credential
    from ..upstream.generation import Generation
    from .state_metrics import ContextState

# Contexts whose problems a check names.
_SHOWN: Final = 10


class ContextStates:
    """See the module.

    Args:
        chosen: holds the chosen context.
        contexts: those beside it; None without any.
    """

    def __init__(self, chosen: Reloader, contexts: "Contexts | None") -> None:
        self._chosen = chosen
        self._contexts = contexts
        self._refreshes: dict[str, _Refreshes] = defaultdict(_Refreshes)

    def now(self) -> "list[ContextState]":
        """The states, the chosen context's first."""
        return [self._state(*each) for each in self._reloaders()]

    @property
    def problems(self) -> str:
        """What is wrong with those beside the chosen one."""
        others = self._contexts.others if self._contexts is not None else ()
        found = [f"{place.name}: {place.problem}" for place in others if place.problem]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return "; ".join([*found[:_SHOWN], *more])

    def count_refreshes(self, records: Sequence[Record]) -> None:
        """Count new credentials.

        Called with each batch of records, it misses none: a source replaces its credential at most
        once a second.
        """
        if self._contexts is None:
            self._refreshes[""].count(self._chosen)
            return
        for name in {record.context for record in records}:
            place = self._contexts.find(name)
            if place is not None and place.reloader is not None:
                self._refreshes[name].count(place.reloader)

    def _reloaders(self) -> Iterator[tuple[str, Reloader]]:
        contexts = self._contexts
        yield contexts.chosen_alias if contexts is not None else "", self._chosen
        for place in contexts.others if contexts is not None else ():
            if place.reloader is not None:
                yield place.name, place.reloader

    def _state(self, name: str, reloader: Reloader) -> "ContextState":
        from .state_metrics import ContextState  # noqa: PLC0415 -- seldom used

        refreshes = self._refreshes[name]
        refreshes.count(reloader)
        generation = reloader.current()
        status = generation.credentials.describe()
        return ContextState(
            name=name,
            idle=generation.idle,
            http2=reloader.http2,
            reloads=reloader.reloads,
            reload_failures=reloader.failures,
            reload_failed=reloader.last_error is not None,
            refreshes=refreshes.counted,
            refresh_failed=bool(status.last_error),
            credential_expiry=status.expires_at,
            certificate_expiry=status.certificate.not_after if status.certificate else None,
        )


class _Refreshes:
    """Counts new credentials within one generation, of one context."""

    def __init__(self) -> None:
        self._generation: Generation | None = None
        self._credential: Credential | None = None
        self.counted = 0

    def count(self, reloader: Reloader) -> None:
        """See whether the credential is another now."""
        generation = reloader.current()
        credential = generation.credentials.cached()
        if credential is None or credential is self._credential:
            return
        if generation is self._generation and self._credential is not None:
            self.counted += 1
        self._generation, self._credential = generation, credential
