"""Aliases: what is made of names, and which contexts are served under which."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.errors import UsageError
from kubelatch.kubeconfig.aliases import (
    Selection,
    alias_of,
    assign,
    is_alias,
    parse_selection,
)

FORM = re.compile(r"[a-z0-9-]+")
ALL = Selection(all=True, named=())
NAMES = st.text(max_size=40)


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("arn:aws:eks:eu-west-1:123456789012:cluster/prod", "prod"),
        ("arn:aws-us-gov:eks:us-gov-west-1:123456789012:cluster/Prod_1", "prod-1"),
        ("gke_my-project_europe-west1-b_prod", "prod"),
        ("gke_my-project_europe-west1_prod-2", "prod-2"),
        ("connectgateway_my-project_global_prod", "connectgateway-my-project-global-prod"),
        ("kubernetes-admin@kubernetes", "kubernetes"),
        ("admin@prod.eu-west-1.eksctl.io", "prod"),
        ("me@example.com@prod.eu-west-1.eksctl.io", "prod"),
        ("me@example.com@staging", "staging"),
        ("prod-admin@prod", "prod"),
        ("kind-dev", "kind-dev"),
        ("k3d-dev", "k3d-dev"),
        ("minikube", "minikube"),
        ("docker-desktop", "docker-desktop"),
        ("prod-aks-admin", "prod-aks-admin"),
        ("do-fra1-prod", "do-fra1-prod"),
        ("teleport.example.com-prod", "teleport-example-com-prod"),
        ("shop/api-example-com:6443/kube:admin", "shop-api-example-com-6443-kube-admin"),
        ("https://api.example.com:6443", "https-api-example-com-6443"),
        ("vcluster_my_ns_kind-kind", "vcluster-my-ns-kind-kind"),
        ("a--b", "a-b"),
        ("PROD", "prod"),
        ("../../etc", "etc"),
        ("生产", ""),
        ("prod-生产", "prod"),
        ("生产@prod", "prod"),
        ("prod@生产", "prod"),
        ("...", ""),
        ("all", ""),
        ("x@all", "x-all"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_alias_is_the_clusters_own_name_where_the_form_is_known(name: str, alias: str) -> None:
    assert alias_of(name) == alias


@given(NAMES)
def test_an_alias_can_stand_in_a_path_and_in_a_host_name(name: str) -> None:
    alias = alias_of(name)
    assert alias == "" or (FORM.fullmatch(alias) and is_alias(alias) and alias_of(alias) == alias)
    assert "--" not in alias


@pytest.mark.parametrize(
    ("items", "selection"),
    [
        (("all",), ALL),
        (("a", "x=b"), Selection(False, (("", "a"), ("x", "b")))),
        (("all", "x=b"), Selection(True, (("x", "b"),))),
        (("x=all", "y=a=b"), Selection(False, (("x", "all"), ("y", "a=b")))),
    ],
)
def test_names_may_be_given_with_aliases(items: tuple[str, ...], selection: Selection) -> None:
    assert parse_selection(items) == selection


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (("X=a",), "an alias has a-z, 0-9 and dashes within"),
        (("-x=a",), "an alias has a-z, 0-9 and dashes within"),
        (("all=a",), 'an alias has a-z, 0-9 and dashes within, is not "all"'),
        (("x=",), "an alias has a-z, 0-9 and dashes within"),
        (("a=b=c", "a=d"), 'the alias "a" is given twice'),
        (("x=a", "y=a"), 'the context "a" is given twice'),
        (("a", "a"), 'the context "a" is given twice'),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(items: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        parse_selection(items)


def test_two_contexts_with_one_alias_are_named_and_neither_is_served() -> None:
    names = ["gke_a_zone_prod", "gke_b_zone_prod", "dev"]
    assert assign(ALL, names, "dev", {}) == (
        {"dev": "dev"},
        ['contexts "gke_a_zone_prod" and "gke_b_zone_prod" have the same alias, prod'],
    )
    # One that is named has the alias that it is given, and the other may have its own.
    selection = parse_selection(["all", "other=gke_b_zone_prod"])
    assert assign(selection, names, "dev", {}) == (
        {"dev": "dev", "prod": "gke_a_zone_prod", "other": "gke_b_zone_prod"},
        [],
    )


def test_a_given_alias_that_another_name_makes_is_a_collision_too() -> None:
    _, problems = assign(parse_selection(["all", "dev=x"]), ["dev", "x"], "dev", {})
    assert problems == ['contexts "x" and "dev" have the same alias, dev']


def test_a_name_that_makes_no_alias_needs_one() -> None:
    assert assign(ALL, ["生产"], "", {}) == ({}, ['context "生产" gives no alias'])
    assert assign(parse_selection(["all", "p=生产"]), ["生产"], "", {}) == ({"p": "生产"}, [])


def test_an_alias_never_comes_to_mean_another_context() -> None:
    first, second = "gke_a_zone_prod", "gke_b_zone_prod"
    bound = {"prod": first}
    # Both are there, or the first is gone: the alias is not the second's.
    assert assign(ALL, [first, second], "", bound)[0] == {"prod": first}
    assigned, problems = assign(ALL, [second], "", bound)
    assert assigned == {}
    assert problems == [f'contexts "{first}" and "{second}" have the same alias, prod']


def test_the_chosen_context_is_always_among_them() -> None:
    assert assign(parse_selection(["a"]), ["a", "b", "c"], "c", {}) == ({"a": "a", "c": "c"}, [])


@given(
    names=st.lists(st.sampled_from(["p", "P", "u@p", "gke_a_b_p", "q", "生", "u@q"]), unique=True),
    more=st.lists(st.sampled_from(["p", "v@p", "q", "r", "R", "s"]), unique=True),
)
def test_no_reload_changes_whose_an_alias_is(names: list[str], more: list[str]) -> None:
    bound, _ = assign(ALL, names, "", {})
    again, _ = assign(ALL, more, "", bound)
    assert all(bound.get(alias, name) == name for alias, name in again.items())
    # And no order matters.
    assert assign(ALL, names[::-1], "", {})[0] == bound
