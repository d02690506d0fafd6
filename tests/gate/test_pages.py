"""Where several clusters share an origin, no browser is shown a proxied application's page."""

import pytest

from kubelatch.gate import Allowed, Gate, GateSettings, Refusal

PAGE = "/clusters/a/api/v1/namespaces/shop/services/web:80/proxy/"
HOST = (b"Host", b"localhost")
NAVIGATE = (b"Sec-Fetch-Mode", b"navigate")
SAME = (b"Sec-Fetch-Site", b"same-origin")
HTML = (b"Accept", b"text/html,application/xhtml+xml,*/*;q=0.8")


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(GateSettings(api_prefix="/clusters/a/", shares_origin=True))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([NAVIGATE, (b"Sec-Fetch-Site", b"none")], id="typed"),
        pytest.param([NAVIGATE, SAME, (b"Sec-Fetch-Dest", b"iframe")], id="in a frame"),
        pytest.param([HTML], id="a browser that does not say"),
        pytest.param([(b"accept", b"TEXT/HTML")], id="in other letters"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        PAGE,
        PAGE + "app/index.html?a=b",
        "/clusters/a/api/v1/namespaces/shop/pods/web/proxy",
        "/clusters/a/api/v1/nodes/n/proxy/metrics",
        "/clusters/a/api/v1/proxy/namespaces/shop/services/web",
        "/clusters/a/api/v1/namespaces/shop/services/web/proxy//x",
    ],
)
def test_a_page_of_an_application_is_refused(
    gate: Gate, fields: list[tuple[bytes, bytes]], method: str, path: str
) -> None:
    decision = gate.decide(method, path, (HOST, *fields))
    assert isinstance(decision, Refusal)
    assert (decision.status, decision.rule) == (403, "proxied-page")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param(PAGE, [], id="curl"),
        pytest.param(PAGE, [(b"Accept", b"*/*")], id="curl that says so"),
        pytest.param(PAGE, [(b"Sec-Fetch-Mode", b"cors"), SAME, HTML], id="a script"),
        pytest.param("/clusters/a/api/v1/pods", [NAVIGATE, SAME, HTML], id="the API"),
        pytest.param("/clusters/a/", [NAVIGATE, SAME, HTML], id="the root"),
    ],
)
def test_what_is_no_page_passes(gate: Gate, path: str, fields: list[tuple[bytes, bytes]]) -> None:
    assert isinstance(gate.decide("GET", path, (HOST, *fields)), Allowed)


def test_with_one_cluster_pages_pass() -> None:
    gate = Gate(GateSettings())
    path = PAGE.removeprefix("/clusters/a")
    assert isinstance(gate.decide("GET", path, (HOST, NAVIGATE, SAME, HTML)), Allowed)


def test_a_context_that_can_only_be_read_says_what_lets_it_be_changed() -> None:
    gate = Gate(GateSettings(read_only="on", read_only_hint="--write-contexts=a"))
    decision = gate.decide("DELETE", "/api/v1/namespaces/shop", (HOST,))
    assert isinstance(decision, Refusal)
    assert (decision.rule, decision.hint) == ("read-only", "--write-contexts=a")
