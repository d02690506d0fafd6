"""What may be shown of what peers send."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.observe.access_log.redaction import (
    MAX_LENGTH,
    redact_field,
    redact_target,
    shorten,
    visible,
    visible_name,
    visible_target,
)
from kubelatch.redact import printable, scrub

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        pytest.param("/api/v1/pods", "/api/v1/pods", id="no query"),
        pytest.param("/a?limit=5&continue=abc", "/a?limit=5&continue=abc", id="no secret"),
        pytest.param("/a?token=x&b=1", "/a?token=***&b=1", id="token"),
        pytest.param("/a?ACCESS_TOKEN=x", "/a?ACCESS_TOKEN=***", id="any case"),
        pytest.param("/a?%74oken=x", "/a?%74oken=***", id="encoded name"),
        pytest.param("/a?to%6ben=x", "/a?to%6ben=***", id="encoded within"),
        pytest.param("/a?X-Amz-Signature=x", "/a?X-Amz-Signature=***", id="signature"),
        pytest.param("/a?api_key=x&apikey=y&key=z", "/a?api_key=***&apikey=***&key=***", id="keys"),
        pytest.param("/a?monkey=x", "/a?monkey=x", id="a monkey is no key"),
        pytest.param("/a?password=a=b", "/a?password=***", id="value with equals sign"),
        pytest.param("/a?token=", "/a?token=", id="empty value"),
        pytest.param("/a?token", "/a?token", id="name alone"),
        pytest.param("/a?a=1;token=x", "/a?a=***", id="semicolons hide no pair"),
        pytest.param("/a?next=%2Fb%3Ftoken%3Dx", "/a?next=***", id="URL within a value"),
        pytest.param(f"/a?id={JWT}", "/a?id=***", id="JWT by any name"),
        pytest.param(f"/a/{JWT}/b", "/a/***/b", id="JWT in the path"),
        pytest.param("/p/exec?command=sh", "/p/exec?command=sh", id="command"),
        pytest.param(
            "/p/exec?command=mysql&command=-psecret&stdin=true",
            "/p/exec?command=mysql&command=***&stdin=true",
            id="arguments of a command",
        ),
        pytest.param(
            "/p/exec?c%6fmmand=mysql&comm%61nd=-p",
            "/p/exec?c%6fmmand=mysql&comm%61nd=***",
            id="arguments with encoded names",
        ),
        pytest.param(
            "/a?labelSelector=token%3Dyes&fieldSelector=type%3Dsecret",
            "/a?labelSelector=token%3Dyes&fieldSelector=type%3Dsecret",
            id="selectors are no secrets",
        ),
        pytest.param("http://u:p@h:1/a?b=c", "http://***@h:1/a?b=c", id="password in a URL"),
        pytest.param("u:p@h:443", "***@h:443", id="password in what CONNECT asks for"),
        pytest.param("http:u:p@h/", "***@h/", id="password without slashes"),
        pytest.param("//u:p@h/a", "//***@h/a", id="password without a scheme"),
        pytest.param("/a?url=http://u:p@h/b", "/a?url=http://***@h/b", id="password in a value"),
        pytest.param("/a?url=http%3A%2F%2Fu%3Ap%40h%2F", "/a?url=***", id="encoded in a value"),
        pytest.param("/a?u=http%253A%252F%252Fu%253Ap%2540h", "/a?u=***", id="encoded twice"),
        pytest.param("/a?next=%252Fb%253Ftoken%253Dx", "/a?next=***", id="secret encoded twice"),
        pytest.param("/a?me@home=1", "/a?me@home=1", id="no password"),
        pytest.param("/a?token%3Dx", "/a?***", id="no equals sign but an encoded one"),
        pytest.param("/a?token%3Dx=1", "/a?***", id="an encoded one and another"),
        pytest.param('/a?q={"password":"x"}', "/a?q=***", id="JSON"),
        pytest.param("/a?q=%7B%22token%22%3A%20%22x%22%7D", "/a?q=***", id="encoded JSON"),
        pytest.param("/a#access_token=x", "/***", id="fragment"),
        pytest.param("/a;jsessionid=x/b?c=d", "/***/b?c=d", id="parameter of the path"),
        pytest.param("/a%3Ftoken%3Dx", "/***", id="query encoded in the path"),
        pytest.param("/a/b=c/d%20e", "/a/b=c/d%20e", id="path without secrets"),
        pytest.param(
            "/a?creds=x&ticket=y&code=z", "/a?creds=***&ticket=***&code=***", id="other names"
        ),
        pytest.param(f"/a?id={JWT.replace('.', '%2E')}", "/a?id=***", id="JWT with encoded dots"),
        pytest.param(f"/a?id=x%3D{JWT}", "/a?id=x%3D***", id="JWT behind an escape"),
        pytest.param(
            "/a?continue=eyJ2IjoibWV0YSJ9",
            "/a?continue=eyJ2IjoibWV0YSJ9",
            id="a page of a list is no JWT",
        ),
    ],
)
def test_targets(target: str, shown: str) -> None:
    assert redact_target(target) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        pytest.param("Authorization", "Bearer x", "***", id="authorization"),
        pytest.param("proxy-authorization", "Basic x", "***", id="proxy authorization"),
        pytest.param("Cookie", "a=b", "***", id="cookie"),
        pytest.param("Set-Cookie", "a=b", "***", id="set-cookie"),
        pytest.param("X-Vault-Token", "s.abc", "***", id="a field nobody knows"),
        pytest.param("Accept", "application/json", "application/json", id="harmless"),
        pytest.param("USER-AGENT", "curl/8", "curl/8", id="harmless in capitals"),
        pytest.param("User-Agent", f"x {JWT}", "x ***", id="JWT in a harmless one"),
        pytest.param("Warning", "299 - Bearer abc.def", "299 - Bearer ***", id="bearer in one"),
        pytest.param("Location", "https://x/?token=y", "https://x/?token=***", id="URL"),
        pytest.param("Origin", "http://u:p@h", "http://***@h", id="password in an origin"),
        pytest.param("Host", "u:p@h:1", "***@h:1", id="password in a host"),
        pytest.param("User-Agent", "x (http://u:p@h/)", "x (http://***@h/)", id="password in text"),
        pytest.param("Accept", "a" * 9000, "a" * MAX_LENGTH + "...(9000)", id="long"),
        pytest.param(
            "Sec-WebSocket-Protocol",
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0",
            "v5.channel.k8s.io, ***",
            id="token among subprotocols",
        ),
        pytest.param(
            "Sec-WebSocket-Protocol",
            "base64url.bearer.authorization.k8s.io.c2VjcmV0.k8s.io",
            "***",
            id="token that ends as a protocol",
        ),
    ],
)
def test_header_fields(name: str, value: str, shown: str) -> None:
    assert redact_field(name.encode(), value.encode()) == (name, shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain text/1.0", "plain text/1.0", id="plain"),
        pytest.param("größe 漢字", "größe 漢字", id="letters of any script"),
        pytest.param("a\r\nb\x1b[31m\x7f", "a\\x0d\\x0ab\\x1b[31m\\x7f", id="control"),
        pytest.param("a\x85b\x9b", "a\\x85b\\x9b", id="C1 control"),
        pytest.param("a\u2028b\u2029", "a\\u2028b\\u2029", id="line separators"),
        pytest.param("a\u202eb\u2066", "a\\u202eb\\u2066", id="direction of writing"),
        pytest.param("a\udcffb", "a\\xffb", id="a byte that is no UTF-8"),
        pytest.param("a\U000e0001", "a\\U000e0001", id="invisible tag"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("/a?x=" + "eyJ" * 350_000, id="beginnings of tokens"),
        pytest.param("/a?x=" + "eyJaaaaa." * 120_000, id="halves of tokens"),
        pytest.param("/a?x=%" + "token" * 200_000, id="names without values"),
        pytest.param("/a?" + "&" * 1_000_000, id="pairs"),
        pytest.param("/=" * 500_000, id="segments"),
        pytest.param("http://" + "a:" * 500_000, id="users without hosts"),
        pytest.param("/a?x=" + "%2F%2F" * 170_000, id="URLs in URLs"),
        pytest.param("/a?x=bearer" + " bearer" * 140_000, id="words"),
        pytest.param('/a?x=%"' + " " * 1_000_000, id="spaces"),
    ],
)
def test_a_megabyte_of_hostile_text_does_not_hold_up_the_proxy(hostile: str) -> None:
    """Each of these took minutes where a pattern looked at the rest from every beginning."""
    assert len(visible_target(hostile)) < MAX_LENGTH + 20
    assert len(visible(hostile.encode())) < MAX_LENGTH + 20
    visible_name(hostile)
    scrub(hostile)


@pytest.mark.parametrize("before", ["", "http://", "/a?url=http://"])
def test_a_password_longer_than_what_is_looked_at_is_masked(before: str) -> None:
    target = f"{before}user:{'p' * 20_000}@host/"
    assert "ppp" not in visible_target(target)
    assert "ppp" not in visible(f"x//{target}".encode())


def test_long_texts_are_cut_and_say_so() -> None:
    assert shorten("x" * MAX_LENGTH) == "x" * MAX_LENGTH
    assert shorten("x" * (MAX_LENGTH + 5)) == "x" * MAX_LENGTH + f"...({MAX_LENGTH + 5})"


SECRET_NAMES = st.sampled_from(["token", "access_token", "client-secret", "Password", "x-api-key"])
SECRETS = st.text(string.ascii_letters + string.digits + "-_~", min_size=8, max_size=40)
NOISE = st.text(string.ascii_letters + string.digits + "=&;%?/", max_size=40)


@given(name=SECRET_NAMES, secret=SECRETS, before=NOISE, after=NOISE)
def test_no_named_secret_survives_whatever_stands_around_it(
    name: str, secret: str, before: str, after: str
) -> None:
    marked = f"Sx{secret}xS"
    shown = redact_target(f"/p?{before}&{name}={marked}&{after}")
    assert marked not in shown


@given(secret=SECRETS, before=NOISE)
def test_no_password_of_a_url_survives(secret: str, before: str) -> None:
    marked = f"Sx{secret}xS"
    assert marked not in visible_target(f"/p?{before}&u=http://me:{marked}@h/")
    assert marked not in visible_target(f"me:{marked}@h:443")


@given(st.text())
def test_printable_gives_one_visible_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
