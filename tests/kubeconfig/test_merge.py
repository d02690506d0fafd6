"""Merging: the first file wins, per name and whole; paths belong to the file they are in."""

import os
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.kubeconfig import MemoryFiles
from kubelatch.kubeconfig.merge import file_list, load_files

NAMES = st.sampled_from(["a", "b", "c"])
TOKENS = st.text("uvw", min_size=1, max_size=3)


def entries(inner: str, key: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """A list of entries with distinct names."""
    return st.dictionaries(NAMES, values, max_size=3).map(
        lambda found: [{"name": n, inner: {key: v}} for n, v in found.items()]
    )


KUBECONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "clusters": entries("cluster", "server", TOKENS),
        "users": entries("user", "token", TOKENS),
        "contexts": entries("context", "cluster", NAMES),
        "current-context": st.sampled_from(["", "a", "b"]),
    },
)


def load_all(configs: list[Any]) -> Any:
    contents = {f"/k{i}": yaml.safe_dump(config) for i, config in enumerate(configs)}
    environ = {"KUBECONFIG": os.pathsep.join(contents)}
    return load_files("", environ, MemoryFiles(contents))[0]


def tokens(merged: Any) -> dict[str, str]:
    return {name: user.token.reveal() for name, user in merged.users.items()}


@given(st.lists(KUBECONFIGS, min_size=1, max_size=4))
def test_the_first_file_that_has_a_name_decides_it(configs: list[Any]) -> None:
    expected: dict[str, str] = {}
    for config in configs:
        for entry in config.get("users", []):
            expected.setdefault(entry["name"], entry["user"]["token"])
    current = next((c["current-context"] for c in configs if c.get("current-context")), "")

    merged = load_all(configs)

    assert tokens(merged) == expected
    assert merged.current_context == current


@given(st.lists(KUBECONFIGS, min_size=2, max_size=4))
def test_merging_is_associative(configs: list[Any]) -> None:
    whole = load_all(configs)
    first, *rest = configs
    tail = load_all(rest)

    assert tokens(whole) == {**tokens(tail), **tokens(load_all([first]))}
    assert whole.clusters.keys() == {*load_all([first]).clusters, *tail.clusters}


@given(KUBECONFIGS, st.lists(KUBECONFIGS, max_size=3))
def test_a_later_file_never_overrides_the_first(config: Any, later: list[Any]) -> None:
    alone, merged = load_all([config]), load_all([config, *later])

    assert tokens(alone).items() <= tokens(merged).items()
    assert {n: c.server for n, c in alone.clusters.items()}.items() <= {
        n: c.server for n, c in merged.clusters.items()
    }.items()
    assert not alone.current_context or alone.current_context == merged.current_context


@given(st.text("ab./", min_size=1, max_size=8).filter(lambda path: not path.startswith("/")))
def test_a_relative_path_is_relative_to_its_file(path: str) -> None:
    config = {"users": [{"name": "u", "user": {"tokenFile": path}}]}
    files = MemoryFiles({"/home/x/.kube/config": yaml.safe_dump(config)})

    user = load_files("/home/x/.kube/config", {}, files)[0].users["u"]

    assert user.token_file == os.path.normpath(f"/home/x/.kube/{path}")


def test_the_list_skips_empty_elements_and_repetitions() -> None:
    assert file_list({"KUBECONFIG": "b::a:b:"}) == ("b", "a")


def test_an_empty_variable_means_the_home_file() -> None:
    assert file_list({"KUBECONFIG": "", "HOME": "/h"}) == ("/h/.kube/config",)


def test_all_broken_files_are_reported_together() -> None:
    import pytest

    from kubelatch.errors import ConfigError

    files = MemoryFiles({"/a": "[", "/b": "users: 1"})
    with pytest.raises(ConfigError) as caught:
        load_files("", {"KUBECONFIG": "/a:/b:/c"}, files)
    assert 'error loading config file "/a"' in caught.value.message
    assert 'error loading config file "/b"' in caught.value.message
