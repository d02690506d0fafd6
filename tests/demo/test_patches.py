"""The three patch formats do what their specifications say."""

import copy
from typing import Any

import pytest

from kubelatch.demo import schemas
from kubelatch.demo.patches import JSON_PATCH, apply, json_patch, merge_patch, strategic_merge
from kubelatch.demo.status import StatusError


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        # RFC 7396, appendix A.
        pytest.param({"a": "b"}, {"a": "c"}, {"a": "c"}, id="replace"),
        pytest.param({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}, id="add"),
        pytest.param({"a": "b"}, {"a": None}, {}, id="remove"),
        pytest.param({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}, id="remove one"),
        pytest.param({"a": ["b"]}, {"a": "c"}, {"a": "c"}, id="list by string"),
        pytest.param({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}, id="string by list"),
        pytest.param(
            {"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}, id="nested"
        ),
        pytest.param({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}, id="list replaced whole"),
        pytest.param(["a", "b"], ["c", "d"], ["c", "d"], id="list document"),
        pytest.param({"a": "b"}, ["c"], ["c"], id="patch is no object"),
        pytest.param({"e": None}, {"a": 1}, {"e": None, "a": 1}, id="null in the target stays"),
        pytest.param([1, 2], {"a": "b", "c": None}, {"a": "b"}, id="list becomes object"),
        pytest.param({}, {"a": {"bb": {"c": None}}}, {"a": {"bb": {}}}, id="nulls never enter"),
    ],
)
def test_merge_patch_is_rfc_7396(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(target)
    assert merge_patch(target, patch) == expected
    assert target == before


@pytest.mark.parametrize(
    ("target", "operations", "expected"),
    [
        # RFC 6902, appendix A.
        pytest.param(
            {"foo": "bar"},
            [{"op": "add", "path": "/baz", "value": "qux"}],
            {"baz": "qux", "foo": "bar"},
            id="add member",
        ),
        pytest.param(
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
            id="insert element",
        ),
        pytest.param(
            {"foo": ["bar"]},
            [{"op": "add", "path": "/foo/-", "value": ["abc"]}],
            {"foo": ["bar", ["abc"]]},
            id="append element",
        ),
        pytest.param(
            {"foo": ["bar", "qux", "baz"]},
            [{"op": "remove", "path": "/foo/1"}],
            {"foo": ["bar", "baz"]},
            id="remove element",
        ),
        pytest.param(
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"thud": "fred"}},
            id="move",
        ),
        pytest.param(
            {"a": {"b": 1}},
            [{"op": "copy", "from": "/a", "path": "/c"}],
            {"a": {"b": 1}, "c": {"b": 1}},
            id="copy",
        ),
        pytest.param(
            {"/": 9, "~1": 10},
            [{"op": "test", "path": "/~01", "value": 10}, {"op": "remove", "path": "/~1"}],
            {"~1": 10},
            id="escapes",
        ),
        pytest.param(
            {"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}, id="whole"
        ),
    ],
)
def test_json_patch_is_rfc_6902(target: Any, operations: Any, expected: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, operations) == expected
    assert target == before


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": "/none"}, id="remove what is not there"),
        pytest.param({"op": "replace", "path": "/none", "value": 1}, id="replace the same"),
        pytest.param({"op": "test", "path": "/a", "value": 2}, id="failed test"),
        pytest.param({"op": "add", "path": "/list/7", "value": 1}, id="beyond the end"),
        pytest.param({"op": "add", "path": "/list/-1", "value": 1}, id="negative index"),
        pytest.param({"op": "add", "path": "a", "value": 1}, id="no pointer"),
        pytest.param({"op": "jump", "path": "/a"}, id="unknown operation"),
        pytest.param({"path": "/a"}, id="no operation"),
        pytest.param({"op": "add", "path": "/a"}, id="no value"),
        pytest.param("add", id="no object"),
    ],
)
def test_a_json_patch_that_does_not_fit_changes_nothing(operation: Any) -> None:
    target = {"a": 1, "list": []}
    first = {"op": "add", "path": "/b", "value": 2}
    with pytest.raises(StatusError) as caught:
        apply(JSON_PATCH, target, [first, operation], {})
    assert caught.value.code == 422
    assert target == {"a": 1, "list": []}


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        pytest.param(
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]},
            {"containers": [{"name": "b", "image": "2"}]},
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]},
            id="merged by name",
        ),
        pytest.param(
            {"containers": [{"name": "a"}]},
            {"containers": [{"name": "b", "$patch": "delete"}, {"name": "c"}]},
            {"containers": [{"name": "a"}, {"name": "c"}]},
            id="added, and one deleted that is not there",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
            id="deleted by key",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
                "containers": [{"name": "c"}],
            },
            {"containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]},
            id="ordered",
        ),
        pytest.param(
            {"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}, id="list without a key"
        ),
        pytest.param(
            {"finalizers": ["a", "b"]},
            {"$deleteFromPrimitiveList/finalizers": ["a"]},
            {"finalizers": ["b"]},
            id="deleted from a list of strings",
        ),
        pytest.param(
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
            {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            {"strategy": {"type": "Recreate"}},
            id="retained keys",
        ),
        pytest.param(
            {"labels": {"a": "1"}}, {"labels": {"$patch": "replace", "b": "2"}},
            {"labels": {"b": "2"}}, id="replaced map",
        ),
        pytest.param(
            {"ports": [{"port": 80, "name": "a"}]},
            {"ports": [{"port": 80, "name": "b"}]},
            {"ports": [{"port": 80, "name": "b"}]},
            id="a service's ports",
        ),
        pytest.param({"a": {"b": 1}}, {"a": None}, {}, id="removed"),
    ],
)  # fmt: skip
def test_strategic_merge_follows_the_merge_keys(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(target)
    names = ("core.v1.PodSpec", "core.v1.ServiceSpec")
    parts = [schemas.definitions()[f"io.k8s.api.{name}"] for name in names]
    parts.append(schemas.definitions()[schemas.OBJECT_META])
    schema = {"properties": {k: v for part in parts for k, v in part["properties"].items()}}
    assert strategic_merge(target, patch, schema) == expected
    assert target == before
