"""What is written, but commented out."""

import pytest

from kubelatch.observe.written_rules.dangers import danger_of

from .support import collect, gate, manifests, passes, request, uncommented, written

NS = "/api/v1/namespaces/shop"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DANGEROUS = {
    "secrets": ("GET", f"{NS}/secrets"),
    "one secret": ("GET", f"{NS}/secrets/x"),
    "watched secrets": ("GET", "/api/v1/secrets?watch=1"),
    "exec": ("POST", f"{NS}/pods/x/exec"),
    "attach": ("POST", f"{NS}/pods/x/attach"),
    "port-forward": ("POST", f"{NS}/pods/x/portforward"),
    "ephemeral containers": ("PATCH", f"{NS}/pods/x/ephemeralcontainers"),
    "a pod's proxy": ("GET", f"{NS}/pods/x/proxy/y"),
    "a service's proxy": ("GET", f"{NS}/services/x/proxy/y"),
    "a node's proxy": ("GET", "/api/v1/nodes/x/proxy/y"),
    "nodes": ("GET", "/api/v1/nodes"),
    "a node": ("PATCH", "/api/v1/nodes/x"),
    "roles": ("GET", f"{RBAC}/namespaces/shop/roles"),
    "a role": ("POST", f"{RBAC}/namespaces/shop/roles"),
    "a binding": ("PATCH", f"{RBAC}/clusterrolebindings/x"),
    "a service account's token": ("POST", f"{NS}/serviceaccounts/x/token"),
    "approval": ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval"),
    "a certificate": ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/status"),
    "a webhook": (
        "POST",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    ),
    "no webhook": (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/x",
    ),
    "a volume": ("POST", "/api/v1/persistentvolumes"),
    "an API service": ("PUT", "/apis/apiregistration.k8s.io/v1/apiservices/v1.x"),
    "a namespace's labels": ("PATCH", "/api/v1/namespaces/shop"),
    "the API server's log": ("GET", "/logs/kube-apiserver.log"),
    "its memory": ("GET", "/debug/pprof/heap"),
}
HARMLESS = {
    "pods": ("GET", f"{NS}/pods"),
    "a log": ("GET", f"{NS}/pods/x/log"),
    "a pod": ("POST", f"{NS}/pods"),
    "service accounts": ("GET", f"{NS}/serviceaccounts"),
    "a namespace": ("GET", "/api/v1/namespaces/shop"),
    "a new namespace": ("POST", "/api/v1/namespaces"),
    "volumes": ("GET", "/api/v1/persistentvolumes"),
    "webhooks": ("GET", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
    "a request for a certificate": (
        "POST",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    ),
    "metrics of nodes": ("GET", "/apis/metrics.k8s.io/v1beta1/nodes"),
    "discovery": ("GET", "/apis"),
    "secrets of somebody else": ("GET", "/apis/acme.com/v1/namespaces/shop/secrets"),
}


@pytest.mark.parametrize(("method", "target"), DANGEROUS.values(), ids=DANGEROUS)
def test_what_is_dangerous_is_written_but_does_not_hold(method: str, target: str) -> None:
    record = request(method, target)
    text = written(collect([record]))
    assert not passes(gate(manifests(text)), record)
    assert passes(gate(manifests(uncommented(text))), record)
    assert "\n  # Dangerous: it " in text


@pytest.mark.parametrize(("method", "target"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_not_holds(method: str, target: str) -> None:
    record = request(method, target)
    text = written(collect([record]))
    assert passes(gate(manifests(text)), record)
    assert "Dangerous" not in text


@pytest.mark.parametrize("field", ["Impersonate-User", "Impersonate-Group"])
def test_to_act_as_somebody_else_is_dangerous(field: str) -> None:
    records = [request("GET", f"{NS}/pods", (field, "jane"))]
    for names in (False, True):
        collector = collect(records, names=names)
        dangers = {permission.verb: danger_of(permission) for permission in collector.counts}
        assert dangers["impersonate"] == "it acts as somebody else"
        assert dangers["list"] == ""
