"""How a fault can end for a client: told, cut, unharmed, or of no concern to it any more.

Each outcome knows what document says of it, and how to tell whether it came true.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.client import Answer

REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    408: "Timeout",
    417: "BadRequest",
    431: "BadRequest",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of one request.

    Attributes:
        answer: what the client was sent; None if nothing.
        line: the end of the request in the log.
        counted: samples of the metrics that concern faults, those of zero left out.
    """

    answer: Answer | None
    line: dict[str, Any]
    counted: dict[str, float]


class Outcome(Protocol):
    """What should become of a request."""

    @property
    def cells(self) -> tuple[str, str, str]:
        """What the client sees, the log says, and the metrics say: Markdown."""
        ...

    def check(self, seen: Seen) -> None:
        """Raise AssertionError unless that is what became of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """The client is sent a ``Status``.

    Attributes:
        status: of HTTP.
        cause: the one word.
        hint: the end of the message.
        words: what else the message says.
        rule: the cause is a rule of the gate's.
        passing: clients are told to try again in a moment.
    """

    status: int
    cause: str
    hint: str
    words: str = ""
    rule: bool = False
    passing: bool = False

    @property
    def metric(self) -> str:
        family, label = ("refusals", "rule") if self.rule else ("failures", "cause")
        return f'kubelatch_{family}_total{{{label}="{self.cause}"}}'

    @property
    def cells(self) -> tuple[str, str, str]:
        retry = ", `Retry-After: 1`" if self.passing else ""
        more = "… " if self.hint[0].islower() else ""
        client = f"{self.status} `{REASONS[self.status]}`{retry}: *{more}{self.hint}*"
        key = "rule" if self.rule else "cause"
        return client, f"`{key}={self.cause}`", f"`{self.metric}`"

    def check(self, seen: Seen) -> None:
        answer = seen.answer
        assert answer is not None
        assert answer.whole
        assert answer.status == self.status, answer
        status = json.loads(answer.body)
        assert (status["kind"], status["code"]) == ("Status", self.status)
        assert status["reason"] == REASONS[self.status]
        assert self.words in status["message"]
        assert status["message"].endswith(self.hint)
        assert [cause["reason"] for cause in status["details"]["causes"]] == [self.cause]
        # client-go asks again by itself, a POST too, whenever an answer of 5xx has this field.
        assert answer.values("retry-after") == (["1"] if self.passing else [])
        assert seen.line["rule" if self.rule else "cause"] == self.cause
        assert seen.line["status"] == self.status
        assert seen.counted == {self.metric: 1}


@dataclass(frozen=True, slots=True)
class Cut:
    """The client gets a beginning, and then the end of its connection.

    Attributes:
        cause: the one word.
        how: by what the client can tell.
        status: that the answer had begun with.
    """

    cause: str
    how: str
    status: int = 200

    @property
    def cells(self) -> tuple[str, str, str]:
        return (
            f"{self.status}, then a cut: {self.how}",
            f"`cause={self.cause}`",
            f'`kubelatch_failures_total{{cause="{self.cause}"}}`',
        )

    def check(self, seen: Seen) -> None:
        assert seen.answer is not None
        assert not seen.answer.whole
        assert seen.answer.status == seen.line["status"] == self.status
        assert seen.line["cause"] == self.cause
        assert seen.counted == {f'kubelatch_failures_total{{cause="{self.cause}"}}': 1}


@dataclass(frozen=True, slots=True)
class Unharmed:
    """The client gets the API server's answer, whole.

    Attributes:
        how: what is done about the fault.
        status: of the answer.
        retries: how often the request was sent again.
    """

    how: str
    status: int = 200
    retries: int = 0

    @property
    def cells(self) -> tuple[str, str, str]:
        client = f"{self.status}, whole; {self.how}"
        if self.retries:
            return client, f"`retries={self.retries}`", "`kubelatch_retries_total`"
        return client, "nothing", "nothing"

    def check(self, seen: Seen) -> None:
        assert seen.answer is not None
        assert seen.answer.whole
        assert seen.answer.status == self.status, seen.answer
        assert "cause" not in seen.line
        assert seen.line.get("retries", 0) == self.retries
        wanted = {"kubelatch_retries_total": self.retries} if self.retries else {}
        assert seen.counted == wanted


@dataclass(frozen=True, slots=True)
class Gone:
    """The client has left, and takes with it what was done for it.

    Attributes:
        how: what becomes of the rest.
        status: what it had been told.
    """

    how: str
    status: int = 0

    @property
    def cells(self) -> tuple[str, str, str]:
        return (
            f"nothing more; {self.how}",
            "`cause=client-gone`",
            '`kubelatch_failures_total{cause="client-gone"}`',
        )

    def check(self, seen: Seen) -> None:
        assert seen.line["cause"] == "client-gone"
        assert seen.line["status"] == self.status
        assert seen.counted == {'kubelatch_failures_total{cause="client-gone"}': 1}


@dataclass(frozen=True, slots=True)
class NoTls:
    """There is no TLS with the client, and so no response of HTTP.

    Attributes:
        how: what it can tell.
        status: in the log; 0 if it was sent nothing.
    """

    how: str
    status: int = 0

    @property
    def cells(self) -> tuple[str, str, str]:
        metric = 'kubelatch_failures_total{cause="client-tls"}'
        return self.how, "`cause=client-tls`", f"`{metric}`"

    def check(self, seen: Seen) -> None:
        assert seen.line["cause"] == "client-tls"
        assert seen.line["status"] == self.status
        assert seen.counted == {'kubelatch_failures_total{cause="client-tls"}': 1}
