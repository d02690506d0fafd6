"""Certificate signing requests: who asks, who approves, and the certificates that come of it.

Only ``kubernetes.io/kube-apiserver-client`` is signed here: client certificates for the API server.
Requests to other signers, and for other usages, are kept, and wait.
"""

import base64
import binascii

from cryptography import x509
from cryptography.x509.oid import NameOID

from . import rbac
from .authentication import User
from .certificates import Authority
from .rbac import MASTERS
from .resources import CERTIFICATE_SIGNING_REQUESTS as CSRS
from .status import Object, invalid_fields, not_admitted
from .store import Store

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_CLIENT_USAGES = frozenset({"client auth", "digital signature", "key encipherment"})
_MAX_SECONDS = 365 * 24 * 3600
_PEM_TYPE = b"-----BEGIN CERTIFICATE REQUEST-----"


def admit(store: Store, user: User, obj: Object, old: Object | None, subresource: str) -> Object:
    """A request as it may be stored: who made it is the server's to say, and it never changes.

    Raises:
        StatusError: 403 or 422.
    """
    obj = obj | {"metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
    if old is None:
        return _new(user, obj)
    spec, status = old["spec"], old.get("status") or {}
    given = obj.get("status") or {}
    if subresource:
        verb = "approve" if subresource == "approval" else "sign"
        _must_be_permitted(store, user, verb, old)
        before = {row["type"]: row for row in status.get("conditions") or []}
        now = store.now()
        conditions = [
            before[row["type"]]
            if row.get("type") in before
            else {"lastUpdateTime": now, "lastTransitionTime": now} | row
            for row in given.get("conditions") or []
        ]
        status = status | ({"conditions": conditions} if conditions else {})
        if subresource == "status" and "certificate" in given:
            status["certificate"] = given["certificate"]
    return obj | {"spec": spec, "status": status}


def sign_approved(store: Store, authority: Authority) -> None:
    """Put certificates into the requests that are approved and have none."""
    for obj in store.list(CSRS):
        spec, status = obj["spec"], obj.get("status") or {}
        types = {row["type"] for row in status.get("conditions") or []}
        wanted = spec.get("signerName") == CLIENT_SIGNER and "Approved" in types
        if not wanted or "certificate" in status or types & {"Denied", "Failed"}:
            continue
        if not {"client auth"} <= set(spec["usages"]) <= _CLIENT_USAGES:
            continue
        seconds = min(spec.get("expirationSeconds") or _MAX_SECONDS, _MAX_SECONDS)
        pem = authority.issue_for(_request(spec["request"]), seconds)
        status = status | {"certificate": base64.b64encode(pem.encode()).decode()}
        store.replace(CSRS, obj | {"status": status})


def _new(user: User, obj: Object) -> Object:
    name, spec = obj["metadata"]["name"], dict(obj.get("spec") or {})
    problems, request = [], None
    try:
        request = _request(spec.get("request", ""))
    except ValueError as error:
        problems.append(("spec.request", f'Invalid value: "{spec.get("request")}": {error}'))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        problems.append(("spec.expirationSeconds", f"Invalid value: {seconds}: {text}"))
    if problems or request is None:
        raise invalid_fields(CSRS.group, CSRS.kind, name, problems)
    groups = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if spec["signerName"] == CLIENT_SIGNER and any(row.value == MASTERS for row in groups):
        why = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
        raise not_admitted(CSRS, name, why)
    spec |= user.as_object()
    return obj | {"spec": spec, "status": {}}


def _request(text: str) -> x509.CertificateSigningRequest:
    """The PKCS #10 request in ``spec.request``.

    Raises:
        ValueError: it is none, worded as the API server does.
    """
    try:
        pem = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if not pem.lstrip().startswith(_PEM_TYPE):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    request = x509.load_pem_x509_csr(pem)
    if not request.is_signature_valid:
        raise ValueError("x509: signature of the request is not valid")
    return request


def _must_be_permitted(store: Store, user: User, verb: str, obj: Object) -> None:
    """The verbs ``approve`` and ``sign`` on the signer, or on all of its domain."""
    signer = obj["spec"].get("signerName", "")
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        wanted = rbac.Attributes(verb=verb, group=CSRS.group, resource="signers", name=name)
        if rbac.is_allowed(store, user, wanted):
            return
    why = f'user not permitted to {verb} requests with signerName "{signer}"'
    raise not_admitted(CSRS, obj["metadata"]["name"], why)
