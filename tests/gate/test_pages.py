"""Where an origin is shared with other clusters, or applications by name may lead a browser to it,
no browser is shown a proxied application's page."""

import pytest

from kubelatch.gate import Allowed, Gate, GateSettings, Refusal

PAGE = "/clusters/a/api/v1/namespaces/shop/services/web:80/proxy/"
HOST = (b"Host", b"localhost")
NAVIGATE = (b"Sec-Fetch-Mode", b"navigate")
SAME = (b"Sec-Fetch-Site", b"same-origin")
NONE = (b"Sec-Fetch-Site", b"none")
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


@pytest.mark.parametrize(
    ("fields", "flags", "passes"),
    [
        pytest.param([NAVIGATE, NONE], {}, False, id="typed, or redirected from there"),
        pytest.param([NAVIGATE, NONE, (b"Sec-Fetch-Dest", b"iframe")], {}, False, id="in a frame"),
        pytest.param([HTML], {}, False, id="a browser that does not say"),
        pytest.param([NAVIGATE, SAME], {}, True, id="a link of this origin's own page"),
        pytest.param([NAVIGATE, NONE, SAME], {}, False, id="both"),
        pytest.param([(b"Sec-Fetch-Mode", b"cors"), NONE], {}, True, id="no page"),
        pytest.param([], {}, True, id="curl"),
        pytest.param(
            [NAVIGATE, NONE],
            {"accept_navigation": ("^/api/v1/namespaces/shop/services/web:80/proxy/",)},
            True,
            id="a path that any page may link to",
        ),
        pytest.param([NAVIGATE, NONE], {"accept_navigation": ("/other/",)}, False, id="another"),
    ],
)
def test_an_application_by_name_leads_to_no_page_with_the_origin_of_the_api(
    fields: list[tuple[bytes, bytes]], flags: dict[str, tuple[str, ...]], passes: bool
) -> None:
    gate = Gate(GateSettings(serves_applications=True, **flags))  # type: ignore[arg-type]
    path = PAGE.removeprefix("/clusters/a")
    decision = gate.decide("GET", path, (HOST, *fields))
    assert isinstance(decision, Allowed if passes else Refusal)
    if isinstance(decision, Refusal):
        assert decision.rule == "proxied-page"
        assert "--service-hosts" in decision.message
    typed = gate.decide("GET", "/api/v1/namespaces/shop/pods", (HOST, *fields))
    assert isinstance(typed, Allowed)


def test_a_context_that_can_only_be_read_says_what_lets_it_be_changed() -> None:
    gate = Gate(GateSettings(read_only="on", read_only_hint="--write-contexts=a"))
    decision = gate.decide("DELETE", "/api/v1/namespaces/shop", (HOST,))
    assert isinstance(decision, Refusal)
    assert (decision.rule, decision.hint) == ("read-only", "--write-contexts=a")
