"""YAML as go-yaml reads it, and errors that give the place but never the value."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.errors import ConfigError
from kubelatch.kubeconfig.decode import (
    DecodeError,
    Scalar,
    decode,
    decode_base64,
    decode_first,
    from_python,
    to_python,
)
from kubelatch.kubeconfig.entries import parse

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("text", ["y", "Yes", "on", "n", "No", "OFF", "true", "FALSE"])
def test_words_that_go_takes_for_booleans(text: str) -> None:
    assert decode(f"a: {text}".encode()) == {"a": Scalar("boolean", text)}


@pytest.mark.parametrize(
    "text",
    ["0", "12345", "-1", "+1", "0x1F", "0o17", "0b11", "1_000", "1.5", ".5", "1.", "1e3", "08",
     "-.inf", ".NaN", "1E-2"],
)  # fmt: skip
def test_texts_that_go_takes_for_numbers(text: str) -> None:
    assert decode(f"a: {text}".encode()) == {"a": Scalar("number", text)}


@pytest.mark.parametrize(
    "text",
    ["1:30", "2024-01-01", "2001-12-14t21:59:43.10-05:00", "=", "yEs", "1e", "0o9", "1-2", "tRUE",
     "nil", "0x", "k8s-aws-v1.abc", "._"],
)  # fmt: skip
def test_texts_that_go_takes_for_texts(text: str) -> None:
    assert decode(f"a: {text}".encode()) == {"a": text}


@pytest.mark.parametrize("text", ["", "~", "null", "NULL"])
def test_nothing(text: str) -> None:
    assert decode(f"a: {text}".encode()) == {"a": None}


@given(JSON_LIKE)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    assert to_python(decode(yaml.safe_dump(value, default_style='"').encode())) == value


@given(st.dictionaries(st.text(), JSON_LIKE, max_size=4))
def test_json_is_read_as_json(value: Any) -> None:
    import json

    assert to_python(decode(json.dumps(value).encode())) == value
    assert to_python(decode(json.dumps(value, indent="\t").encode("utf-8-sig"))) == value


def test_aliases_do_not_multiply_the_work() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 99))]
    assert isinstance(decode("\n".join(lines).encode()), dict)


def test_an_anchor_within_itself_is_an_error() -> None:
    with pytest.raises(DecodeError):
        decode(b"a: &a [*a]")


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    problem = "yaml: "
    try:
        decode(content)
    except DecodeError as error:
        problem = str(error)
    assert problem.startswith("yaml: ")


@given(st.binary())
def test_base64_with_line_breaks(data: bytes) -> None:
    import base64

    assert decode_base64(base64.encodebytes(data).decode()) == data
    assert decode_base64(base64.encodebytes(data).decode().replace("\n", "\r\n")) == data


@pytest.mark.parametrize("text", ["YQ", "YQ==!", "Y Q=", "YQ==\t", "-_==", "YQ=\n=x"])
def test_anything_else_is_no_base64(text: str) -> None:
    with pytest.raises(ValueError, match="illegal base64 data"):
        decode_base64(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [b", "yaml: line 2: did not find expected ',' or ']'"),
        ("a: {b: c", "yaml: line 2: did not find expected ',' or '}'"),
        ("- a\nb: c", "yaml: line 2: did not find expected '-' indicator"),
    ],
)
def test_the_message_has_what_libyaml_expected(text: str, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(text.encode())
    assert str(caught.value) == problem


@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_no_parser_quotes_a_text(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubelatch.kubeconfig.decode._Parser", getattr(yaml, parser))
    for text in (f"a: *{SECRET}", f"a: !{SECRET}!x y", f"%YAML {SECRET}\n--- a", f"a: &{SECRET}'"):
        with pytest.raises(DecodeError) as caught:
            decode(text.encode())
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 5000, "{a: " * 5000, '{"a": ' + "[" * 5000 + "]" * 5000 + "}"],
    ids=["sequences", "mappings", "JSON"],
)
def test_deep_nesting_is_an_error_and_no_crash(
    parser: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.kubeconfig.decode._Parser", getattr(yaml, parser))
    with pytest.raises(DecodeError, match=r"nest"):
        decode(text.encode())


def test_aliases_of_aliases_are_not_written_out() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 99))]
    with pytest.raises(DecodeError, match="excessive aliasing"):
        to_python(decode("\n".join(lines).encode()))


def test_what_stands_after_the_first_document_is_not_looked_at() -> None:
    assert decode_first(b"a: b\n--- : [ }}") == {"a": "b"}
    assert decode_first(b'{"a": "b"}\n}') == {"a": "b"}
    with pytest.raises(DecodeError):
        decode(b'{"a": "b"}\n}')


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(DecodeError):
        decode(b'{"a": "\\ud800"}')
    with pytest.raises(DecodeError):
        from_python({"a": "\ud800"})


SECRET = "hunter2hunter2"
USER = "users: [{name: me, user: {%s}}]"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (USER % f"token: [{SECRET}]", 'user "me".token must be a string: it holds a list'),
        (USER % f"client-key-data: '{SECRET}!'", 'user "me".client-key-data: illegal base64'),
        (USER % "tokenFile: 12", 'user "me".tokenFile must be a string: it holds a number'),
        (USER % f"as-groups: {SECRET}", 'user "me".as-groups must be a list: it holds a string'),
        (USER % f"exec: {SECRET}", 'user "me".exec must be a mapping: it holds a string'),
        (
            USER % f"exec: {{env: [{{name: 1, value: {SECRET}}}]}}",
            'user "me".exec.env[0].name must be a string: it holds a number',
        ),
        (
            USER % f"exec: {{args: [a, {{{SECRET}: b}}]}}",
            'user "me".exec.args[1] must be a string: it holds a mapping',
        ),
        (
            USER % f"auth-provider: {{config: {{id-token: [{SECRET}]}}}}",
            'user "me".auth-provider.config.id-token must be a string: it holds a list',
        ),
        (
            "clusters: [{name: c, cluster: {insecure-skip-tls-verify: 1}}]",
            'cluster "c".insecure-skip-tls-verify must be a boolean: it holds a number',
        ),
        (f"users: [{SECRET}]", "users[0] must be a mapping: it holds a string"),
        (
            f"users: [{{name: me, user: {{token: {SECRET}}}}}, {{name: me}}]",
            'duplicate name "me" in users',
        ),
        (f"users:\n- name: me\n  user: {{token: {SECRET}", "yaml: line"),
        (f'users: [{{name: "\\x", user: {SECRET}}}]', "yaml: line 1"),
        (f"a: *{SECRET[:3]}", "yaml: line 1"),
    ],
)
def test_an_error_names_file_entry_and_field_and_not_the_value(text: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "/k")
    assert caught.value.message.startswith('error loading config file "/k": ')
    assert place in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "text", ["token: 0123", "token: yes", "username: 1.50", "password: 1e3", "as: 007"]
)
def test_an_unquoted_value_is_taken_as_written(text: str) -> None:
    user = parse((USER % text).encode(), "/k").users["me"]
    key, _, value = text.partition(": ")
    found = {
        "token": user.token and user.token.reveal(),
        "username": user.username,
        "password": user.password and user.password.reveal(),
        "as": user.impersonation.user,
    }
    assert found[key] == value


def test_no_secret_shows_in_the_values() -> None:
    fields = ", ".join(
        [
            f"token: {SECRET}",
            f"password: {SECRET}",
            f"exec: {{args: [{SECRET}], env: [{{name: a, value: {SECRET}}}]}}",
            f"auth-provider: {{name: oidc, config: {{refresh-token: {SECRET}}}}}",
            "client-key-data: aHVudGVyMmh1bnRlcjI=",
        ]
    )
    assert SECRET not in repr(parse((USER % fields).encode(), "/k"))
