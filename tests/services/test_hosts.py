"""Names of services: each label means one thing, and each service has one label."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kubelatch.services.hosts import (
    Hashed,
    HostError,
    ServiceName,
    host_of,
    is_valid,
    label_below_localhost,
    label_of,
    parse_label,
)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("web--shop--prod", ServiceName("web", "shop", "prod")),
        ("8080--web--shop--prod", ServiceName("web", "shop", "prod", "8080")),
        ("http--web--shop--prod", ServiceName("web", "shop", "prod", "http")),
        ("https--web--shop--prod", ServiceName("web", "shop", "prod", "https")),
        ("https--443--web--shop--prod", ServiceName("web", "shop", "prod", "443", https=True)),
        ("a-b--c-d--e-f", ServiceName("a-b", "c-d", "e-f")),
        ("8080--shop--prod", ServiceName("8080", "shop", "prod")),
    ],
)
def test_a_label_names_a_service(label: str, name: ServiceName) -> None:
    assert parse_label(label) == name
    assert host_of(name) == f"{label}.localhost"


@pytest.mark.parametrize(
    "label",
    [
        "web--shop",
        "--web--shop--prod",
        "web--shop--prod--",
        "web---shop--prod",
        "web----prod",
        "http--80--web--shop--prod",
        "https--https--80--web--shop--prod",
        "a--b--c--d--e--f",
        "080--web--shop--prod",
        "0--web--shop--prod",
        "65536--web--shop--prod",
        "xn--shop--prod",
        "-web--shop--prod",
        "web--shop--" + "p" * 60,
    ],
)
def test_an_ambiguous_label_is_refused(label: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_label(label)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("authority", "label"),
    [
        ("web--shop--prod.localhost:8001", "web--shop--prod"),
        ("WEB--shop--prod.LocalHost", "web--shop--prod"),
        ("web--shop--prod.localhost.:8001", "web--shop--prod"),
        ("apps.localhost:1", "apps"),
        ("web--shop.localhost", "web--shop"),
        ("localhost:8001", None),
        ("web.localhost", None),
        ("a.web--shop--prod.localhost", None),
        ("web--shop--prod.localhost.example", None),
        ("web--shop--prod", None),
        ("web--shop--prod.localhost:x", None),
        ("user@web--shop--prod.localhost", None),
        ("[::1]:8001", None),
        ("", None),
    ],
)
def test_hosts_below_localhost(authority: str, label: str | None) -> None:
    assert label_below_localhost(authority) == label


_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
_LONG = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
_SERVICES = st.builds(
    ServiceName,
    service=_NAMES | _LONG | st.just("xn"),
    namespace=_NAMES | _LONG,
    context=_NAMES | _LONG,
    port=st.just("") | _NAMES | st.integers(1, 65535).map(str),
    https=st.booleans(),
)


@given(_SERVICES)
def test_every_service_has_a_label_that_leads_back_to_it(name: ServiceName) -> None:
    assume(is_valid(name))
    label = label_of(name)
    assert len(label) <= 63
    assert label_below_localhost(f"{label}.localhost:8001") == label
    assert parse_label(label) in {name, Hashed(label)}


@given(_SERVICES, _SERVICES)
def test_two_services_never_share_a_label(one: ServiceName, other: ServiceName) -> None:
    assume(is_valid(one) and is_valid(other) and one != other)
    assert label_of(one) != label_of(other)


@given(st.text(alphabet="abx-08n", max_size=40))
def test_a_label_means_one_thing(label: str) -> None:
    try:
        name = parse_label(label)
    except HostError:
        return
    assert isinstance(name, Hashed) or label_of(name) == label
