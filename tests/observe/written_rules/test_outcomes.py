"""Which requests count, by what the demo, a real API server or nobody responds."""

import json
from typing import Any

import pytest

from kubelatch.observe.access_log.request_view import RequestViews
from kubelatch.observe.written_rules.outcomes import RequestOutcome, outcome_of
from kubelatch.relay.record import Record

from .support import request

PODS = "/api/v1/namespaces/shop/pods"


def status(message: str) -> str:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "message": message})


def changed(record: Record, **values: Any) -> Record:
    for name, value in values.items():
        setattr(record, name, value)
    return record


def of(record: Record) -> RequestOutcome:
    return outcome_of(record, RequestViews().read(record))


DENIALS = {
    "a resource": 'pods is forbidden: User "jane" cannot list resource "pods" in API group ""',
    "a path": 'forbidden: User "jane" cannot get path "/metrics"',
    "impersonation": 'users "x" is forbidden: User "jane" cannot impersonate resource "users" in',
    "constrained impersonation": 'nodes is forbidden: User "v" cannot impersonate-on:user-info:list'
    ' resource "nodes" in API group "" at the cluster scope',
    "escalation": 'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["g"]) is '
    "attempting to grant RBAC permissions not currently held:",
    "a certificate": 'certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not '
    'permitted to approve requests with signerName "x"',
}
ADMISSIONS = {
    "a quota": 'pods "a" is forbidden: exceeded quota: q, requested: pods=1',
    "Pod Security": 'pods "a" is forbidden: violates PodSecurity "restricted:latest"',
    "a webhook": 'admission webhook "x.example" denied the request: no',
    "a namespace that ends": 'pods "a" is forbidden: unable to create new content in namespace x '
    "because it is being terminated",
}


@pytest.mark.parametrize("message", DENIALS.values(), ids=DENIALS)
@pytest.mark.parametrize("form", ["json", "yaml", "protobuf"])
def test_what_authorization_refuses_does_not_count(message: str, form: str) -> None:
    body = {
        "json": status(message),
        "yaml": f"kind: Status\nmessage: '{message}'\n",
        "protobuf": f"k8s\0\n\f\n\x02v1\x12\x06Status\x12\x10{message}",
    }[form]
    assert of(request("GET", PODS, status=403, body=body)) is RequestOutcome.FORBIDDEN


@pytest.mark.parametrize("message", ADMISSIONS.values(), ids=ADMISSIONS)
def test_what_admission_refuses_counts(message: str) -> None:
    record = request("POST", PODS, status=403, body=status(message))
    assert of(record) is RequestOutcome.COUNTED


@pytest.mark.parametrize("body", ["", "\x1f\x8b\x08"])
def test_a_refusal_that_cannot_be_read_does_not_count(body: str) -> None:
    record = changed(request("GET", PODS, status=403), error_body=body.encode("latin-1"))
    assert of(record) is RequestOutcome.FORBIDDEN


@pytest.mark.parametrize(
    ("target", "body", "counts"),
    [
        (f"{PODS}/x", status('pods "x" not found'), True),
        (f"{PODS}/x/log", status('pods "x" not found'), True),
        (f"{PODS}/x", f"kind: Status\nmessage: pods {'x'} not found\n", True),
        (f"{PODS}/Foo_Bar", status('pods "Foo_Bar" not found'), False),
        (f"{PODS}/{'x' * 254}", status("not found"), False),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:x", status("not found"), True),
        ("/api/v1/nonsense", status("the server could not find the requested resource"), False),
        ("/api/v1/namespaces/shop/nonsense", "404 page not found\n", False),
        ("/api/v1/namespaces/shop/pods/x/nonsense", "404 page not found\n", False),
        (f"{PODS}/x", "", False),
        (f"{PODS}/x", "<html>not here</html>", False),
        ("/nonsense", "404 page not found\n", False),
        ("/version/x", status("the server could not find the requested resource"), False),
        ("/api/v1/namespaces/shop/services/web/proxy/x", "no such page", True),
    ],
)
def test_a_404_counts_if_what_was_asked_for_could_be_there(
    target: str, body: str, counts: bool
) -> None:
    record = request("GET", target, status=404, body=body)
    assert of(record) is (RequestOutcome.COUNTED if counts else RequestOutcome.UNKNOWN)


@pytest.mark.parametrize("namespace", ["Shop", "a.b", "a_b", "x" * 64, "-a", "%C3%A4"])
def test_a_namespace_that_cannot_be_does_not_count(namespace: str) -> None:
    """The API server responds with an empty list."""
    record = request("GET", f"/api/v1/namespaces/{namespace}/pods")
    assert of(record) is RequestOutcome.UNKNOWN


@pytest.mark.parametrize("code", [101, 200, 201, 304, 400, 405, 406, 409, 410, 415, 422, 500, 503])
def test_other_responses_of_the_api_server_count(code: int) -> None:
    assert of(request("GET", PODS, status=code, body="x")) is RequestOutcome.COUNTED


@pytest.mark.parametrize(
    ("code", "target", "outcome"),
    [
        (401, PODS, RequestOutcome.FORBIDDEN),
        (429, PODS, RequestOutcome.NO_RESPONSE),
        (429, f"{PODS}/x/eviction", RequestOutcome.COUNTED),
    ],
)
def test_what_was_not_authorized_does_not_count(
    code: int, target: str, outcome: RequestOutcome
) -> None:
    assert of(request("POST", target, status=code, body="x")) is outcome


def test_what_kubelatch_refused_or_responded_to_does_not_count() -> None:
    for rule, code in (("read-only", 403), ("www", 200), ("page", 200), ("redirect", 307)):
        record = changed(request("GET", PODS, status=code), rule=rule, first_byte=0.0)
        assert of(record) is RequestOutcome.REFUSED_HERE
    unreadable = Record("", "", "127.0.0.1", 1.0, status=400)
    assert of(unreadable) is RequestOutcome.REFUSED_HERE


@pytest.mark.parametrize("cause", ["client-gone", "refused", "response-timeout", "draining"])
def test_without_a_response_nobody_knows(cause: str) -> None:
    code = 0 if cause == "client-gone" else 502
    record = changed(request("GET", PODS, status=code), first_byte=0.0, cause=cause)
    assert of(record) is RequestOutcome.NO_RESPONSE


def test_a_log_that_said_nothing_until_its_client_left_counts() -> None:
    def quiet(**values: Any) -> Record:
        record = request("GET", f"{PODS}/x/log?follow=true", status=0)
        return changed(
            record, **{"first_byte": 0.0, "ended": 1002.0, "cause": "client-gone", **values}
        )

    assert of(quiet()) is RequestOutcome.COUNTED
    for other in (
        quiet(cause="refused"),
        quiet(ended=1001.9),
        quiet(target=f"{PODS}/x/log"),
        quiet(target=f"{PODS}/x/exec", protocol="websocket"),
    ):
        assert of(other) is RequestOutcome.NO_RESPONSE
