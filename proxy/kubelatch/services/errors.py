"""Why a service cannot be reached, for the client that asked for it."""

import json
from typing import Any, Final

from ..errors import ClientRequestError, CredentialError, KubelatchError

PERMISSIONS: Final = (
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
    # A WebSocket is opened with GET, for which Kubernetes before 1.35 requires get, and since then
    # create as well (KEP-4006).
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create", "get"]},
)
"""The rules of the Role that services by host name need."""


class NoSuchServiceError(KubelatchError):
    """There is no such service, or port of it, or context."""

    status = 404
    reason = "NotFound"
    default_cause = "service"


class UnsuitableServiceError(ClientRequestError):
    """The service is not one that port-forward can reach, or its port is not clear."""

    default_cause = "service"


class NoPodError(KubelatchError):
    """No pod of the service is ready, or none can be reached."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "no-pod"


class LostCredentialError(CredentialError):
    """The API server does not accept our credential: 503, since a 401 would be taken for the
    application's."""


class MissingPermissionError(KubelatchError):
    """The API server does not allow our user what services by host name need.

    Args:
        verb: what it does not allow.
        resource: the same.
        namespace: where; empty: in all.
        said: the API server's own message.
    """

    status = 403
    reason = "Forbidden"
    default_cause = "service-rbac"

    def __init__(self, verb: str, resource: str, namespace: str, said: str = "") -> None:
        where = f"in the namespace {namespace}" if namespace else "in all namespaces"
        why = f": {said}" if said else ""
        role: dict[str, Any] = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "kubelatch-services", "namespace": namespace},
            "rules": PERMISSIONS,
        }
        super().__init__(
            f"the API server does not let this proxy's user {verb} {resource} {where}{why}",
            hint=f"this Role allows it, bound to that user: {json.dumps(role)}"
            if namespace
            else "a ClusterRole that allows it, bound to that user, is needed for the list alone: "
            "a service's own name works without",
        )
