"""What is risky about a request: shown first, so that it is not lost among a hundred lines.

It is a help for the eye and decides nothing. Fields are found by their name wherever they are, so
that those of custom resources that hold a pod's template are found too; what is not listed here is
not harmless for that.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ...gate.request_info import RequestInfo, query_values
from ...redact import printable
from .body import ReadBody

# Of one request that are shown.
_MOST: Final = 60
_LONGEST: Final = 200

# Fields that are shown whatever they hold.
_FIELDS: Final = frozenset(
    """
    image hostPath serviceAccountName serviceAccount roleRef subjects rules aggregationRule
    nodeName capabilities externalIPs externalName loadBalancerSourceRanges clientConfig webhooks
    automountServiceAccountToken procMount seLinuxOptions seccompProfile sysctls secretName
    secretRef secretKeyRef secret csi finalizers ownerReferences
    signerName usages taints unschedulable hostPort ephemeralContainers
    """.split()  # noqa: SIM905 -- lines that can be read at a glance
)
# Fields that are shown if they are true.
_SWITCHES: Final = frozenset(
    """
    privileged allowPrivilegeEscalation hostNetwork hostPID hostIPC hostProcess
    shareProcessNamespace orphanDependents
    """.split()  # noqa: SIM905 -- as above
)
# Fields that are shown if they are zero, or name root.
_ZERO: Final = frozenset({"runAsUser", "runAsGroup", "fsGroup", "gracePeriodSeconds"})
# Fields that are shown if they have one of these values.
_VALUES: Final = {
    "type": frozenset(
        {"LoadBalancer", "NodePort", "ExternalName", "kubernetes.io/service-account-token"}
    ),
    "propagationPolicy": frozenset({"Orphan"}),
}
# Directives of a strategic merge patch: what is said nothing of is deleted
# (apimachinery/pkg/util/strategicpatch/patch.go).
_DIRECTIVES: Final = ("$patch", "$retainKeys", "$deleteFromPrimitiveList/")
# A patch takes restrictions away with a null.
_REMOVED: Final = frozenset({"securityContext", "runAsNonRoot"})
_NAMED: Final = _FIELDS | _SWITCHES | _ZERO | _REMOVED | _VALUES.keys()

_CONNECTS: Final = {
    "exec": "runs a command in a container",
    "attach": "is connected to a running process",
    "portforward": "reaches every port of the pod",
    "proxy": "reaches an application; a GET may change something there",
}
_QUERY: Final = frozenset({"force", "propagationPolicy", "gracePeriodSeconds", "orphanDependents"})
_RBAC: Final = "rbac.authorization.k8s.io"


class Risk(NamedTuple):
    """One risky field.

    Attributes:
        field: where it is.
        value: what it holds, escaped and shortened.
    """

    field: str
    value: str


def risks_of_request(info: RequestInfo, query: str) -> Iterator[Risk]:
    """The risks that a request's target shows.

    Args:
        info: what it asks for.
        query: of its target.
    """
    subresource = "proxy" if info.verb == "proxy" else info.subresource
    if info.is_resource and subresource in _CONNECTS:
        yield Risk(subresource, _CONNECTS[subresource])
    if info.verb == "deletecollection":
        yield Risk("deletecollection", "deletes all objects that the selector matches")
    if info.verb == "delete" and info.resource in {"namespaces", "customresourcedefinitions"}:
        yield Risk("delete", "deletes all objects in it, too")
    if info.resource == "secrets" and not info.group:
        yield Risk("secrets", "holds passwords and tokens")
    if info.resource == "serviceaccounts" and info.subresource == "token":
        yield Risk("token", "makes a credential of this service account")
    if info.group == _RBAC:
        yield Risk(info.resource, "decides what users may do")
    if info.verb == "impersonate":
        yield Risk("impersonate", "acts as another user")
    for name, values in query_values(query, _QUERY).items():
        for value in values:
            # As kubectl sends it where nobody said --force-conflicts.
            if value != "false":
                yield Risk(f"?{name}", _short(value))


def risks_of_body(body: ReadBody) -> tuple[list[Risk], int]:
    """The risks that a body shows, and how many more there are."""
    risks = []
    if body.problem:
        risks.append(Risk("body", f"nothing is known of it ({body.size} bytes): {body.problem}"))
    if body.doubles:
        names = ", ".join(dict.fromkeys(map(_short, body.doubles[:5])))
        risks.append(
            Risk("body", f"it has the same key twice in one object ({names}): the API server may "
                 "read more than is shown")
        )  # fmt: skip
    left = 0
    for risk in _walk(body.shown, ""):
        if len(risks) < _MOST:
            risks.append(risk)
        else:
            left += 1
    return risks, left


def _walk(value: Any, path: str) -> Iterator[Risk]:
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _walk(item, f"{path}[{at}]")
    if not isinstance(value, dict):
        return
    operation = value.get("path")
    if isinstance(operation, str) and isinstance(value.get("op"), str):
        yield from _of_operation(value, operation)
    for key, item in value.items():
        where = f"{path}.{printable(key)}" if path else printable(key)
        if (key in _NAMED and _matters(key, item)) or key.startswith(_DIRECTIVES):
            yield Risk(_short(where), _short(item))
        yield from _walk(item, where)


def _of_operation(operation: dict[str, Any], path: str) -> Iterator[Risk]:
    """One operation of a JSON patch (RFC 6902): its path names the field."""
    names = {name for name in path.split("/") if not name.isdigit()}
    source = operation.get("from")
    if isinstance(source, str):
        # A copy or move: what it brings is in the object, and not in the patch.
        yield Risk(_short(path), f"{_short(operation['op'])} from {_short(source)}")
    elif names & _NAMED:
        yield Risk(_short(path), f"{_short(operation['op'])} {_short(operation.get('value'))}")


def _matters(key: str, value: Any) -> bool:
    if key in _REMOVED:
        return value in (None, False)
    if key in _SWITCHES:
        return value not in (False, None)
    if key in _ZERO:
        return bool(value == 0)
    if key in _VALUES:
        return isinstance(value, str) and value in _VALUES[key]
    # In a patch, a null or an empty list takes away what is there, such as finalizers.
    return value not in ("", {})


def _short(value: Any) -> str:
    """A value in one line, escaped; what is cut says how long it was."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(", ", ": "))
    size = len(text)
    text = printable(text[:_LONGEST])
    return text if size <= _LONGEST else f"{text}...({size})"
