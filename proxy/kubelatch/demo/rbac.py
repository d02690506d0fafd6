"""Role-based access control, evaluated on the roles and bindings in the store.

A change of a binding is in force with the next request. Only ``system:masters`` stands above the
rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .authentication import User, account_name
from .resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from .status import NO_SNIFFING, Object, StatusError
from .store import Store

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked for: a resource, or a path when ``path`` is set."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def is_allowed(store: Store, user: User, attributes: Attributes) -> bool:
    """Whether ``user`` may do it."""
    return grant(store, user, attributes) is not None


def grant(store: Store, user: User, attributes: Attributes) -> str | None:
    """Why ``user`` may do it, as a SubjectAccessReview gives its reason; None if it may not."""
    if MASTERS in user.groups:
        return ""
    for binding, subject in _bindings(store, user, attributes.namespace):
        if any(covers(rule, attributes) for rule in role_rules(store, binding) or []):
            role = binding["roleRef"]
            return (
                f'RBAC: allowed by {binding["kind"]} "{_place(binding["metadata"])}" of '
                f'{role["kind"]} "{role["name"]}" to {subject["kind"]} "{_place(subject)}"'
            )
    return None


def refusal(user: User, attributes: Attributes) -> StatusError:
    """The 403 with the API server's message (apiserver ``responsewriters.Forbidden``)."""
    if attributes.path:
        message = f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return _refused(f"forbidden: {message}", {})
    message = (
        f'User "{user.name}" cannot {attributes.verb} resource "{attributes.full_resource}" '
        f'in API group "{attributes.group}" '
    )
    if attributes.namespace:
        message += f'in the namespace "{attributes.namespace}"'
    else:
        message += "at the cluster scope"
    kind = attributes.resource
    if attributes.group:
        kind += f".{attributes.group}"
    prefix = f'{kind} "{attributes.name}"' if attributes.name else kind
    details: Object = {"name": attributes.name} if attributes.name else {}
    if attributes.group:
        details["group"] = attributes.group
    details["kind"] = attributes.resource
    return _refused(f"{prefix} is forbidden: {message}", details)


def _refused(message: str, details: Object) -> StatusError:
    """403 with the header that RBAC's refusals have."""
    return StatusError(403, "Forbidden", message, details, NO_SNIFFING)


def rules_for(store: Store, user: User, namespace: str) -> Iterator[Object]:
    """Every rule that holds for ``user`` in ``namespace``."""
    for binding, _ in _bindings(store, user, namespace):
        yield from role_rules(store, binding) or []


def missing_roles(store: Store, user: User, namespace: str) -> list[str]:
    """The names of roles that are bound to ``user`` and are not there."""
    bindings = [binding for binding, _ in _bindings(store, user, namespace)]
    return [row["roleRef"]["name"] for row in bindings if role_rules(store, row) is None]


def role_rules(store: Store, binding: Object) -> list[Object] | None:
    """The rules of the role that a binding refers to; None if it is not there."""
    reference = binding["roleRef"]
    if reference["kind"] == "ClusterRole":
        role = store.get(CLUSTER_ROLES, "", reference["name"])
    else:
        role = store.get(ROLES, binding["metadata"].get("namespace", ""), reference["name"])
    return None if role is None else role.get("rules") or []


def _bindings(store: Store, user: User, namespace: str) -> Iterator[tuple[Object, Object]]:
    """The bindings that name ``user``, each with the first subject that does."""
    bindings = store.list(CLUSTER_ROLE_BINDINGS)
    if namespace:
        bindings = bindings + store.list(ROLE_BINDINGS, namespace)
    for binding in bindings:
        for subject in binding.get("subjects") or []:
            if _is_subject(subject, binding["metadata"].get("namespace", ""), user):
                yield binding, subject
                break


def _place(named: Object) -> str:
    """A name, and its namespace if it has one."""
    return f"{named['name']}/{named['namespace']}" if named.get("namespace") else str(named["name"])


def _is_subject(subject: Object, namespace: str, user: User) -> bool:
    """Whether a subject of a binding in ``namespace`` is ``user``."""
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return bool(home) and account_name(home, subject["name"]) == user.name
        case _:
            return False


def covers(rule: Object, attributes: Attributes) -> bool:
    """Whether a rule allows it."""
    if not _in(attributes.verb, rule.get("verbs")):
        return False
    if attributes.path:
        return any(_path_matches(row, attributes.path) for row in rule.get("nonResourceURLs") or [])
    resources = rule.get("resources") or []
    names = rule.get("resourceNames") or []
    return (
        _in(attributes.group, rule.get("apiGroups"))
        and (
            _in(attributes.full_resource, resources)
            or (bool(attributes.subresource) and f"*/{attributes.subresource}" in resources)
        )
        and (not names or attributes.name in names)
    )


def _in(value: str, allowed: list[str] | None) -> bool:
    return allowed is not None and ("*" in allowed or value in allowed)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))
