"""Setting values in a kubeconfig's text without touching the rest."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.kubeconfig.decode import DecodeError
from kubelatch.kubeconfig.edit import set_provider_config

TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cc", "Cs"]), max_size=20)
KEYS = st.sampled_from(["id-token", "refresh-token", "client-id", "extra"])


def kubeconfig(config: dict[str, str]) -> dict[str, Any]:
    provider = {"name": "oidc", "config": config}
    return {
        "users": [
            {"name": "other", "user": {"auth-provider": provider}},
            {"name": "me", "user": {"auth-provider": provider, "as": "bob"}},
        ],
        "current-context": "é",
    }


@given(
    st.dictionaries(KEYS, TEXTS, min_size=1),
    st.dictionaries(KEYS, TEXTS, min_size=1),
    st.sampled_from([None, True, False]),
)
def test_only_the_named_keys_of_the_named_user_change(
    config: dict[str, str], values: dict[str, str], flow: bool | None
) -> None:
    dumper = yaml.SafeDumper
    before = kubeconfig(config)
    before["users"][0]["user"]["auth-provider"] = {"name": "oidc", "config": dict(config)}
    text = yaml.dump(before, Dumper=dumper, default_flow_style=flow, allow_unicode=True)

    after = yaml.safe_load(set_provider_config(text, "me", values))

    expected = kubeconfig({**config, **values})
    expected["users"][0]["user"]["auth-provider"]["config"] = config
    expected["users"][0] = before["users"][0]
    expected["users"][1]["user"]["auth-provider"] = {
        "name": "oidc",
        "config": {**config, **values},
    }
    assert after == expected


@pytest.mark.parametrize(
    "text",
    ["", "[", "users: []", "users: [{name: me}]", "users: [{name: me, user: {auth-provider: 1}}]"],
)
def test_a_file_that_changed_beyond_recognition_is_left_alone(text: str) -> None:
    with pytest.raises(DecodeError):
        set_provider_config(text, "me", {"id-token": "x"})
