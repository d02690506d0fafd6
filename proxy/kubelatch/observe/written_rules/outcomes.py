"""Which requests count: those that were asked and refused neither here nor by the API server's
authorizer, and that are about something that exists.

Pure. What an error response says is looked for in its bytes, whatever their format: a ``Status`` as
JSON, YAML or protobuf has its message in it as text.
"""

import re
from enum import Enum
from typing import Final

from ...gate.request_info import RequestInfo
from ...relay.record import Record
from ..access_log.request_view import RequestView


class RequestOutcome(Enum):
    """What became of a request; the value says so in the file."""

    COUNTED = "counted"
    REFUSED_HERE = "refused by kubelatch, or responded to by it"
    FORBIDDEN = "that the API server refused, for all that can be told"
    UNKNOWN = "for a resource, path or name that does not exist"
    NO_RESPONSE = "without a response"
    NO_RULE = "that no rule can name"
    ELSEWHERE = "to other contexts"
    TOO_MANY = "beyond the number of different permissions that are kept"


# apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage; in JSON with escaped
# quotation marks.
_DENIED: Final = re.compile(
    rb'User \\?"[^\n]{0,2000}? cannot [^ ]{1,1000} (?:resource|path) '
    # kubernetes/pkg/registry/rbac/validation, ConfirmNoEscalation
    rb"|attempting to grant RBAC permissions not currently held"
    # kubernetes/plugin/pkg/admission/certificates
    rb"|user not permitted to (?:approve|sign) requests"
)
# apimachinery/pkg/api/errors, NewGenericServerResponse, and Go's ServeMux.
_NO_SUCH_RESOURCE: Final = re.compile(
    rb"the server could not find the requested resource|\A\s*404 page not found"
)
_STATUS: Final = b"Status"
# What became of requests about which somebody was asked (``--ask``).
_NOT_SENT: Final = frozenset({"denied", "timeout", "withdrawn", "drained", "refused"})
# Seconds.
_REFUSED_WITHIN: Final = 2.0
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
# RFC 1123 subdomains, as most kinds are named (apimachinery/pkg/util/validation).
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
                          r"(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")  # fmt: skip
_RBAC: Final = "rbac.authorization.k8s.io"


def outcome_of(record: Record, view: RequestView) -> RequestOutcome:
    """What became of a request.

    Args:
        record: of it.
        view: the same, in the API server's terms.
    """
    status, info = record.status, view.info
    if not record.first_byte or not status:
        if record.rule or not record.method or record.answer in _NOT_SENT:
            return RequestOutcome.REFUSED_HERE
        if view.stream == "follow" and record.cause == "client-gone" and not status:
            # A log of which nothing came. Refusals come at once.
            waited = record.ended - record.started >= _REFUSED_WITHIN
            return RequestOutcome.COUNTED if waited else RequestOutcome.NO_RESPONSE
        return RequestOutcome.NO_RESPONSE
    if record.carrier is not None:
        return RequestOutcome.COUNTED
    if info.is_resource and info.namespace and not _NAMESPACE.fullmatch(info.namespace):
        return RequestOutcome.UNKNOWN
    if status < 400:
        return RequestOutcome.COUNTED
    return _of_error(record, info)


def _of_error(record: Record, info: RequestInfo) -> RequestOutcome:
    status, body = record.status, record.error_body
    if status == 401:
        return RequestOutcome.FORBIDDEN
    if status == 403:
        # Admission refuses with 403, too. What cannot be read is not taken for that.
        denied = not body or body[:2] == b"\x1f\x8b" or _DENIED.search(body)
        return RequestOutcome.FORBIDDEN if denied else RequestOutcome.COUNTED
    if status == 429 and info.subresource != "eviction":
        # Priority and fairness come before authorization (apiserver/pkg/server/config.go,
        # DefaultBuildHandlerChain); clients ask again.
        return RequestOutcome.NO_RESPONSE
    if not _is_possible(info):
        return RequestOutcome.UNKNOWN
    if status == 404 and info.subresource != "proxy":
        known = info.is_resource and _STATUS in body and not _NO_SUCH_RESOURCE.search(body)
        return RequestOutcome.COUNTED if known else RequestOutcome.UNKNOWN
    return RequestOutcome.COUNTED


def _is_possible(info: RequestInfo) -> bool:
    """Whether an object could have that name. Those of RBAC may have any path segment for one."""
    return not info.name or info.group == _RBAC or _NAME.fullmatch(info.name) is not None
