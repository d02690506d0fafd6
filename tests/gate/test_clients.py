"""Who may ask at all: the user behind the connection, and the shared secret."""

import base64

import pytest

from kubelatch.gate import Allowed, Gate, GateSettings, Refusal, Static
from kubelatch.gate.clients import judge_user
from kubelatch.secret import Secret

HOST = (b"Host", b"localhost:8001")


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


def gate(**more: object) -> Gate:
    return Gate(GateSettings(client_token=Secret("s3cret"), www_prefix="/static/", **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"Bearer s3cret", id="bearer"),
        pytest.param(b"bearer  s3cret ", id="bearer, spaces and case"),
        pytest.param(basic("anyone:s3cret"), id="basic"),
        pytest.param(basic(":s3cret"), id="basic without a name"),
    ],
)
def test_the_secret_lets_a_client_in_and_goes_no_further(value: bytes) -> None:
    decision = gate().decide("GET", "/api", [HOST, (b"authorization", value)])
    assert isinstance(decision, Allowed)
    assert decision.strip == {b"authorization"}
    assert not decision.client_authorization


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="none"),
        pytest.param([(b"Authorization", b"")], id="empty"),
        pytest.param([(b"Authorization", b"Bearer")], id="no token"),
        pytest.param([(b"Authorization", b"Bearer s3cre")], id="shorter"),
        pytest.param([(b"Authorization", b"Bearer s3crets")], id="longer"),
        pytest.param([(b"Authorization", b"Bearer s3cret, Bearer s3cret")], id="twice in one"),
        pytest.param([(b"Authorization", b"Bearer s3cret")] * 2, id="twice"),
        pytest.param([(b"Authorization", basic("s3cret:"))], id="as the user name"),
        pytest.param([(b"Authorization", b"Basic !!!")], id="not base64"),
        pytest.param([(b"Authorization", b"Digest s3cret")], id="another scheme"),
        pytest.param([(b"Proxy-Authorization", b"Bearer s3cret")], id="another header"),
    ],
)
@pytest.mark.parametrize("target", ["/api", "/static/x", "/nowhere"])
def test_without_the_secret_nothing_is_served(
    lines: list[tuple[bytes, bytes]], target: str
) -> None:
    decision = gate(api_prefix="/api/").decide("GET", target, [HOST, *lines])
    assert isinstance(decision, Refusal)
    assert (decision.status, decision.rule) == (401, "client-token")
    assert dict(decision.headers)["WWW-Authenticate"].startswith("Basic ")
    assert "s3cret" not in repr(decision)


def test_the_secret_opens_static_files_too() -> None:
    lines = [HOST, (b"Authorization", b"Bearer s3cret")]
    assert isinstance(gate().decide("GET", "/static/x", lines), Static)


def test_a_preflight_of_an_origin_that_is_let_in_needs_no_secret() -> None:
    guest = gate(accept_origins=("http://localhost:3000",))
    lines = [
        HOST,
        (b"Origin", b"http://localhost:3000"),
        (b"Access-Control-Request-Method", b"GET"),
    ]
    answer = guest.decide("OPTIONS", "/api", lines)
    assert getattr(answer, "status", 0) == 204
    refused = guest.decide("GET", "/api", lines[:2])
    assert isinstance(refused, Refusal)
    assert dict(refused.headers)["Access-Control-Allow-Origin"] == "http://localhost:3000"


def test_a_preflight_without_an_origin_is_no_way_around() -> None:
    decision = gate().decide("OPTIONS", "/api", [HOST, (b"Access-Control-Request-Method", b"GET")])
    assert isinstance(decision, Refusal)


@pytest.mark.parametrize(
    ("uid", "passes"), [(1000, True), (1001, False), (0, False), (None, False)]
)
def test_only_the_users_named_may_connect(uid: int | None, passes: bool) -> None:
    refusal = judge_user(uid, frozenset({1000}))
    assert (refusal is None) is passes
    if refusal is not None:
        assert refusal.rule == "clients"
        assert "--clients" in refusal.hint
