"""How long the API server may take to begin its answer (``--response-timeout``).

No clock runs for a request: a few times in that span we look at those who wait, and whoever was
seen waiting often enough has waited too long. What the API server itself exempts from its limit
is exempt here (watches, logs, proxied services), and so is a request that is still being sent.
"""

from collections.abc import Callable
from typing import Final

from .answer import Answer
from .client_server import ClientServer
from .drain import answers
from .errors import UpstreamTimeoutError
from .record import Record
from .supervision import Supervisor

_LOOKS: Final = 4


class Patience:
    """See the module.

    Args:
        seconds: how long; a quarter more may pass until it is noticed.
        server: its clients are those who wait.
        is_exempt: whether an exchange may take as long as it likes.
    """

    def __init__(
        self,
        seconds: float,
        server: ClientServer,
        is_exempt: Callable[[Record], bool],
    ) -> None:
        self._seconds = seconds
        self._server = server
        self._is_exempt = is_exempt
        self._seen: dict[Answer, int] = {}
        self._cancel: Callable[[], None] | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Begin to look."""
        self._cancel = supervisor.every("response time-out", self._seconds / _LOOKS, self._look)

    def stop(self) -> None:
        """Look no more. May be repeated."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._seen.clear()

    def _look(self) -> None:
        before = self._seen
        self._seen = {a: before.get(a, 0) + 1 for a in answers(self._server) if a.awaited}
        for answer, looks in self._seen.items():
            if looks > _LOOKS and not self._is_exempt(answer.record):
                answer.fail(
                    UpstreamTimeoutError(
                        f"the API server has not begun to answer within {self._seconds:g} s",
                        cause="response-timeout",
                        hint="--response-timeout sets the limit; it may have been carried out all "
                        "the same",
                    )
                )
