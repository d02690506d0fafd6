"""Identity headers: one identity goes upstream, never a mixture."""

import pytest

from .support import allowed, decide, refused

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
KINDS = pytest.mark.parametrize("more", [[], UPGRADE], ids=["plain", "upgrade"])


@KINDS
@pytest.mark.parametrize(
    "name",
    ["X-Remote-User", "x-remote-group", "X-Remote-Extra-Scopes", "X_Remote_User", "X-Remote_Uid"],
)
def test_x_remote_never_passes_in_any_spelling(name: str, more: list[tuple[str, str]]) -> None:
    decision = allowed(decide("GET", "/api", (name, "admin"), *more))
    assert decision.strip == {name.encode()}


@KINDS
@pytest.mark.parametrize(
    ("policy", "passes", "strip"),
    [("pass", True, set()), ("replace", False, {b"authorization"})],
)
def test_a_clients_authorization(
    policy: str, passes: bool, strip: set[bytes], more: list[tuple[str, str]]
) -> None:
    header = ("authorization", "Bearer client")
    decision = allowed(decide("GET", "/api", header, *more, client_auth=policy))
    assert decision.client_authorization == passes
    assert decision.strip == strip


@KINDS
def test_a_clients_authorization_can_be_refused(more: list[tuple[str, str]]) -> None:
    header = ("Authorization", "Bearer client")
    refusal = refused(decide("GET", "/api", header, *more, client_auth="refuse"), "client-auth")
    assert "client" not in refusal.message.replace("clients", "")


@pytest.mark.parametrize("policy", ["pass", "replace", "refuse"])
def test_an_empty_authorization_counts_as_none(policy: str) -> None:
    decision = allowed(decide("GET", "/api", ("Authorization", ""), client_auth=policy))
    assert not decision.client_authorization
    assert decision.strip == {b"Authorization"}


def test_two_authorizations_are_no_identity() -> None:
    headers = [("Authorization", "Bearer a"), ("authorization", "Bearer b")]
    refused(decide("GET", "/api", *headers), "client-auth", 400)


@pytest.mark.parametrize(
    ("policy", "refuses"), [("pass", False), ("replace", True), ("refuse", True)]
)
def test_a_token_among_websocket_protocols_is_a_credential_too(policy: str, refuses: bool) -> None:
    protocols = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4"
    header = ("Sec-WebSocket-Protocol", protocols)
    decision = decide("GET", "/api", header, *UPGRADE, client_auth=policy)
    if refuses:
        assert "dG9rZW4" not in repr(refused(decision, "client-auth"))
    else:
        allowed(decision)


IMPERSONATION = [
    "Impersonate-User",
    "impersonate-user",
    "IMPERSONATE-GROUP",
    "Impersonate-Uid",
    "Impersonate-Extra-Scopes",
    "Impersonate-Anything",
]


@KINDS
@pytest.mark.parametrize("name", IMPERSONATION)
def test_a_client_cannot_leave_the_configured_impersonation(
    name: str, more: list[tuple[str, str]]
) -> None:
    header = (name, "system:masters")
    refused(decide("GET", "/api", header, *more, impersonation_configured=True), "impersonation")
    assert allowed(decide("GET", "/api", header, *more)).strip == frozenset()


@pytest.mark.parametrize("name", ["Impersonate_User", "impersonate-extra_x", "IMPERSONATE_GROUP"])
@pytest.mark.parametrize("configured", [True, False])
def test_underscores_do_not_hide_impersonation(name: str, configured: bool) -> None:
    decision = decide("GET", "/api", (name, "admin"), impersonation_configured=configured)
    refused(decision, "impersonation")


def test_an_extra_key_may_have_underscores() -> None:
    allowed(decide("GET", "/api", ("Impersonate-Extra-my_key", "x")))
