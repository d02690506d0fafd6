"""Nobody grants what he does not have: the checks on roles and bindings.

As k8s.io/kubernetes ``pkg/registry/rbac/validation`` and ``rbac/escalation_check.go``: each rule is
taken apart into single permissions, those that the user's own rules do not cover are named.
"""

import json
from collections.abc import Iterator

from . import rbac
from .authentication import User
from .resources import CLUSTER_ROLES, ROLES, Resource
from .status import Object, not_admitted, not_found
from .store import Store

_FIELDS = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


def check_role(
    store: Store, user: User, resource: Resource, obj: Object, old: Object | None
) -> None:
    """Raise StatusError 403 for a role that grants more than ``user`` has.

    The verb ``escalate`` on the role lifts that.
    """
    metadata = obj["metadata"]
    if old is not None and old.get("rules") == obj.get("rules"):
        return
    if not _may(store, user, "escalate", resource, metadata.get("namespace", ""), metadata["name"]):
        _check(store, user, resource, metadata, obj.get("rules") or [])


def check_binding(
    store: Store, user: User, resource: Resource, obj: Object, old: Object | None
) -> None:
    """Raise StatusError 403 for a binding to a role that grants more than ``user`` has.

    The verb ``bind`` on the role lifts that.

    Raises:
        StatusError: 403, or 404 without the role.
    """
    if old is not None and all(old.get(key) == obj.get(key) for key in ("subjects", "roleRef")):
        return
    metadata, role = obj["metadata"], obj["roleRef"]
    kind = CLUSTER_ROLES if role["kind"] == "ClusterRole" else ROLES
    if _may(store, user, "bind", kind, metadata.get("namespace", ""), role["name"]):
        return
    rules = rbac.role_rules(store, obj)
    if rules is None:
        raise not_found(kind, role["name"])
    _check(store, user, resource, metadata, rules)


def _may(
    store: Store, user: User, verb: str, resource: Resource, namespace: str, name: str
) -> bool:
    wanted = rbac.Attributes(
        verb=verb,
        group=resource.group,
        resource=resource.plural,
        namespace=namespace,
        name=name,
    )
    return rbac.is_allowed(store, user, wanted)


def _check(
    store: Store, user: User, resource: Resource, metadata: Object, rules: list[Object]
) -> None:
    namespace = metadata.get("namespace", "")
    owned = list(rbac.rules_for(store, user, namespace))
    missing = [
        part
        for rule in rules
        for part in _parts(rule)
        if not any(rbac.covers(own, _attributes(part)) for own in owned)
    ]
    if not missing:
        return
    groups = " ".join(json.dumps(group) for group in user.groups)
    text = (
        f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not '
        "currently held:\n" + "\n".join(sorted({_shown(part) for part in _compact(missing)}))
    )
    if lost := rbac.missing_roles(store, user, namespace):
        errors = " ".join(f'{resource.qualified} "{name}" not found' for name in lost)
        text += f"; resolution errors: [{errors}]"
    raise not_admitted(resource, metadata["name"], text)


def _parts(rule: Object) -> Iterator[Object]:
    """A rule as rules of one permission each."""
    verbs = rule.get("verbs") or []
    for group in rule.get("apiGroups") or []:
        for plural in rule.get("resources") or []:
            for verb in verbs:
                part = {"apiGroups": [group], "resources": [plural], "verbs": [verb]}
                for name in rule.get("resourceNames") or []:
                    yield part | {"resourceNames": [name]}
                if not rule.get("resourceNames"):
                    yield part
    for path in rule.get("nonResourceURLs") or []:
        for verb in verbs:
            yield {"nonResourceURLs": [path], "verbs": [verb]}


def _compact(parts: list[Object]) -> list[Object]:
    """Rules that differ in their verbs alone, as one."""
    found: dict[str, Object] = {}
    for part in parts:
        key = json.dumps({name: part.get(name) for _, name in _FIELDS if name != "verbs"})
        row = found.setdefault(key, part | {"verbs": []})
        row["verbs"] = row["verbs"] + [verb for verb in part["verbs"] if verb not in row["verbs"]]
    return list(found.values())


def _attributes(part: Object) -> rbac.Attributes:
    """A single permission, as a request that would need it."""
    verb = part["verbs"][0]
    if "nonResourceURLs" in part:
        return rbac.Attributes(verb=verb, path=part["nonResourceURLs"][0])
    plural, _, subresource = part["resources"][0].partition("/")
    return rbac.Attributes(
        verb=verb,
        group=part["apiGroups"][0],
        resource=plural,
        subresource=subresource,
        name=(part.get("resourceNames") or [""])[0],
    )


def _shown(rule: Object) -> str:
    fields = (
        f"{shown}:[{' '.join(json.dumps(value) for value in rule[name])}]"
        for shown, name in _FIELDS
        if rule.get(name)
    )
    return "{" + ", ".join(fields) + "}"
