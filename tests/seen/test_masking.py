"""What may be shown of what peers send."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.masking import LONGEST, mask_field, mask_target, printable, shorten

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
    ],
)
def test_targets(target: str, shown: str) -> None:
    assert mask_target(target) == shown


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
    assert mask_field(name.encode(), value.encode()) == (name, shown)


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


def test_long_texts_are_cut_and_say_so() -> None:
    assert shorten("x" * LONGEST) == "x" * LONGEST
    assert shorten("x" * (LONGEST + 5)) == "x" * LONGEST + f"...({LONGEST + 5})"


SECRET_NAMES = st.sampled_from(["token", "access_token", "client-secret", "Password", "x-api-key"])
SECRETS = st.text(string.ascii_letters + string.digits + "-_~", min_size=8, max_size=40)
NOISE = st.text(string.ascii_letters + string.digits + "=&;%?/", max_size=40)


@given(name=SECRET_NAMES, secret=SECRETS, before=NOISE, after=NOISE)
def test_no_named_secret_survives_whatever_stands_around_it(
    name: str, secret: str, before: str, after: str
) -> None:
    marked = f"Sx{secret}xS"
    shown = mask_target(f"/p?{before}&{name}={marked}&{after}")
    assert marked not in shown


@given(st.text())
def test_printable_gives_one_visible_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
