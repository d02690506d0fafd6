"""Writes roles as YAML, for ``--allow-rules`` and ``kubectl apply``. Pure."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .collector import MAX_PERMISSIONS
from .grouping import WrittenRole, WrittenRule
from .outcomes import RequestOutcome

UNCOMMENT: Final = r"s/^  #(- |  )/  \1/"
"""For ``sed -E``: makes the dangerous rules ones that hold."""

_WIDTH: Final = 100
_PLAIN: Final = re.compile(r"/?[a-z][a-z0-9]*(?:[-./][a-z0-9]+)*")
_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
# What counted, first; what is of no interest is left out.
_LEFT_OUT: Final = (
    RequestOutcome.REFUSED_HERE,
    RequestOutcome.FORBIDDEN,
    RequestOutcome.UNKNOWN,
    RequestOutcome.NO_RESPONSE,
    RequestOutcome.NO_RULE,
    RequestOutcome.ELSEWHERE,
    RequestOutcome.TOO_MANY,
)


def manifest(
    roles: Sequence[WrittenRole],
    outcomes: Mapping[RequestOutcome, int],
    *,
    name: str,
    context: str,
    with_names: bool,
) -> str:
    """The whole file.

    Args:
        roles: to be written.
        outcomes: how many requests had which.
        name: of each role.
        context: the kubeconfig context that the requests went to, printable; may be empty.
        with_names: the rules are for the named objects alone.
    """
    lines = [*_comment(_preface(outcomes, context, with_names=with_names))]
    for role in roles or [WrittenRole("", ())]:
        lines += _role(role, name)
    return "\n".join(lines) + "\n"


def _preface(
    outcomes: Mapping[RequestOutcome, int], context: str, *, with_names: bool
) -> Iterator[str]:
    counted = _requests(outcomes.get(RequestOutcome.COUNTED, 0))
    where = f" in the context {context}" if context else ""
    yield f"Rules for what passed through kubelatch{where}: {counted}."
    yield (
        "kubelatch --allow-rules=FILE holds clients to them. In a cluster, kubectl apply -f FILE "
        "makes the roles; bind a ClusterRole with a ClusterRoleBinding, and each Role with a "
        "RoleBinding in its namespace, which has to exist."
    )
    if with_names:
        yield "What has resourceNames holds for the objects that were named, and no others."
    yield (
        "Rules that are worth more than they look are commented out. Read them first; this takes "
        f"them all: sed -E '{UNCOMMENT}' FILE"
    )
    left_out = [(outcome, outcomes[outcome]) for outcome in _LEFT_OUT if outcomes.get(outcome)]
    if left_out:
        yield "Not covered:"
        for outcome, number in left_out:
            most = f" ({MAX_PERMISSIONS:,})" if outcome is RequestOutcome.TOO_MANY else ""
            yield f"- {_requests(number)} {outcome.value}{most}"


def _requests(number: int) -> str:
    return f"{number:,} request{'' if number == 1 else 's'}"


def _comment(paragraphs: Iterator[str]) -> Iterator[str]:
    for text in paragraphs:
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent="# ", subsequent_indent="# ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


def _role(role: WrittenRole, name: str) -> Iterator[str]:
    yield "---"
    yield "apiVersion: rbac.authorization.k8s.io/v1"
    yield f"kind: {'Role' if role.namespace else 'ClusterRole'}"
    yield "metadata:"
    yield f"  name: {_scalar(name)}"
    if role.namespace:
        yield f"  namespace: {_scalar(role.namespace)}"
    yield "rules:" if role.rules else "rules: []"
    for rule in role.rules:
        yield from _rule(rule)


def _rule(rule: WrittenRule) -> Iterator[str]:
    if rule.danger:
        yield from (f"  {line}" for line in _comment(iter([f"Dangerous: {rule.danger}."])))
    for count in rule.counts:
        verbs = ", ".join(f"{verb} {number}" for verb, number in count.verbs)
        yield f"  # {count.what}: {verbs}"
    fields = (
        ("apiGroups", rule.groups),
        ("resources", rule.resources),
        ("resourceNames", rule.names),
        ("nonResourceURLs", rule.urls),
        ("verbs", rule.verbs),
    )
    lines = [line for key, values in fields if values for line in _list(key, values)]
    mark = "#" if rule.danger else ""
    for index, line in enumerate(lines):
        yield f"  {mark}{'  ' if index else '- '}{line}"


def _list(key: str, values: Sequence[str]) -> Iterator[str]:
    """A list in one line, or if that is too long, in one for each value."""
    scalars = [_scalar(value) for value in values]
    line = f"{key}: [{', '.join(scalars)}]"
    if len(line) <= _WIDTH - 5:
        yield line
        return
    yield f"{key}:"
    for scalar in scalars:
        yield f"- {scalar}"


def _scalar(text: str) -> str:
    """The text in YAML, in quotation marks where it could be read as something else."""
    if _PLAIN.fullmatch(text) and text not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
