"""The table of flags and what is made of it."""

import pytest

from kubelatch.config.flag_values import parse_body_size, parse_keep
from kubelatch.config.settings import FLAGS, Settings, from_values, parse
from kubelatch.errors import UsageError
from kubelatch.kubeconfig import Overrides
from kubelatch.secret import Secret


def test_every_flag_is_a_field_and_every_field_but_the_notes_a_flag() -> None:
    assert [flag.field for flag in FLAGS] == [*Settings.__annotations__][:-1]
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)


def test_settings_are_fixed_and_have_no_other_fields() -> None:
    settings = from_values(parse(["--port=1"], {}))
    with pytest.raises(AttributeError, match="cannot assign to 'port'"):
        settings.port = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot delete 'port'"):
        del settings.port
    with pytest.raises(TypeError, match="Settings has no prot"):
        Settings(prot=1)  # type: ignore[call-arg]
    other = settings.replaced(address="::1")
    assert (settings.address, other.address, other.port) == ("127.0.0.1", "::1", 1)
    with pytest.raises(TypeError, match="Settings has no prot"):
        other.replaced(prot=1)


def test_without_flags_the_settings_are_the_defaults_of_the_table() -> None:
    settings = from_values(parse([], {}))
    for flag in FLAGS:
        assert getattr(settings, flag.field) == flag.default, flag.name
    assert settings.overrides == Overrides(request_timeout="0")


def test_what_is_said_about_the_kubeconfig_reaches_it() -> None:
    arguments = ["--as=me", "--as-group=a", "--as-group=b", "--as-uid=7", "--as-user-extra=k=v",
                 "--context=c", "--token=t", "--no-in-cluster", "--exec-allow=x, y"]  # fmt: skip
    assert from_values(parse(arguments, {})).overrides == Overrides(
        impersonate_user="me",
        impersonate_groups=("a", "b"),
        impersonate_uid="7",
        impersonate_user_extra=("k=v",),
        context="c",
        token=Secret("t"),
        in_cluster=False,
        exec_allow=("x", "y"),
        request_timeout="0",
    )


def test_an_empty_secret_is_none() -> None:
    settings = from_values(parse(["--token=", "--password=", "--proxy-url="], {}))
    assert (settings.token, settings.password, settings.proxy_url) == (None, None, None)


def test_settings_do_not_show_secrets() -> None:
    secrets = [flag for flag in FLAGS if flag.secret]
    values = parse([f"--{flag.name}=s3cret" for flag in secrets], {})
    assert "s3cret" not in f"{values} {from_values(values)}"
    for flag in secrets:
        assert values[flag.field] == Secret("s3cret")


def test_the_inspector_has_an_address_of_its_own_if_none_is_given() -> None:
    def address(*arguments: str) -> str:
        return from_values(parse(arguments, {})).admin_address

    assert address("--inspect") == "127.0.0.1:8002"
    assert address("--inspect", "--admin-address=:9") == ":9"
    assert address() == ""
    for flag in ("--open", "--inspect-secret-file=x"):
        with pytest.raises(UsageError, match="has no effect without --inspect"):
            address(flag)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("500", (500, 32 << 20)),
        ("64MiB", (1000, 64 << 20)),
        ("500,64Mi", (500, 64 << 20)),
        ("0", None),
        ("100001", None),
        ("1k", None),
        ("1,64KiB", None),
    ],
)
def test_what_the_inspector_keeps(text: str, kept: tuple[int, int] | None) -> None:
    if kept is None:
        with pytest.raises(ValueError, match="must be"):
            parse_keep(text)
    else:
        assert parse_keep(text) == kept


def test_sizes_of_bodies() -> None:
    assert [parse_body_size(text) for text in ("off", "100", "64KiB", "1M")] == [
        0,
        100,
        65536,
        1 << 20,
    ]
    for text in ("2MiB", "x", "-1", "1.5K"):
        with pytest.raises(ValueError, match="must be"):
            parse_body_size(text)
