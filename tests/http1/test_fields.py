"""A head's fields, read once."""

from kubelatch.http1.fields import Fields, field_names
from kubelatch.http1.headers import connection_options, response_fields

PAIRS = [
    (b"Connection", b"close"),
    (b"X-One", b"1"),
    (b"Set-Cookie", b"a"),
    (b"connection", b"X-One, Set-Cookie2"),
    (b"set-cookie", b"b"),
]


def test_a_field_that_comes_twice_has_a_first_value_and_both() -> None:
    fields = Fields(PAIRS)
    assert fields.get(b"set-cookie") == b"a"
    assert fields.values(b"set-cookie") == [b"a", b"b"]
    assert fields.get(b"date") is None
    assert fields.values(b"date") == []


def test_each_connection_field_names_fields_to_drop() -> None:
    fields = Fields(PAIRS)
    assert connection_options(fields) == {b"close", b"x-one", b"set-cookie2"}
    hop_by_hop = frozenset({b"connection"})
    assert response_fields(fields, hop_by_hop) == [b"Set-Cookie: a", b"set-cookie: b"]


def test_less_than_two_fields_are_left_as_fields() -> None:
    fields = Fields(PAIRS[:2])
    assert list(fields.without(frozenset({b"connection"}))) == [PAIRS[1]]
    assert list(fields.without(frozenset({b"connection", b"x-one"}))) == []


def test_names_are_shared_by_heads_that_repeat_them_and_values_are_not() -> None:
    first, second = Fields(PAIRS), Fields([(name, b"other") for name, _ in PAIRS])
    assert first.names is second.names
    assert second.get(b"x-one") == b"other"
    assert Fields(PAIRS[::-1]).names is not first.names


def test_names_of_a_large_head_are_not_kept() -> None:
    pairs = [(b"X-%d" % number + b"y" * 100, b"") for number in range(30)]
    assert field_names(pairs) is not field_names(pairs)
