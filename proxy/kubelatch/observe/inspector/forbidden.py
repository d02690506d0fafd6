"""Explains a 403: which rule of the gate refused, or which permission the user lacks, and the Role
that would grant it."""

from typing import Any, Final

from ...gate import Gate, Held, Refusal
from ...gate.request_info import RequestInfo
from ...gate.rules import required
from ...redact import printable
from ...relay.record import Record

_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
# Verbs on collections, to which a rule's resourceNames do not apply
# (plugin/pkg/auth/authorizer/rbac).
_COLLECTIONS: Final = frozenset({"create", "deletecollection"})


def explain_refusal(record: Record, info: RequestInfo, gate: Gate) -> dict[str, Any]:
    """Why the gate refused a request: the rule, its message and hint, and a Role.

    Args:
        record: of the request.
        info: the request as the API server resolves it.
        gate: the one in use.
    """
    decision = gate.decide(record.method, record.target, record.headers, record.version)
    if isinstance(decision, Held):
        decision = decision.refusal
    explained: dict[str, Any] = {"by": "proxy", "rule": record.rule}
    # A reload may have brought another gate meanwhile.
    if isinstance(decision, Refusal) and decision.rule == record.rule:
        explained["message"] = printable(decision.message)
        if decision.hint:
            explained["hint"] = printable(decision.hint)
        info = decision.info or info
    if record.rule == "allow-rules":
        explained["role"] = role(required(info))
    return explained


def explain_denial(info: RequestInfo, body: Any) -> dict[str, Any]:
    """Why the API server refused a request: its message, and the Role that would allow it.

    Args:
        info: the request as the API server resolves it.
        body: the response's body, redacted; None if it was not kept.
    """
    explained: dict[str, Any] = {"by": "api-server", "verb": info.verb, "role": role((info,))}
    message = body.get("message") if isinstance(body, dict) else None
    if isinstance(message, str):
        explained["message"] = printable(message)
    return explained


def role(needed: tuple[RequestInfo, ...]) -> str:
    """A Role or ClusterRole that allows what is needed, as YAML.

    Args:
        needed: permissions that differ in their verb alone.
    """
    info = needed[0]
    verbs = list(dict.fromkeys(each.verb for each in needed))
    namespaced = info.is_resource and bool(info.namespace) and info.resource != "namespaces"
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {'Role' if namespaced else 'ClusterRole'}",
        "metadata:",
        f"  name: {_quote(_name_of(info))}",
    ]
    if namespaced:
        lines.append(f"  namespace: {_quote(info.namespace)}")
    lines.append("rules:")
    if info.is_resource:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        lines += [
            f"- apiGroups: [{_quote(info.group)}]",
            f"  resources: [{_quote(resource)}]",
        ]
        if info.name and not _COLLECTIONS & set(verbs):
            lines.append(f"  resourceNames: [{_quote(info.name)}]")
    else:
        lines.append(f"- nonResourceURLs: [{_quote(info.path)}]")
    lines.append(f"  verbs: [{', '.join(map(_quote, verbs))}]")
    return "\n".join(lines) + "\n"


def _name_of(info: RequestInfo) -> str:
    parts = (info.verb, info.resource or "url", info.subresource)
    name = "-".join(part for part in parts if part).lower()
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name).strip("-")


def _quote(text: str) -> str:
    """The text as a YAML scalar, quoted where a plain one could mean something else."""
    plain = text.isascii() and text[:1].isalpha() and text.replace("-", "").isalnum()
    if plain and text.lower() not in _YAML_WORDS:
        return text
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
