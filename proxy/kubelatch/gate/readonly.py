"""``--read-only``: allows only requests that change nothing.

Reads, reviews, and dry runs that the API server honours pass. ``exec`` and similar subresources are
refused although they may be a ``GET``, and so is ``proxy``, since a ``GET`` may change something in
the proxied application. Secrets cannot be read, since a bearer token in one would circumvent the
restriction; ``with-secrets`` allows it. An API below a path is judged as one: a gateway to many
clusters has it there (Rancher: ``/k8s/clusters/ID/api``).
"""

import re
from itertools import islice
from typing import Final

from .decision import Refusal, forbidden
from .head import Found, has_body
from .request_info import RequestInfo, query_values, request_info

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Handed to a Connecter (kubernetes/pkg/registry/core/{pod,service,node}/rest): no verb is safe.
_CONNECTS: Final = frozenset({"exec", "attach", "portforward", "proxy"})
# They store nothing (kubernetes/pkg/registry/{authorization,authentication}).
_REVIEWS: Final = frozenset(
    {
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
    }
)
# Subresources whose writes honour dryRun in the query. serviceaccounts/token does not, nor do the
# actions that some aggregated servers offer as subresources.
_DRY_RUNNABLE: Final = frozenset(
    {
        "",
        "approval",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "finalize",
        "resize",
        "scale",
        "status",
    }
)
_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Where an API may begin.
_API: Final = re.compile("(?<=.)/(?=api/v[0-9]|apis/[^/]+/v[0-9])")
_MAX_APIS: Final = 8
_HINT: Final = "the proxy was started with --read-only"


def judge_read_only(
    info: RequestInfo,
    found: Found,
    *,
    method: str,
    query: str,
    upgrade: str | None,
    secrets: bool,
) -> Refusal | None:
    """Refuse a request that may change something, or that reads a Secret.

    Args:
        info: the request as the API server resolves it.
        found: the request's fields.
        method: as sent.
        query: as sent.
        upgrade: the protocol to upgrade to, if any. Allowed for watches only, where the API server
            ignores what the client sends (apiserver/pkg/endpoints/handlers/watch.go).
        secrets: whether Secrets may be read.
    """
    below = [match.start() for match in islice(_API.finditer(info.path), _MAX_APIS + 1)]
    if len(below) > _MAX_APIS:
        return _refuse(info, "a path with so many APIs in it may mean anything")
    for each in (info, *(request_info(method, info.path[start:], query) for start in below)):
        refusal = _judge_one(
            each, found, method=method, query=query, upgrade=upgrade, secrets=secrets
        )
        if refusal is not None:
            return refusal
    return None


def _judge_one(
    info: RequestInfo, found: Found, *, method: str, query: str, upgrade: str | None, secrets: bool
) -> Refusal | None:
    if info.is_resource and (info.subresource in _CONNECTS or info.verb == "proxy"):
        return _refuse(info, f"{info.subresource or info.verb} is not a read")
    if upgrade is not None and (info.verb != "watch" or info.subresource):
        return _refuse(info, f"an upgrade to {upgrade} is not a read, except for a watch")
    if not secrets and info.resource == "secrets" and not info.group:
        return forbidden(
            "read-only",
            "Secrets cannot be read through this proxy",
            f"{_HINT}; --read-only=with-secrets lets them be read",
            info,
        )
    if method in _READS or _is_review(info, method):
        return None
    return _judge_dry_run(info, found, method, query)


def _is_review(info: RequestInfo, method: str) -> bool:
    return (
        method == "POST"
        and info.verb == "create"
        and not info.name
        and not info.subresource
        and (info.group, info.resource) in _REVIEWS
    )


_DRY_RUN: Final = frozenset({"dryRun"})


def _judge_dry_run(info: RequestInfo, found: Found, method: str, query: str) -> Refusal | None:
    """Refuse a write unless it is a dry run.

    A delete with a body takes its options from there and ignores the query
    (apiserver/pkg/endpoints/handlers/delete.go); the gate does not read bodies.
    """
    values = query_values(query, _DRY_RUN).get("dryRun", [])
    if not values or any(value != "All" for value in values):
        return _refuse(info, f"{method} may change something")
    if not info.is_resource or info.verb not in _WRITES or info.subresource not in _DRY_RUNNABLE:
        return _refuse(info, "the API server has no dry run of this request")
    if method == "DELETE" and has_body(found):
        return _refuse(
            info,
            "a delete with a body takes its options from there, and dryRun in the query is void",
        )
    return None


def _refuse(info: RequestInfo, why: str) -> Refusal:
    return forbidden("read-only", why, _HINT, info)
