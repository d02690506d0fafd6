"""Hosts, ports and IP addresses in text."""

import pytest

from kubelatch.config.addresses import join_host_port, parse_ip, reachable_host, split_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.test:443", "example.test", "443"),
        ("example.test", "example.test", ""),
        ("[::1]:443", "::1", "443"),
        ("[::1]", "::1", ""),
        ("::1", "::1", ""),
        (":443", "", "443"),
    ],
)
def test_an_address_is_split_at_its_port(text: str, host: str, port: str) -> None:
    assert split_host_port(text) == (host, port)
    if port:
        assert join_host_port(host, port) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", None),
        ("example.test", None),
        ("127.1", None),
        ("", None),
    ],
)
def test_an_ip_address_is_read_as_go_reads_it(text: str, address: str | None) -> None:
    found = parse_ip(text)
    assert (str(found) if found else None) == address


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_all_interfaces_are_reached_by_loopback(host: str) -> None:
    assert reachable_host(host) == "127.0.0.1"
    assert reachable_host("192.0.2.1") == "192.0.2.1"
