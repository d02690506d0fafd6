"""Explains whether ``--allow-rules`` allows a request, as ``kubectl auth can-i`` does.

No cluster is queried: where kubectl would look a resource up, the table below is used, and a
resource that is not in it is taken as it is written.
"""

import json
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import UsageError
from .request_info import RequestInfo
from .rules import Rule, RuleSet, required


class _ResourceKind(NamedTuple):
    group: str
    resource: str
    namespaced: bool


# By group: resources with their short names (`kubectl api-resources`); cluster-scoped ones have a
# leading dash.
_BUILT_IN: Final = {
    "": "bindings configmaps,cm endpoints,ep events,ev limitranges,limits "
    "persistentvolumeclaims,pvc pods,po podtemplates replicationcontrollers,rc "
    "resourcequotas,quota secrets serviceaccounts,sa services,svc -componentstatuses,cs "
    "-namespaces,ns -nodes,no -persistentvolumes,pv",
    "admissionregistration.k8s.io": "-mutatingwebhookconfigurations "
    "-validatingadmissionpolicies -validatingadmissionpolicybindings "
    "-validatingwebhookconfigurations",
    "apiextensions.k8s.io": "-customresourcedefinitions,crd,crds",
    "apiregistration.k8s.io": "-apiservices",
    "apps": "controllerrevisions daemonsets,ds deployments,deploy replicasets,rs statefulsets,sts",
    "authentication.k8s.io": "-selfsubjectreviews -tokenreviews",
    "authorization.k8s.io": "localsubjectaccessreviews -selfsubjectaccessreviews "
    "-selfsubjectrulesreviews -subjectaccessreviews",
    "autoscaling": "horizontalpodautoscalers,hpa",
    "batch": "cronjobs,cj jobs",
    "certificates.k8s.io": "-certificatesigningrequests,csr",
    "coordination.k8s.io": "leases",
    "discovery.k8s.io": "endpointslices",
    "flowcontrol.apiserver.k8s.io": "-flowschemas -prioritylevelconfigurations",
    "networking.k8s.io": "ingresses,ing networkpolicies,netpol -ingressclasses",
    "node.k8s.io": "-runtimeclasses",
    "policy": "poddisruptionbudgets,pdb",
    "rbac.authorization.k8s.io": "rolebindings roles -clusterrolebindings -clusterroles",
    "scheduling.k8s.io": "-priorityclasses,pc",
    "storage.k8s.io": "csistoragecapacities -csidrivers -csinodes -storageclasses,sc "
    "-volumeattachments",
}


BUILT_IN_GROUPS: Final = frozenset(_BUILT_IN)
"""Those that every API server has itself."""


def _names() -> dict[str, _ResourceKind]:
    """The built-in resources by plural, singular and short name."""
    names: dict[str, _ResourceKind] = {}
    for group, resources in _BUILT_IN.items():
        for entry in resources.split():
            plural, *short = entry.removeprefix("-").split(",")
            kind = _ResourceKind(group, plural, not entry.startswith("-"))
            for name in (plural, _singular(plural), *short):
                names.setdefault(name, kind)
    return names


def _singular(plural: str) -> str:
    if plural.endswith("ies"):
        return plural.removesuffix("ies") + "y"
    return plural.removesuffix("es" if plural.endswith("sses") else "s")


def is_cluster_scoped(group: str, resource: str) -> bool:
    """Whether it is one of Kubernetes' own resources that are in no namespace."""
    return f"-{resource}" in [entry.partition(",")[0] for entry in _BUILT_IN.get(group, "").split()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Whether the rules allow one request, and why.

    Attributes:
        request: the request as the API server resolves it.
        allowed: whether it passes.
        steps: all that must be allowed, each with the rule that allows it, or None.
    """

    request: RequestInfo
    allowed: bool
    steps: tuple[tuple[RequestInfo, Rule | None], ...]

    def __str__(self) -> str:
        lines = ["yes" if self.allowed else "no"]
        for needed, rule in self.steps:
            verdict = f"allowed by {rule.source}" if rule else "no rule allows it"
            lines.append(f"  {describe(needed)}: {verdict}")
        return "\n".join(lines)


def explain(
    rules: RuleSet, verb: str, what: str, *, namespace: str = "default", subresource: str = ""
) -> Explanation:
    """Evaluate whether the rules allow a request, and which of them does.

    Args:
        rules: the rules.
        verb: a Kubernetes verb, or for a URL an HTTP method in lower case.
        what: ``RESOURCE``, ``RESOURCE/NAME`` or ``/non/resource/url``, as for ``kubectl auth
            can-i``; a resource may carry its group (``deployments.apps``) and be a short name.
        namespace: ignored for cluster-scoped resources; empty means all namespaces.
        subresource: such as ``log``.

    Raises:
        UsageError: ``what`` is empty or has too many parts.
    """
    request = _request(verb, what, namespace, subresource)
    steps = tuple((needed, rules.allowing(needed)) for needed in required(request))
    return Explanation(
        request=request, allowed=all(rule is not None for _, rule in steps), steps=steps
    )


def describe(info: RequestInfo) -> str:
    """A request as text, such as ``get pods/log "web-0" in namespace "dev"``. Names are quoted so
    that none can be taken for more than a name: those of RBAC may contain quotes."""
    if not info.is_resource:
        return f"{info.verb} {info.path}"
    text = f"{info.verb} {info.resource}"
    if info.group:
        text += f".{info.group}"
    if info.subresource:
        text += f"/{info.subresource}"
    if info.name:
        text += f" {json.dumps(info.name)}"
    return f"{text} in namespace {json.dumps(info.namespace)}" if info.namespace else text


def _request(verb: str, what: str, namespace: str, subresource: str) -> RequestInfo:
    if what.startswith("/"):
        return RequestInfo(False, verb, what)
    resource, _, name = what.partition("/")
    if not verb or not resource or "/" in name:
        raise UsageError(
            f"--can-i {verb} {what}: not VERB RESOURCE, VERB RESOURCE/NAME or VERB /URL",
            hint="a subresource goes into --subresource",
            cause="can-i",
        )
    kind = _kind(resource)
    if not kind.namespaced:
        # The API server takes a namespace object to be in the namespace of its name.
        namespace = name if kind == _ResourceKind("", "namespaces", False) else ""
    return RequestInfo(
        True,
        verb,
        "",
        group=kind.group,
        namespace=namespace,
        resource=kind.resource,
        subresource=subresource,
        name=name,
    )


def _kind(resource: str) -> _ResourceKind:
    """The resource that a name stands for (kubectl: schema.ParseResourceArg, then discovery)."""
    word, _, group = resource.lower().partition(".")
    known = _names()
    if not group:
        return known.get(word, _ResourceKind("", word, True))
    for kind in known.values():
        # `deployments.apps`, or with a version between: `deployments.v1.apps`.
        same_word = word in (kind.resource, _singular(kind.resource))
        if same_word and kind.group and f".{group}".endswith(f".{kind.group}"):
            return kind
    return _ResourceKind(group, word, True)
