"""One call of the gate, as the tests of its rules write it."""

from typing import Any

from kubelatch.gate import Allowed, Decision, Gate, GateSettings, LocalResponse, Refusal


def decide(
    method: str,
    target: str,
    *headers: tuple[str, str],
    host: str | None = "127.0.0.1:8001",
    version: tuple[int, int] = (1, 1),
    **settings: Any,
) -> Decision:
    """Ask a new gate with these settings about one request."""
    lines = [] if host is None else [("Host", host)]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (*lines, *headers)]
    return Gate(GateSettings(**settings)).decide(method, target, raw, version)


def allowed(decision: Decision) -> Allowed:
    """The decision, which must let the request pass."""
    assert isinstance(decision, Allowed), decision
    return decision


def refused(decision: Decision, rule: str, status: int = 403) -> Refusal:
    """The decision, which must be a refusal by this rule."""
    assert isinstance(decision, Refusal), decision
    assert (decision.rule, decision.status) == (rule, status)
    return decision


def answered(decision: Decision, status: int) -> dict[str, str]:
    """The headers of the decision, which must be the gate's own answer."""
    assert isinstance(decision, LocalResponse), decision
    assert decision.status == status
    return dict(decision.headers)
