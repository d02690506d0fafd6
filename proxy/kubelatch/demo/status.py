"""Errors with the API server's messages: ``metav1.Status``.

Each function here is one row of k8s.io/apimachinery ``api/errors``. Nothing in this module knows
of HTTP beyond the numeric code that a Status carries.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .resources import Resource

Object = dict[str, Any]
"""A Kubernetes object as JSON has it; once stored it is never changed in place."""


_CAUSES = {
    "Not found": "FieldValueNotFound",
    "Required value": "FieldValueRequired",
    "Duplicate value": "FieldValueDuplicate",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
}
"""What a problem begins with, and the reason of its cause (``field.ErrorType``)."""


NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
"""What is sent along by the filters before a request reaches its resource."""


class StatusError(Exception):
    """A request that ends in a Status of failure."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Object | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.headers = headers
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Object:
        """The Status object that goes over the wire."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status | {"code": self.code}


def success(details: Object | None = None) -> Object:
    """A Status of success, for a delete or the end of an exec."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status if details is None else status | {"details": details}


def _details(resource: Resource, name: str) -> Object:
    details: Object = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}


def bad_request(message: str) -> StatusError:
    """400: the request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: credentials were given, and are wrong."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(message: str, details: Object | None = None) -> StatusError:
    """403, worded by the caller."""
    return StatusError(403, "Forbidden", message, details if details is not None else {})


def not_admitted(
    resource: Resource, name: str, why: str, causes: Sequence[Object] = ()
) -> StatusError:
    """403 by admission."""
    details = _details(resource, name) | ({"causes": list(causes)} if causes else {})
    subject = f'{resource.qualified} "{name}"'
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def plain_error(message: str) -> StatusError:
    """500 for an error that has no reason of its own."""
    return StatusError(500, "", message)


def not_found(resource: Resource, name: str) -> StatusError:
    """404 for an object."""
    message = f'{resource.qualified} "{name}" not found'
    return StatusError(404, "NotFound", message, _details(resource, name))


def no_such_path() -> StatusError:
    """404 for a path under a known API group that names nothing."""
    message = "the server could not find the requested resource"
    return StatusError(404, "NotFound", message, {})


def no_such_page() -> StatusError:
    """404 for a path outside of every API group: plain text."""
    return StatusError(404, "", "404 page not found\n")


def method_not_allowed() -> StatusError:
    """405: the resource is there, the verb is not."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def not_acceptable(accepted: str) -> StatusError:
    """406: no representation that the client would take."""
    return StatusError(
        406, "NotAcceptable", f"only the following media types are accepted: {accepted}"
    )


def already_exists(resource: Resource, name: str) -> StatusError:
    """409 on create."""
    message = f'{resource.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    """409 on a write whose resourceVersion or uid is not the stored one."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(resource, name))


def expired(message: str) -> StatusError:
    """410: a resourceVersion or continue token from before the kept history."""
    return StatusError(410, "Expired", message)


def too_large(limit: int) -> StatusError:
    """413: a body beyond what the API server reads."""
    message = f"Request entity too large: limit is {limit}"
    return StatusError(413, "RequestEntityTooLarge", message)


def unsupported_media_type(accepted: str) -> StatusError:
    """415: a body in a format that is not spoken here."""
    message = (
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{accepted}"
    )
    return StatusError(415, "UnsupportedMediaType", message)


def invalid(resource: Resource, name: str, field: str, problem: str) -> StatusError:
    """422: the object breaks a rule; ``problem`` begins with the kind, e.g. ``Required value``."""
    return invalid_fields(resource.group, resource.kind, name, [(field, problem)])


def _cause(problem: str) -> str:
    if " in body must be of type " in problem:
        return "FieldValueTypeInvalid"
    return _CAUSES.get(problem.split(":", 1)[0], "FieldValueInvalid")


def invalid_fields(
    group: str, kind: str, name: str, problems: Sequence[tuple[str, str]]
) -> StatusError:
    """422 for fields and what is wrong with each, as :func:`invalid`.

    ``field.ErrorList.ToAggregate`` puts several between brackets and each text once.
    """
    causes = [
        {
            "reason": _cause(problem),
            "message": problem,
            "field": field,
        }
        for field, problem in problems
    ]
    details: Object = {"name": name} if name else {}
    details |= {"group": group} if group else {}
    details |= {"kind": kind} if kind else {}
    texts = list(dict.fromkeys(f"{field}: {problem}" for field, problem in problems))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {text}'
    return StatusError(422, "Invalid", message, details | {"causes": causes})


def internal(message: str) -> StatusError:
    """500: something that the API server depends on failed."""
    text = f"Internal error occurred: {message}"
    return StatusError(500, "InternalError", text, {"causes": [{"message": message}]})


def unavailable(message: str) -> StatusError:
    """503: no endpoint of a service is available."""
    return StatusError(503, "ServiceUnavailable", message)
