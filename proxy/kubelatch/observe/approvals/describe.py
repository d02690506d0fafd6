"""What a person is shown of a request that waits: who asks for what, and what is risky about it.

All text in it comes from the client, who may wish to mislead: it is escaped, and what is cut says
so. Parsing takes long, so it runs in a thread.
"""

import json
from typing import Any, Final, NamedTuple

from ...gate import Allowed, Refusal
from ...gate.explain import describe
from ...gate.request_info import RequestInfo, query_values
from ...http1.fields import Pairs
from ...redact import printable
from ...relay.held import HeldExchange
from ...relay.record import Record
from ...system.peer_process import LocalConnection, Processes
from ..access_log.redaction import shorten, visible, visible_target
from ..access_log.request_view import field
from .body import ReadBody, read_body
from .risks import Risk, risks_of_body, risks_of_request

_CONNECTS: Final = frozenset({"exec", "attach", "portforward"})
_CONNECT_KEYS: Final = frozenset({"command", "container", "stdin", "tty", "ports"})
# Arguments of a command that are shown.
_MOST_WORDS: Final = 100
_MOST_IMPERSONATED: Final = 20
# Characters of a body's excerpt.
_EXCERPT: Final = 300


class Question(NamedTuple):
    """What is known of a request that waits, for another thread.

    Attributes:
        info: what it asks of Kubernetes.
        refusal: what stops it.
        allowed: what would pass.
        headers: the client's, as they came.
        body: as it came.
        context: the kubeconfig context that it goes to.
        server: the API server's host and port.
        connection: the client's; None if nobody knows its process.
    """

    record: Record
    info: RequestInfo
    refusal: Refusal
    allowed: Allowed
    headers: Pairs
    body: bytes
    context: str
    server: str
    connection: LocalConnection | None

    @classmethod
    def of(
        cls, exchange: HeldExchange, *, context: str, connection: LocalConnection | None
    ) -> "Question":
        """The question about a request that is held."""
        plan, record = exchange.plan, exchange.record
        if plan.allowed is None or plan.info is None:
            raise TypeError(plan.decision)
        return cls(
            record,
            plan.info,
            exchange.refusal,
            plan.allowed,
            record.headers,
            exchange.body,
            context,
            exchange.generation.upstream.host_header.decode("latin-1"),
            connection,
        )


class Describer:
    """See the module."""

    def __init__(self) -> None:
        self._processes = Processes()

    def describe(self, question: Question) -> dict[str, Any]:
        """All that is shown but the body, in JSON values. They stay for as long as the request
        waits; those of a body take thirty times its size."""
        body = read_body(question.body, question.info, question.headers)
        risks = [*risks_of_request(question.info, question.allowed.target.query)]
        risks += _of_identity(question)
        more, left = risks_of_body(body)
        shown = {
            **self.least(question),
            "risks": [{"field": risk.field, "value": risk.value} for risk in (*risks, *more)],
            "body": {"size": body.size},
            "excerpt": _excerpt(body),
        }
        if left:
            shown["risks_left"] = left
        if question.connection is not None:
            process = self._processes.find(question.connection)
            if process is not None:
                shown["process"] = {"pid": process.pid, "name": printable(process.name)}
        if question.info.subresource in _CONNECTS:
            shown.update(_connect(question.allowed.target.query))
        return shown

    def least(self, question: Question) -> dict[str, Any]:
        """What needs no parsing."""
        record, info = question.record, question.info
        shown: dict[str, Any] = {
            "summary": shorten(printable(summary(info))),
            "method": printable(record.method),
            "target": visible_target(record.target),
            "client": record.client or "unix",
            "context": printable(question.context),
            "server": printable(question.server),
            "rule": question.refusal.rule,
            "message": printable(question.refusal.message),
            "verb": info.verb,
        }
        if info.is_resource:
            shown |= {
                name: shorten(printable(value))
                for name, value in (
                    ("group", info.group),
                    ("version", info.version),
                    ("resource", info.resource),
                    ("subresource", info.subresource),
                    ("namespace", info.namespace),
                    ("name", info.name),
                )
                if value
            }
        if record.uid is not None:
            shown["uid"] = record.uid
        agent = field(record.headers, b"user-agent")
        if agent:
            shown["user_agent"] = visible(agent)
        if question.allowed.upgrade:
            shown["upgrade"] = question.allowed.upgrade
        return shown


def summary(info: RequestInfo) -> str:
    """What a request asks for, in one line."""
    # The API server takes a Namespace to be in the namespace of its own name.
    return describe(info._replace(namespace="") if info.resource == "namespaces" else info)


def body_as_json(exchange: HeldExchange) -> str:
    """What is shown of a request's body, as JSON. Parses it, so it may take long."""
    info = exchange.plan.info
    if info is None:
        raise TypeError(exchange.plan.decision)
    body = read_body(exchange.body, info, exchange.record.headers)
    shown: dict[str, Any] = {"size": body.size}
    if body.problem:
        shown["not_shown"] = body.problem
    elif body.size:
        shown["value"] = body.shown
    return json.dumps(shown)


def _excerpt(body: ReadBody) -> str:
    """The beginning of a body in one line."""
    if body.problem or not body.size:
        return ""
    text = json.dumps(body.shown, separators=(",", ":"))
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}...({len(text)})"


def _of_identity(question: Question) -> list[Risk]:
    """Whose credential and identity it has, if they are not the proxy's."""
    found = []
    if question.allowed.client_authorization:
        found.append(Risk("Authorization", "a credential of the client's own"))
    for name, value in question.headers:
        if name.lower().startswith(b"impersonate-"):
            text = value.decode("utf-8", "surrogateescape")
            found.append(Risk(printable(name.decode("latin-1")), shorten(printable(text))))
    if len(found) > _MOST_IMPERSONATED:
        left = len(found) - _MOST_IMPERSONATED
        found[_MOST_IMPERSONATED:] = [Risk("Impersonate-*", f"{left} fields more")]
    return found


def _connect(query: str) -> dict[str, Any]:
    """The command of an exec, and what it is connected to."""
    values = query_values(query, _CONNECT_KEYS)
    shown: dict[str, Any] = {}
    words = values.get("command", [])
    if words:
        shown["command"] = [shorten(printable(word)) for word in words[:_MOST_WORDS]]
        if len(words) > _MOST_WORDS:
            shown["command_left"] = len(words) - _MOST_WORDS
    for name in ("container", "stdin", "tty", "ports"):
        if name in values:
            shown[name] = shorten(printable(",".join(values[name])))
    return shown
