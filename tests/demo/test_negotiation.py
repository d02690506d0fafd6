"""In which form a response comes."""

import json

import pytest
import yaml

from kubelatch.demo import protobuf

from .support import Http

SETTINGS = "/api/v1/namespaces/shop/configmaps/settings"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("query", "headers", "pretty"),
    [
        ("", {"User-Agent": "curl/8.14.1"}, True),
        ("", {"User-Agent": "Wget/1.25.0"}, True),
        ("", {"User-Agent": "Mozilla/5.0 (X11)", "Accept": "text/html,*/*;q=0.8"}, True),
        ("", {"User-Agent": "kubectl/v1.36"}, False),
        ("?pretty=true", {}, True),
        ("?pretty=false", {"User-Agent": "curl/8.14.1"}, False),
        ("?pretty=yes", {"User-Agent": "curl/8.14.1"}, False),
        ("", {"Accept": "application/json;pretty=1"}, True),
    ],
)
async def test_json_is_pretty_for_people(
    http: Http, query: str, headers: dict[str, str], pretty: bool
) -> None:
    body = (await http("GET", SETTINGS + query, headers=headers)).body
    assert body.startswith(b'{\n  "kind": "ConfigMap"') is pretty
    assert body.endswith(b"\n") is not pretty
    assert json.loads(body)["data"] == {"currency": "EUR", "theme": "light"}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/yaml", "application/yaml"),
        ("application/yaml;q=0.5,application/json", "application/json"),
        (PROTOBUF, PROTOBUF),
        (f"text/html,{PROTOBUF};q=0.1", PROTOBUF),
    ],
)
async def test_accept_is_followed(http: Http, accept: str, media_type: str) -> None:
    answer = await http("GET", SETTINGS, headers={"Accept": accept})
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
    decode = {"application/yaml": yaml.safe_load, PROTOBUF: protobuf.decode}
    obj = decode.get(media_type, json.loads)(answer.body)
    assert obj == (await http("GET", SETTINGS)).json


async def test_what_protobuf_cannot_say_comes_as_json_or_not_at_all(http: Http) -> None:
    pods = "/api/v1/namespaces/shop/pods"
    either = await http("GET", pods, headers={"Accept": f"{PROTOBUF},application/json"})
    assert (either.status, either.headers["Content-Type"]) == (200, "application/json")
    assert (await http("GET", pods, headers={"Accept": PROTOBUF})).status == 406


@pytest.mark.parametrize("accept", ["text/plain", "application/*", "application/cbor"])
async def test_a_form_that_is_not_served_is_refused(http: Http, accept: str) -> None:
    refused = await http("GET", SETTINGS, headers={"Accept": accept})
    assert (refused.status, refused.json["reason"]) == (406, "NotAcceptable")


async def test_errors_come_in_the_form_that_was_asked_for(http: Http) -> None:
    path = "/api/v1/namespaces/shop/configmaps/none"
    answer = await http("GET", path, headers={"Accept": "application/yaml"})
    assert yaml.safe_load(answer.body)["code"] == answer.status == 404
    table = await http(
        "GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    )
    assert table.json["kind"] == "Status"
    assert table.body.startswith(b"{\n")


async def test_html_in_a_value_is_escaped_as_go_does(http: Http) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    made = await http("POST", path, {"metadata": {"name": "a"}, "data": {"x": "<b>&ü"}})
    assert '"x":"\\u003cb\\u003e\\u0026ü"'.encode() in made.body
    assert made.json["data"] == {"x": "<b>&ü"}
