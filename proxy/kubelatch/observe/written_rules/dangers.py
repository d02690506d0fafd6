"""Permissions that are worth more than they look: they are written, but commented out.

Those of https://kubernetes.io/docs/concepts/security/rbac-good-practices/ that a rule names. Pure.
"""

from typing import Final

from .permissions import Permission

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CHANGES: Final = frozenset({"create", "update", "patch"})
_STREAMS: Final = {
    "pods/attach": "it talks to programs in containers",
    "pods/ephemeralcontainers": "it puts containers into running pods",
    "pods/exec": "it runs commands in containers, with what they may do",
    "pods/portforward": "it reaches every port of pods",
}
_PROXY: Final = "it reaches programs behind the API server, and by nodes all their pods"
_RBAC: Final = (
    "it shows or changes who may do what. Where more is granted than the account has itself, the "
    "API server also asks for the verb escalate on the role, or bind on the role of a binding"
)
_SIGNING: Final = (
    "it makes certificates for anybody. The API server also asks for the verb approve, or sign, on "
    "the signer (signers.certificates.k8s.io)"
)


def danger_of(permission: Permission) -> str:
    """Why a permission is dangerous, as the rest of a sentence; empty if it is not."""
    _, group, resource, verb, _, path = permission
    if path:
        internal = path in {"/logs", "/debug"} or path.startswith(("/logs/", "/debug/"))
        return "it reads the API server's own logs or memory" if internal else ""
    if verb == "impersonate":
        return "it acts as somebody else"
    if resource.endswith("/proxy") or verb == "proxy":
        return _PROXY
    return _of_core(resource, verb) if not group else _of_group(group, resource, verb)


def _of_core(resource: str, verb: str) -> str:
    plural = resource.partition("/")[0]
    if plural == "secrets":
        return "it shows or changes passwords, keys and tokens"
    if plural == "nodes":
        return "it shows or changes the machines"
    if resource == "serviceaccounts/token":
        return "it makes tokens of service accounts"
    if plural == "persistentvolumes" and verb in _CHANGES:
        return "it can make a node's files a volume"
    if plural == "namespaces" and verb in {"update", "patch"}:
        return "it can lift the Pod Security level of a namespace, by its labels"
    return _STREAMS.get(resource, "")


def _of_group(group: str, resource: str, verb: str) -> str:
    if group == "rbac.authorization.k8s.io":
        return _RBAC
    if group == "certificates.k8s.io" and (
        resource.startswith("signers")
        or (resource.partition("/")[2] in {"approval", "status"} and verb in _WRITES)
    ):
        return _SIGNING
    if group == "admissionregistration.k8s.io" and verb in _WRITES:
        return "it lets a program see and change all that is written, or switches a check off"
    if group == "apiregistration.k8s.io" and verb in _WRITES:
        return "it puts another server in an API's place"
    return ""
