"""Errors in the words of Go's standard library."""

import pytest

from kubelatch.demo import goerrors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a":', "unexpected end of JSON input"),
        ('{"a', "unexpected end of JSON input"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("tru1", "invalid character '1' in literal true (expecting 'e')"),
        ("apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        ('{"a": [1 2]}', "invalid character '2' after array element"),
        ('{"a": 1} x', "invalid character 'x' after top-level value"),
        ("\x9e", "invalid character '\\x9e' looking for beginning of value"),
    ],
)
def test_json_that_is_none_is_described_as_go_does(text: str, expected: str) -> None:
    assert goerrors.json_syntax(text.encode("latin-1")) == expected


@pytest.mark.parametrize("text", ["5", "+5", "-5"])
def test_numbers_are_numbers(text: str) -> None:
    assert goerrors.number(text) == ""


@pytest.mark.parametrize("text", ["", "abc", "1.5", "٣", "--1"])
def test_what_is_no_number_is_said_as_strconv_does(text: str) -> None:
    assert goerrors.number(text) == f'strconv.ParseInt: parsing "{text}": invalid syntax'
    assert "ParseUint" in goerrors.number("-1", signed=False)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:04:05.123456789+02:00", True),
        ("2026-13-02T03:04:05Z", False),
        ("2026-01-02", False),
        ("nope", False),
    ],
)
def test_times_are_those_of_rfc_3339(text: str, valid: bool) -> None:
    assert (goerrors.time(text) == "") is valid
