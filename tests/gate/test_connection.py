"""What may be named in Connection, and what must not be dropped by it."""

import pytest

from .support import allowed, decide, refused


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "cookie",
        "host",
        "content-length",
        "Content-Type",
        "transfer-encoding",
        "expect",
        "accept",
        "accept-encoding",
        "user-agent",
        "range",
        "if-match",
        "impersonate-user",
        "Impersonate-Extra-scopes",
        "impersonate_group",
        "x-remote-user",
        "X_Remote_Group",
        "x-forwarded-for",
        "x-forwarded-client-cert",
        "x-stream-protocol-version",
        "sec-websocket-protocol",
        "sec-fetch-site",
        "origin",
        "x-csrf-token",
        "cache-control",
        "authorization;a=b",
        "kubectl-session",
    ],
)
@pytest.mark.parametrize("form", ["{}", "close, {}", "keep-alive,{} ", "\t{}\t,x"])
def test_a_field_for_the_recipient_cannot_be_named_away(name: str, form: str) -> None:
    # Whether it is there or not, and in a second line as well.
    refused(decide("GET", "/api", ("Connection", form.format(name))), "connection", 400)
    twice = ("connection", "close"), ("CONNECTION", form.format(name))
    refused(decide("GET", "/api", *twice), "connection", 400)
    upgrade = ("Connection", f"Upgrade, {name}"), ("Upgrade", "websocket")
    refused(decide("GET", "/api", *upgrade), "connection", 400)


@pytest.mark.parametrize(
    "value",
    [
        "close",
        "keep-alive",
        "Keep-Alive, TE",
        "TE, close",
        "upgrade",
        "Upgrade, HTTP2-Settings",
        "keep-alive, proxy-connection",
        "keep-alive; timeout=5",
        "trailer",
        "x-something-between-us",
        "secret-hop",
        ",, ,",
        "",
        "\xff",
    ],
)
def test_what_is_the_connections_own_goes_on(value: str) -> None:
    allowed(decide("GET", "/api", ("Connection", value)))


def test_the_client_is_checked_before_the_request() -> None:
    named = ("Connection", "origin")
    refused(decide("GET", "/api", named, ("Origin", "http://evil.example")), "origin")
    refused(decide("GET", "/api", named, host="evil.example"), "accept-hosts")
