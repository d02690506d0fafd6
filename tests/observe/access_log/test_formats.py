"""How a record looks in each format."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.observe.access_log import (
    CombinedFormat,
    JsonFormat,
    LineFormat,
    RequestViews,
    TextFormat,
)

from .support import line, record


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        pytest.param(
            {},
            "2023-11-14T22:30:00.012Z 200    12ms   1.2k  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 upstream=10ms conn=reused cred=token "
            "client=127.0.0.1 ua=curl/8.5.0 audit=6f1c0a1e",
            id="ordinary",
        ),
        pytest.param(
            {"status": 403, "rule": "reject-paths", "first_byte": 0.0, "credential": "",
             "audit_id": b"", "sent": 400, "target": "/api/v1/namespaces/a/pods/b/exec?command=sh"},
            "2023-11-14T22:30:00.012Z 403    12ms    400  get pods/exec            "
            "GET /api/v1/namespaces/a/pods/b/exec?command=sh rule=reject-paths "
            "client=127.0.0.1 ua=curl/8.5.0",
            id="refused",
        ),
        pytest.param(
            {"status": 502, "cause": "refused", "first_byte": 0.0, "audit_id": b"", "headers": (),
             "client": "", "uid": 1000, "retries": 1, "received": 2_000_000, "sent": 0},
            "2023-11-14T22:30:00.012Z 502    12ms      0  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 cause=refused retries=1 in=2.0M "
            "cred=token client=unix uid=1000",
            id="failed, on a unix socket",
        ),
        pytest.param(
            {"reused": False, "connect_wait": 0.004, "credential_wait": 0.003, "audit_id": b""},
            "2023-11-14T22:30:00.012Z 200    12ms   1.2k  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 connect=4.0ms wait=3.0ms first=10ms "
            "upstream=3.0ms conn=new cred=token client=127.0.0.1 ua=curl/8.5.0",
            id="waited for",
        ),
        pytest.param(
            {"ended": 0.0, "status": 0, "first_byte": 0.0, "audit_id": b"", "credential": "",
             "target": "/api/v1/pods?watch=1"},
            "2023-11-14T22:30:00.000Z >>>                 watch pods               "
            "GET /api/v1/pods?watch=1 client=127.0.0.1 ua=curl/8.5.0",
            id="a watch that begins",
        ),
        pytest.param(
            {"status": 101, "protocol": "SPDY/3.1", "ended": 1724.0, "sent": 8_100_000,
             "audit_id": b"", "headers": ()},
            "2023-11-14T22:42:04.000Z 101  12m04s   8.1M  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 protocol=SPDY/3.1 upstream=10ms "
            "conn=reused cred=token client=127.0.0.1",
            id="tunnel",
        ),
        pytest.param(
            {"context": "prod", "audit_id": b""},
            "2023-11-14T22:30:00.012Z 200    12ms   1.2k  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 upstream=10ms conn=reused context=prod "
            "cred=token client=127.0.0.1 ua=curl/8.5.0",
            id="one of several contexts",
        ),
        pytest.param(
            {"asked": "read-only", "answer": "approved", "answered_by": "page", "audit_id": b"",
             "ask_wait": 0.004},
            "2023-11-14T22:30:00.012Z 200    12ms   1.2k  list pods                "
            "GET /api/v1/namespaces/shop/pods?limit=500 asked=read-only answer=approved by=page "
            "waited=4.0ms upstream=6.0ms conn=reused cred=token client=127.0.0.1 ua=curl/8.5.0",
            id="asked about",
        ),
        pytest.param(
            {"method": "", "target": "", "status": 400, "cause": "bad-request", "headers": (),
             "audit_id": b"", "first_byte": 0.0, "credential": ""},
            "2023-11-14T22:30:00.012Z 400    12ms   1.2k                           "
            "- - cause=bad-request client=127.0.0.1",
            id="could not be read",
        ),
    ],
)  # fmt: skip
def test_text(more: dict[str, Any], wanted: str) -> None:
    assert line(TextFormat(), record(**more)) == wanted


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0004, "0.4ms"), (0.0386, "39ms"), (2.14, "2.1s"), (59.94, "59.9s"),
     (724.4, "12m04s"), (0.00998, "10ms"),
     (0.9996, "1.0s"), (59.96, "1m00s"),
     (12_000, "3h20m")],
)  # fmt: skip
def test_text_durations_have_three_digits_or_so(seconds: float, shown: str) -> None:
    assert f" {shown} " in line(TextFormat(), record(ended=1000.0 + seconds, first_byte=0.0))


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (38_400, "38k"), (999_600, "1.0M"),
     (5_000_000_000_000, "5.0T")],
)  # fmt: skip
def test_text_sizes_are_decimal(count: int, shown: str) -> None:
    assert re.search(rf" {re.escape(shown)}  list", line(TextFormat(), record(sent=count)))


def test_json_of_a_whole_exchange() -> None:
    shown = record(
        credential_wait=0.001, connect_wait=0.002, reused=False, uid=0, retries=1, received=3
    )
    assert json.loads(line(JsonFormat(), shown)) == {
        "time": "2023-11-14T22:30:00.012Z",
        "event": "end",
        "client": "127.0.0.1",
        "uid": 0,
        "method": "GET",
        "target": "/api/v1/namespaces/shop/pods?limit=500",
        "verb": "list",
        "group": "",
        "version": "v1",
        "resource": "pods",
        "namespace": "shop",
        "user_agent": "curl/8.5.0",
        "status": 200,
        "received_bytes": 3,
        "sent_bytes": 1234,
        "duration_ms": 12.0,
        "first_byte_ms": 10.0,
        "upstream_ms": 7.0,
        "reused": False,
        "connect_ms": 2.0,
        "credential_wait_ms": 1.0,
        "retries": 1,
        "credential": "token",
        "audit_id": "6f1c0a1e",
    }


def test_every_key_of_json_is_documented_and_every_documented_key_is_one() -> None:
    everything = record(
        target="/apis/apps/v1/namespaces/a/deployments/b/scale",
        uid=1, received=1, credential_wait=1.0, connect_wait=1.0, retries=1, rule="r", cause="c",
        protocol="websocket", proto="h2", server=b"api.example:6443", context="prod",
        asked="read-only", answer="denied", answered_by="page", ask_wait=0.001,
    )  # fmt: skip
    manual = (Path(__file__).parents[3] / "docs" / "logging.md").read_text()
    table = manual.partition("| key | present |")[2].partition("\n\n")[0]
    keys = [
        key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split(" | ")[0])
    ]
    assert sorted(json.loads(line(JsonFormat(), everything))) == sorted(keys)


@pytest.mark.parametrize(
    ("target", "prefix", "wanted"),
    [
        pytest.param("/apis/apps/v1/namespaces/a/deployments/b/scale", "/",
                     {"verb": "get", "group": "apps", "version": "v1", "resource": "deployments",
                      "subresource": "scale", "namespace": "a", "name": "b"}, id="subresource"),
        pytest.param("/version?x=1", "/", {"verb": "get", "resource": None}, id="no resource"),
        pytest.param("/k8s/api/v1/nodes/n", "/k8s/", {"resource": "nodes", "name": "n"},
                     id="below a prefix"),
        pytest.param("/api/v1/nodes/n", "/k8s/", {"resource": None}, id="outside the prefix"),
        pytest.param("/api/v1/pods?watch=true", "/api/", {"verb": "watch"},
                     id="a prefix that is not stripped"),
        pytest.param("http://localhost:8001/api/v1/pods", "/", {"verb": "list"},
                     id="absolute form"),
        pytest.param("/api/v1/pods?fieldSelector=metadata.name%3Dx", "/", {"name": "x"},
                     id="name in a selector"),
        pytest.param("/api/v1/pods?limit=1&watch=0", "/", {"verb": "list"}, id="not a watch"),
        pytest.param("/api/../v1", "/", {"verb": "get", "resource": None}, id="not clean"),
    ],
)  # fmt: skip
def test_json_speaks_of_requests_as_the_api_server(
    target: str, prefix: str, wanted: dict[str, Any]
) -> None:
    parts = json.loads(line(JsonFormat(), record(target=target), prefix))
    assert {key: parts.get(key) for key in wanted} == wanted


FORMATS = [
    pytest.param(TextFormat(), id="text"),
    pytest.param(JsonFormat(), id="json"),
    pytest.param(CombinedFormat(), id="combined"),
]
# What a client can put into a request, as aiohttp hands it on: UTF-8 with surrogate escapes.
HOSTILE = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("form", FORMATS)
@given(target=HOSTILE, agent=st.binary(max_size=60), audit=st.binary(max_size=60))
def test_a_request_can_neither_forge_a_line_nor_steer_a_terminal(
    form: LineFormat, target: str, agent: bytes, audit: bytes
) -> None:
    parts = line(
        form,
        record(
            target=f"/api/v1/{target}",
            headers=((b"User-Agent", agent), (b"Referer", agent)),
            audit_id=audit,
        ),
    )
    assert parts.isprintable()
    parts.encode()
    if isinstance(form, JsonFormat):
        json.loads(parts)
        assert parts.isascii()


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        pytest.param(b"x rule=none", 'ua="x rule=none"', id="pair"),
        pytest.param(b'x" rule="none', 'ua="x\\" rule=\\"none"', id="quotes"),
        pytest.param(b'x\\" rule=none', 'ua="x\\\\\\" rule=none"', id="backslash before a quote"),
        pytest.param(b"x\ny", "ua=x\\x0ay", id="line end"),
    ],
)
def test_text_pairs_cannot_be_forged(agent: bytes, shown: str) -> None:
    parts = line(TextFormat(), record(headers=((b"User-Agent", agent),)))
    assert shown in parts


def test_a_resource_with_spaces_is_one_word_of_text() -> None:
    parts = line(TextFormat(), record(target="/api/v1/pods%20rule=none"))
    assert ' list "pods rule=none" ' in parts


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/" + "x" * 1_000_000, id="path"),
        pytest.param("/apis/g/v/" + "x" * 1_000_000, id="resource"),
        pytest.param("/apis/" + ("x" * 100_000 + "/") * 9, id="each part"),
        pytest.param("/api/v1/pods?fieldSelector=metadata.name%3D" + "x" * 900_000, id="selector"),
    ],
)
def test_long_requests_do_not_fill_the_disk(form: LineFormat, target: str) -> None:
    agent = b"y" * 500_000
    parts = line(
        form,
        record(
            target=target,
            headers=((b"User-Agent", agent), (b"Referer", agent)),
            audit_id=agent,
        ),
    )
    assert len(parts) < 9000
    assert "...(500000)" in parts


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/{}/pods/{}/{}",
        "/apis/{}/{}/{}",
        "/api/v1/pods?fieldSelector=metadata.name%3D{}",
    ],
)
def test_a_token_in_a_path_is_in_no_field_of_the_line(form: LineFormat, target: str) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"
    shown = record(target=target.format(token, token, token))
    assert RequestViews().read(shown).info.is_resource
    assert "eyJ" not in line(form, shown)
