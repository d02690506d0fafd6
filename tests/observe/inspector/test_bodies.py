"""No value of a secret is kept, whatever it comes in."""

import gzip
import json
from typing import Any

import pytest

from kubelatch.gate.request_info import request_info
from kubelatch.observe.inspector import bodies

VALUE = "c3VwZXItc2VjcmV0"
SECRET = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {"name": "db", "labels": {"data": "kept"}},
    "data": {"password": VALUE},
    "stringData": {"user": VALUE},
}
POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}}
JWT = "eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJlcm5ldGVz.c2lnbmF0dXJl"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def parse(value: Any, kind: bytes = b"application/json") -> Any:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return bodies.parse(data, kind, b"", 65536)


def annotated(text: str) -> dict[str, Any]:
    return {**POD, "metadata": {"name": "web", "annotations": {APPLIED: text}}}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(SECRET, id="an object"),
        pytest.param({"kind": "List", "items": [POD, SECRET]}, id="a list of kinds"),
        pytest.param(
            {"kind": "SecretList", "items": [{"metadata": {"name": "db"}, "data": {"p": VALUE}}]},
            id="items without a kind",
        ),
        pytest.param(
            {"kind": "Table", "rows": [{"cells": ["db"], "object": SECRET}]}, id="a table"
        ),
        pytest.param({"type": "ADDED", "object": SECRET}, id="an event"),
        pytest.param(annotated(json.dumps(SECRET)), id="last-applied"),
        pytest.param(annotated(json.dumps(annotated(json.dumps(SECRET)))), id="applied twice"),
        pytest.param(annotated('{"kind":"Secret","data":{"p":"' + VALUE), id="cut last-applied"),
        pytest.param(annotated(json.dumps({"password": VALUE})), id="a password, applied"),
        pytest.param(
            annotated(json.dumps({"env": [{"name": "DB_PASSWORD", "value": VALUE}]})),
            id="a variable, applied",
        ),
        pytest.param({**SECRET, "data": VALUE}, id="data that is no map"),
        pytest.param({"data": {"p": VALUE}, "kind": "Secret"}, id="the kind comes last"),
        pytest.param({"status": {"token": VALUE}}, id="a token"),
        pytest.param({"env": [{"name": "DB_PASSWORD", "value": VALUE}]}, id="a variable"),
        pytest.param({"users": [{"user": {"client-key-data": VALUE}}]}, id="a kubeconfig"),
        pytest.param({"spec": {"clientSecret": VALUE}}, id="a field of that name"),
    ],
)
def test_no_value_of_a_secret_is_kept(value: Any) -> None:
    assert VALUE in json.dumps(value)
    assert VALUE not in json.dumps(parse(value))


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"Bearer {JWT}",
        "bEaReR abcdefgh",
        f"a: {KEY}",
        "https://user:pw@host/",
        "LS0tLS1CRUdJTiBSU0E=",
    ],
)
def test_texts_are_redacted_by_their_form(text: str) -> None:
    secrets = ("eyJ", "MIIE", "pw@", "LS0tLS1CRUdJTi", "abcdefgh")
    kept = json.dumps(parse({"data": {"x": text}}))
    assert [secret for secret in secrets if secret in kept] == []
    escaped = json.dumps({"x": text}).replace("e", "\\u0065").encode()
    kept = json.dumps(parse(escaped))
    assert [secret for secret in secrets if secret in kept] == []


def test_what_is_no_secret_is_kept_as_it_is() -> None:
    assert parse(POD) == POD
    assert parse({"data": {"key": "v"}, "kind": "ConfigMap"})["data"] == {"key": "v"}
    redacted = parse(SECRET)
    assert redacted["data"] == {"password": "***"}
    assert redacted["metadata"] == SECRET["metadata"]
    assert parse({"ca": "LS0tLS1CRUdJTiBDRVJU"}) == {"ca": "LS0tLS1CRUdJTiBDRVJU"}


def test_a_watch_is_a_list_of_events() -> None:
    lines = [json.dumps({"type": "ADDED", "object": each}).encode() for each in (POD, SECRET)]
    kept = parse(b"\n".join(lines) + b"\n")
    assert [event["object"]["metadata"]["name"] for event in kept] == ["web", "db"]
    assert VALUE not in json.dumps(kept)


def test_yaml_is_read_and_redacted() -> None:
    text = f"kind: Secret\ndata:\n  p: {VALUE}\n---\nkind: Pod\n"
    kept = parse(text.encode(), b"application/apply-patch+yaml")
    assert kept == [{"kind": "Secret", "data": {"p": "***"}}, {"kind": "Pod"}]
    merged = f"a: &s\n  p: {VALUE}\nb:\n  kind: Secret\n  data:\n    <<: *s\n"
    assert "p: " not in json.dumps(parse(merged.encode(), b"application/yaml")["b"])


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"k8s\0\n\x0c", b"application/vnd.kubernetes.protobuf", "protobuf is not kept"),
        (b"\xd9\xd9\xf7", b"application/cbor", "CBOR is not kept"),
        (b"a line\n", b"text/plain", "what is neither JSON nor YAML is not kept"),
        (b'{"a": 1', b"application/json", "it cannot be parsed"),
        (b'{"a": NaN}', b"application/json", "it cannot be parsed"),
        (b'{"a": "\xff"}', b"application/json", "it cannot be parsed"),
        (b"[" * 5000 + b"]" * 5000, b"application/json", "it cannot be parsed"),
        (b"[" * 80 + b"]" * 80, b"application/json", "it is nested too deeply"),
        (b"a: &a [x]\nb: &b [*a,*a]\n", b"application/yaml", ""),
    ],
)
def test_what_cannot_be_read_is_not_kept(data: bytes, kind: bytes, reason: str) -> None:
    if not reason:
        parse(data, kind)
        return
    with pytest.raises(bodies.NotKept, match=reason):
        parse(data, kind)


def test_aliases_that_expand_to_too_much_are_not_kept() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 9)]
    with pytest.raises(bodies.NotKept, match="cannot be parsed"):
        parse("\n".join(lines).encode(), b"application/yaml")


def test_gzip_is_read_up_to_the_limit() -> None:
    data = gzip.compress(json.dumps(POD).encode())
    assert bodies.parse(data, b"application/json", b"gzip", 1000) == POD
    bomb = gzip.compress(b'"' + b"x" * 10_000_000 + b'"')
    with pytest.raises(bodies.NotKept, match="too long"):
        bodies.parse(bomb, b"application/json", b"gzip", 65536)
    with pytest.raises(bodies.NotKept, match="compression"):
        bodies.parse(data[:20], b"application/json", b"gzip", 1000)
    with pytest.raises(bodies.NotKept, match="compression"):
        bodies.parse(data, b"application/json", b"br", 1000)
    # Of what the proxy has decompressed, the head still says what it was.
    assert bodies.parse(b"{}", b"application/json", b"gzip", 1000) == {}


@pytest.mark.parametrize(
    ("method", "path", "exempt"),
    [
        ("GET", "/api/v1/secrets", True),
        ("PATCH", "/api/v1/namespaces/shop/secrets/db", True),
        ("GET", "/api/v1/watch/namespaces/shop/secrets", True),
        ("POST", "/api/v1/namespaces/shop/serviceaccounts/web/token", True),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", True),
        ("GET", "/api/v1/namespaces/shop/services/web/proxy/", True),
        ("GET", "/api/v1/proxy/namespaces/shop/services/web", True),
        ("GET", "/api/v1/namespaces/shop/pods", False),
        ("GET", "/version", False),
    ],
)
def test_whole_bodies_that_are_secret_are_exempt(method: str, path: str, exempt: bool) -> None:
    assert bool(bodies.why_exempt(request_info(method, path))) is exempt


@pytest.mark.parametrize("key", sorted(bodies._SECRET_KEYS))
def test_every_key_that_means_a_secret_is_noticed(key: str) -> None:
    for spelled in (key, key.upper(), f"{key[0]}-{key[1:]}", f"{key[:-1]}_{key[-1]}"):
        assert VALUE not in json.dumps(parse({"spec": {spelled: VALUE}})), spelled


@pytest.mark.parametrize(
    "name",
    [
        "access-token",
        "SECRET_NAME",
        "passwd",
        "passphrase",
        "PWD",
        "credentials",
        "bearer",
        "Authorization",
        "Cookie",
        "jwt",
        "api_key",
        "apikey",
        "ACCESS-KEY",
        "private_key",
        "DSN",
        "connection-string",
    ],
)
def test_every_name_that_means_a_secret_is_noticed(name: str) -> None:
    assert VALUE not in json.dumps(parse({"env": [{"name": name, "value": VALUE}]}))
