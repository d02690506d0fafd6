"""``--allow-rules``: RBAC rules, enforced as by the API server's authorizer.

The rules of ordinary Roles and ClusterRoles apply to every client of the proxy: a Role as if bound
in its own namespace, a ClusterRole as if bound in the whole cluster. A request that no rule allows
is refused. ``manifests.py`` reads the files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from .decision import Refusal, forbidden
from .head import Found
from .request_info import RequestInfo

# Since Kubernetes 1.35 a GET of these needs create, too, since a WebSocket is opened with GET
# (kubernetes/pkg/registry/core/pod/rest, ensureAuthorizedForVerb). It is authorized only when a
# request reaches them: another method gets 405 before, another path 404.
_CONNECTS: Final = frozenset({"exec", "attach", "portforward"})
_CONNECT_PATH: Final = re.compile(r"/+api/v1/namespaces/[^/]+/pods/[^/]+/[a-z]+/*")
_APPLY: Final = re.compile(rb"\s*application/apply-patch\+", re.IGNORECASE)
_DISCOVERY: Final = frozenset({"api", "apis", "openapi", "version"})
_HINT: Final = (
    "a rule in a file given with --allow-rules must allow it; "
    "kubelatch check --allow-rules=FILE --can-i VERB RESOURCE says whether one does"
)
_DISCOVERY_HINT: Final = (
    "kubectl asks for this first: a ClusterRole with nonResourceURLs "
    "[/api, /api/*, /apis, /apis/*, /version, /openapi/*] and verbs [get] allows it"
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# apiserver/pkg/authentication/serviceaccount/util.go, SplitUsername
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE_ACCOUNT: Final = re.compile(
    rf"system:serviceaccount:((?=[^:]{{1,63}}:){_LABEL}):((?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One ``PolicyRule`` of a Role or ClusterRole.

    Attributes:
        source: file, document, object and number of the rule, for messages.
        namespace: the only namespace it applies in; None for a ClusterRole's.
    """

    source: str
    namespace: str | None
    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()

    def allows(self, info: RequestInfo) -> bool:
        """Whether it allows the request (plugin/pkg/auth/authorizer/rbac/rbac.go, RuleAllows)."""
        if self.namespace is not None and self.namespace != info.namespace:
            return False
        if info.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not info.is_resource:
            return self._has_url(info.path)
        return (
            (info.group in self.groups or "*" in self.groups)
            and self._has_resource(info.resource, info.subresource)
            and (not self.names or info.name in self.names)
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        """pkg/apis/rbac/v1/evaluation_helpers.go, ResourceMatches."""
        if "*" in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def _has_url(self, path: str) -> bool:
        """pkg/apis/rbac/v1/evaluation_helpers.go, NonResourceURLMatches."""
        return any(
            url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))
            for url in self.urls
        )


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules in force.

    Attributes:
        rules: in the order of their files.
        warnings: for their author.
    """

    rules: tuple[Rule, ...]
    warnings: tuple[str, ...] = ()

    def allowing(self, info: RequestInfo) -> Rule | None:
        """The first rule that allows a request, or None."""
        for rule in self.rules:
            if rule.allows(info):
                return rule
        return None


def judge_rules(rules: RuleSet, info: RequestInfo, found: Found, method: str) -> Refusal | None:
    """Refuse a request that no rule allows, itself or an identity that it impersonates.

    Args:
        rules: those in force.
        info: the request as the API server resolves it.
        found: the request's fields.
        method: the request's.
    """
    for needed in all_required(info, found, method):
        if rules.allowing(needed) is None:
            return _refuse(needed)
    return None


def all_required(info: RequestInfo, found: Found, method: str) -> Iterator[RequestInfo]:
    """All that rules must allow for a request to pass, in the order in which it is asked for.

    Arguments as for :func:`judge_rules`.
    """
    if "impersonate" in found:
        yield from _impersonations(found)
    connects = method == "GET" and _CONNECT_PATH.fullmatch(info.path) is not None
    yield from required(info, connects=connects, creates=_may_create(info, found))


def required(
    info: RequestInfo, *, connects: bool = True, creates: bool = False
) -> tuple[RequestInfo, ...]:
    """All that must be allowed for a request to pass: itself, and sometimes a second verb.

    Args:
        info: the request.
        connects: it is a GET that reaches the subresource.
        creates: it may create the object.
    """
    if creates or (
        connects
        and info.verb == "get"
        and info.subresource in _CONNECTS
        and info.resource == "pods"
        and not info.group
    ):
        return info, info._replace(verb="create")
    return (info,)


def _may_create(info: RequestInfo, found: Found) -> bool:
    """Whether it is a server-side apply, which creates an object that does not exist.

    The API server then authorizes ``create``, too, for the proxy's own user. Here it is required
    always, since only the API server knows which objects exist
    (apiserver/pkg/endpoints/handlers/patch.go, createAuthorizerAttributes).
    """
    return (
        info.verb == "patch"
        and info.name != ""
        and not info.subresource
        and any(_APPLY.match(value) for _, value in found.get("content-type", ()))
    )


def _impersonations(found: Found) -> Iterator[RequestInfo]:
    """What the API server authorizes before a request may impersonate an identity.

    (apiserver/pkg/endpoints/filters/impersonation, buildImpersonationRequests)
    """
    for name, raw in found["impersonate"]:
        kind = name.decode("latin-1").lower().removeprefix("impersonate-")
        # Go trims these two alone (net/textproto, trim): any other space is part of the name.
        value = raw.strip(b" \t").decode("utf-8", "surrogateescape")
        if kind == "user" and value:
            account = _SERVICE_ACCOUNT.fullmatch(value)
            if account is not None:
                yield _impersonate("", "serviceaccounts", account[2], namespace=account[1])
            else:
                yield _impersonate("", "users", value)
        elif kind == "group":
            yield _impersonate("", "groups", value)
        elif kind == "uid" and value:
            yield _impersonate("authentication.k8s.io", "uids", value)
        elif kind.startswith("extra-"):
            key = kind.removeprefix("extra-")
            if not _BAD_ESCAPE.search(key):
                key = unquote(key, errors="surrogateescape")
            yield _impersonate("authentication.k8s.io", "userextras", value, subresource=key)


def _impersonate(
    group: str, resource: str, name: str, *, namespace: str = "", subresource: str = ""
) -> RequestInfo:
    return RequestInfo(
        True,
        "impersonate",
        "",
        group=group,
        namespace=namespace,
        resource=resource,
        subresource=subresource,
        name=name,
    )


def _refuse(info: RequestInfo) -> Refusal:
    hint = _HINT
    if not info.is_resource and info.path.split("/", 2)[1] in _DISCOVERY:
        hint = _DISCOVERY_HINT
    return forbidden("allow-rules", forbidden_message(info), hint, info)


def forbidden_message(info: RequestInfo) -> str:
    """The API server's message for a request that it does not authorize, with the proxy's reason.

    (apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage, inside
    apimachinery/pkg/api/errors, NewForbidden)
    """
    who, why = "a client of this proxy", "no rule of --allow-rules allows it"
    if not info.is_resource:
        return f'forbidden: {who} cannot {info.verb} path "{info.path}": {why}'
    subject = f"{info.resource}.{info.group}" if info.group else info.resource
    if info.name:
        subject += f' "{info.name}"'
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    return (
        f'{subject} is forbidden: {who} cannot {info.verb} resource "{resource}" '
        f'in API group "{info.group}" {where}: {why}'
    )
