"""Reviews: who a client is, what it may do, and whose token one is.

Nothing of them is stored. The same code decides that decides on requests.
"""

import json

from . import rbac
from .accounts import Tokens
from .authentication import User
from .ownership import Writer, recorded
from .resources import (
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    TOKEN_REVIEWS,
    Resource,
)
from .status import Object, bad_request, invalid_fields
from .store import Store

_ATTRIBUTES = ("verb", "group", "resource", "subresource", "namespace", "name")
_NEITHER = (
    "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be "
    "specified"
)


def review(
    store: Store,
    tokens: Tokens,
    resource: Resource,
    namespace: str,
    user: User,
    obj: Object,
    writer: Writer,
) -> Object:
    """The response to a review.

    Args:
        store: has the roles.
        tokens: know whose they are.
        resource: the kind of review.
        namespace: in which it was made; empty for one that is in none.
        user: who asks.
        obj: the review, as it was sent.
        writer: who sends it.

    Raises:
        StatusError: 400 or 422.
    """
    spec = obj.get("spec") or {}
    response: Object = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": obj.get("metadata") or {},
    }
    if resource == SELF_SUBJECT_REVIEWS:
        response["metadata"] = {"creationTimestamp": store.now()}
        return response | {"status": {"userInfo": user.as_object()}}
    if resource != SELF_SUBJECT_RULES_REVIEWS:
        response = recorded(resource, {}, response | {"spec": spec}, writer)
    if resource == TOKEN_REVIEWS:
        return response | {"spec": spec, "status": _token_status(tokens, spec)}
    if resource == SELF_SUBJECT_RULES_REVIEWS:
        if not spec.get("namespace"):
            raise bad_request("no namespace on request")
        return response | {"spec": {}, "status": _rules(store, user, spec["namespace"])}
    if resource != SELF_SUBJECT_ACCESS_REVIEWS:
        user = User(
            name=spec.get("user", ""),
            groups=tuple(spec.get("groups") or ()),
            uid=spec.get("uid", ""),
        )
    attributes = _asked(resource, namespace, spec)
    grant = rbac.grant(store, user, attributes)
    status: Object = {"allowed": grant is not None}
    if grant:
        status["reason"] = grant
    return response | {"spec": spec, "status": status}


def _token_status(tokens: Tokens, spec: Object) -> Object:
    found = tokens.review(spec.get("token", ""), spec.get("audiences"))
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    user, audiences = found
    return {"authenticated": True, "user": user.as_object(), "audiences": audiences}


def _rules(store: Store, user: User, namespace: str) -> Object:
    rules = [dict(rule) for rule in rbac.rules_for(store, user, namespace)]
    return {
        "resourceRules": [rule for rule in rules if "resources" in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _asked(resource: Resource, namespace: str, spec: Object) -> rbac.Attributes:
    path, asked = spec.get("nonResourceAttributes"), spec.get("resourceAttributes")
    problems = []
    if path is not None and asked is not None:
        shown = json.dumps(
            {"Path": path.get("path", ""), "Verb": path.get("verb", "")}, separators=(",", ":")
        )
        text = f"Invalid value: {shown}: cannot be specified in combination with resourceAttributes"
        problems.append(("spec.nonResourceAttributes", text))
    elif path is None and asked is None:
        problems.append(("spec.resourceAttributes", _NEITHER))
    if resource != SELF_SUBJECT_ACCESS_REVIEWS and not (spec.get("user") or spec.get("groups")):
        text = "at least one of user or group must be specified"
        problems.append(("spec.user", f'Invalid value: "": {text}'))
    if resource == LOCAL_SUBJECT_ACCESS_REVIEWS and asked is not None:
        given = asked.get("namespace", "")
        if given != namespace:
            text = f'Invalid value: "{given}": must match metadata.namespace'
            problems.append(("spec.resourceAttributes.namespace", text))
    if problems:
        raise invalid_fields(resource.group, "", "", problems)
    if path is not None:
        return rbac.Attributes(verb=path.get("verb", ""), path=path.get("path", "") or "/")
    given = asked or {}
    return rbac.Attributes(**{key: given.get(key) or "" for key in _ATTRIBUTES})
