"""Label and field selectors: text in, predicate out.

The grammar is that of k8s.io/apimachinery ``labels.Parse`` and ``fields.ParseSelector``.
"""

import re
from collections.abc import Callable
from typing import Any

from .resources import Resource
from .status import Object, bad_request

Predicate = Callable[[Object], bool]

_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^()]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)\s*$")
_EXISTENCE = re.compile(r"^\s*(!?)\s*([^\s=!(),]+)\s*$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")

_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source.component",
        "type",
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "replicasets": ("status.replicas",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
}
_FIELDS_OF_ALL = ("metadata.name", "metadata.namespace")


def label_predicate(text: str) -> Predicate:
    """The objects that a label selector selects.

    Raises:
        StatusError: 400 when the text is no selector.
    """
    if not text.strip():
        return lambda _: True
    tests = [_label_requirement(part) for part in _COMMA_OUTSIDE_PARENTHESES.split(text)]
    return lambda obj: _all_hold(tests, obj["metadata"].get("labels") or {})


def matches_labels(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` selects these labels; an empty one selects nothing here.

    An empty selector of a controller would select everything; the API server refuses it.
    """
    if not selector:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for row in selector.get("matchExpressions") or []:
        values, operator = row.get("values") or [], row["operator"]
        held = {
            "In": labels.get(row["key"]) in values,
            "NotIn": labels.get(row["key"]) not in values,
            "Exists": row["key"] in labels,
            "DoesNotExist": row["key"] not in labels,
        }.get(operator, False)
        if not held:
            return False
    return True


def field_predicate(text: str, resource: Resource) -> Predicate:
    """The objects that a field selector selects.

    Raises:
        StatusError: 400 for a text that is no selector, or a field that cannot be selected on.
    """
    tests: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        match = _EQUALITY.match(part)
        if match is None:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path, operator, value = match.groups()
        if path not in _FIELDS_OF_ALL and path not in _FIELDS.get(resource.plural, ()):
            raise bad_request(f"field label not supported: {path}")
        tests.append((path, operator != "!=", value))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in tests)


def _all_hold(tests: list[Predicate], labels: dict[str, str]) -> bool:
    return all(test(labels) for test in tests)


def _label_requirement(text: str) -> Predicate:
    if match := _SET.match(text):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.match(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTENCE.match(text):
        absent, key = match.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: {text.strip()!r} is not a label selector")


def _field(obj: Object, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(value)
