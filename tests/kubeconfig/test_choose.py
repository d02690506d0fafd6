"""A later load chooses the same context, and loads only its entries again."""

from typing import Any

import pytest
import yaml

from kubelatch.errors import ConfigError
from kubelatch.kubeconfig import Choice, ClientConfig, MemoryFiles, Overrides, load
from kubelatch.kubeconfig.changes import changes, same_access
from kubelatch.kubeconfig.in_cluster import CA_FILE, TOKEN_FILE

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
ACCOUNT = {TOKEN_FILE: "t", CA_FILE: "ca"}


def config(current: str = "a", **changed: Any) -> str:
    names = ("a", "b")
    value = {
        "clusters": [
            {"name": n, "cluster": {"server": f"https://{n}.test", **changed.get("cluster", {})}}
            for n in names
        ],
        "users": [{"name": n, "user": changed.get("user", {"token": n})} for n in names],
        "contexts": [
            {
                "name": n,
                "context": {"cluster": n, "user": n, "namespace": changed.get("namespace", "")},
            }
            for n in names
        ],
        "current-context": current,
    }
    return yaml.safe_dump(value)


def loaded(
    text: str | None,
    pinned: Choice | None = None,
    *,
    environ: dict[str, str] | None = None,
    overrides: Overrides | None = None,
) -> ClientConfig:
    files = {**ACCOUNT, **({"/k": text} if text is not None else {})}
    return load(
        overrides or Overrides(),
        environ={"KUBECONFIG": "/k", "KUBERC": "off", **(environ or {})},
        files=MemoryFiles(files),
        pinned=pinned,
    )


PINNED = Choice(source="kubeconfig", context="a")


def test_another_current_context_is_not_followed() -> None:
    found = loaded(config("b"), PINNED)
    assert (found.context, found.current_context) == ("a", "b")
    assert found.server.host == "a.test"


@pytest.mark.parametrize("text", ["", "current-context: b", "contexts: [{name: b}]"])
def test_a_context_that_is_gone_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match='context "a" does not exist'):
        loaded(text, PINNED)


def test_without_a_context_none_is_taken_later() -> None:
    overrides = Overrides(server="https://flag.test")
    before = loaded(config(""), overrides=overrides)
    pinned = Choice(source=before.source, context=before.context)
    found = loaded(config("b"), pinned, overrides=overrides)
    assert (found.context, found.user_name) == ("", "")


def test_a_pod_stays_with_its_service_account() -> None:
    pinned = Choice(source="in-cluster", context="")
    assert loaded(None, environ=POD).source == "in-cluster"
    found = loaded(config(), pinned, environ=POD)
    assert (found.source, found.server.host) == ("in-cluster", "10.0.0.1")


def test_a_kubeconfig_that_is_gone_is_not_replaced_by_the_service_account() -> None:
    with pytest.raises(ConfigError):
        loaded(None, PINNED, environ=POD)
    with pytest.raises(ConfigError):
        loaded(None, Choice(source="kubeconfig", context=""), environ=POD)


@pytest.mark.parametrize(
    "now",
    [
        config("b"),
        config(namespace="other"),
        "# a comment\n" + config(),
        config() + "extra: 1\n",
    ],
    ids=["another is current", "namespace", "comment", "unknown field"],
)
def test_what_makes_no_difference_is_none(now: str) -> None:
    before, after = loaded(config()), loaded(now, PINNED)
    assert same_access(before, after)
    assert changes(before, after) == ()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            {"cluster": {"server": "https://new.test"}},
            ("the server is https://new.test, not https://a.test any more",),
        ),
        ({"cluster": {"certificate-authority-data": "Y2E="}}, ("the CA",)),
        ({"cluster": {"insecure-skip-tls-verify": True}},
         ("the server is not verified any more",)),
        ({"cluster": {"tls-server-name": "x"}}, ("tls-server-name",)),
        ({"cluster": {"proxy-url": "http://me:hunter2@p"}}, ("proxy-url",)),
        ({"user": {"token": "hunter2"}}, ("the token",)),
        (
            {"user": {"username": "u", "password": "hunter2"}},
            ("the credential is a password, not a token any more",),
        ),
        ({"user": {"token": "a", "as": "bob"}}, ("the impersonated user",)),
    ],
)  # fmt: skip
def test_what_has_changed_is_named_without_secrets(
    now: dict[str, Any], said: tuple[str, ...]
) -> None:
    assert changes(loaded(config()), loaded(config(**now), PINNED)) == said
