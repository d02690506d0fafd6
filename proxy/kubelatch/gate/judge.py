"""What decides requests, as the relay sees it."""

from typing import Protocol

from ..http1.fields import Fields, Pairs
from .decision import Decision, Refusal
from .gate import Caller
from .request_info import RequestInfo


class Judge(Protocol):
    """Decides requests; :class:`Gate` for the API, ``service`` for applications.

    Its object is exchanged when its settings change: what it has decided may be cached with it.

    Attributes:
        mount: the path under which clients find the API, without a trailing slash.
        carrier: what the policy is asked for in place of the requests themselves, which are an
            application's; None: they are the API's.
    """

    mount: bytes
    carrier: RequestInfo | None

    def decide(
        self,
        method: str,
        target: str,
        headers: Pairs,
        version: tuple[int, int] = (1, 1),
    ) -> Decision:
        """See :meth:`Gate.decide`."""
        ...

    def read(self, fields: Fields, version: tuple[int, int] = (1, 1)) -> Caller | Refusal:
        """See :meth:`Gate.read`."""
        ...

    def judge(self, method: str, target: str, caller: Caller | Refusal) -> Decision:
        """See :meth:`Gate.judge`."""
        ...
