"""Rule files: nothing in them is ignored."""

from pathlib import Path

import pytest

from kubelatch.errors import ConfigError
from kubelatch.gate import Gate, GateSettings
from kubelatch.gate.manifests import load_rules, parse_rules

ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: reader
  namespace: dev
rules:
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
"""
CLUSTER_ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: health, labels: {a: b}, creationTimestamp: null}
rules:
- nonResourceURLs: [/healthz]
  verbs: [get]
"""


def test_documents_lists_and_empty_documents() -> None:
    listed = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n- " + (
        ROLE.replace("\n", "\n  ")
    )
    text = f"# a comment\n---\n{ROLE}---\n---\n{CLUSTER_ROLE}---\n{listed}"
    sources = [rule.source for rule in parse_rules(text, "r.yaml")]
    assert sources == [
        "r.yaml: document 1: Role dev/reader, rules[0]",
        "r.yaml: document 3: ClusterRole health, rules[0]",
        "r.yaml: document 4: Role dev/reader, rules[0]",
    ]


def test_typed_lists_and_json() -> None:
    text = (
        '{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleList", "items": '
        '[{"metadata": {"name": "x"}, "rules": '
        '[{"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"]}]}]}'
    )
    [rule] = parse_rules(text, "r.json")
    assert rule.groups == {"*"}
    assert rule.namespace is None


def test_a_role_without_rules_allows_nothing_and_is_valid() -> None:
    text = CLUSTER_ROLE.partition("rules:")[0]
    assert parse_rules(text, "r.yaml") == []
    assert parse_rules(text + "rules: []", "r.yaml") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "there is no Role", id="empty"),
        pytest.param("kind: Role\n  x: [", "line 2", id="not YAML"),
        pytest.param("- a", "document 1: is not a mapping", id="not an object"),
        pytest.param(
            ROLE + "---\nkind: RoleBinding", "document 2: kind is 'RoleBinding'", id="kind"
        ),
        pytest.param("apiVersion: v1", "kind is None", id="no kind"),
        pytest.param(ROLE.replace("/v1", "/v1beta1"), "apiVersion: is 'rbac", id="old version"),
        pytest.param(ROLE.replace("rules:", "rule:"), "document 1: rule: unknown", id="field"),
        pytest.param(ROLE.replace("verbs", "verb"), "rules[0].verb: unknown", id="rule field"),
        pytest.param(
            ROLE.replace("  name:", "  nmae:"), "metadata.nmae: unknown", id="metadata field"
        ),
        pytest.param(
            ROLE.replace("  namespace: dev\n", ""), "metadata.namespace: must", id="no namespace"
        ),
        pytest.param(
            CLUSTER_ROLE.replace("{name: health,", "{name: health, namespace: x,"),
            "a ClusterRole has no namespace",
            id="namespace",
        ),
        pytest.param(ROLE.replace("  name: reader\n", ""), "metadata.name: must", id="no name"),
        pytest.param(ROLE.replace("[get]", "get"), "rules[0].verbs: is not a list", id="no list"),
        pytest.param(ROLE.replace("[get]", "[get, no]"), "rules[0].verbs[1]: is not a", id="bool"),
        pytest.param(ROLE.replace("[get]", "[]"), "rules[0].verbs: there must", id="no verbs"),
        pytest.param(ROLE.replace('[""]', "[]"), "rules[0].apiGroups: there", id="no group"),
        pytest.param(ROLE.replace("[pods]", "[]"), "rules[0].resources: there", id="no resource"),
        pytest.param(
            ROLE + "- nonResourceURLs: [/x]\n  verbs: [get]",
            "rules[1].nonResourceURLs: a Role cannot",
            id="URLs in a Role",
        ),
        pytest.param(
            CLUSTER_ROLE + '  apiGroups: [""]', "is about either resources or", id="a mixed rule"
        ),
        pytest.param(
            CLUSTER_ROLE.partition("rules:")[0] + "aggregationRule: {clusterRoleSelectors: []}",
            "aggregationRule: aggregation",
            id="aggregation without the rules",
        ),
        pytest.param(
            CLUSTER_ROLE + "aggregationRule: {selectors: []}",
            "aggregationRule.selectors: unknown",
            id="aggregation misspelt",
        ),
        pytest.param(
            ROLE + "aggregationRule: {}", "aggregationRule: unknown", id="Role aggregates"
        ),
        pytest.param(
            ROLE + "  verbs: ['*']", "line 10: not YAML: the key 'verbs' is there twice", id="twice"
        ),
        pytest.param("apiVersion: v1\nkind: List\nitems: [1]", "items[0]: is not a", id="item"),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems:\n- kind: Pod", "items[0]: kind is 'Pod'", id="pod"
        ),
        pytest.param("!!python/object:os.system {}", "not YAML: a tag", id="a Python object"),
        pytest.param(ROLE.replace("[pods]", "[!!binary aGk=]"), "not YAML: a tag", id="a tag"),
        pytest.param(ROLE.replace("[pods]", "[y]"), "[0]: is not a string: y", id="a word of YAML"),
        pytest.param(ROLE.replace("[pods]", "[!!int x]"), "is not a string: x", id="no number"),
        pytest.param("a: " + "[" * 5000, "not YAML: exceeded maximum", id="nested deeply"),
        pytest.param("a: &a [*a]", "not YAML: an anchor contains itself", id="itself"),
        pytest.param("a: \x00", "not YAML", id="a control character"),
        pytest.param(
            "token: *hunter2", "line 1: not YAML: unknown anchor referenced", id="a value"
        ),
    ],
)
def test_errors_name_file_document_and_field(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rules(text, "rules.yaml")
    assert caught.value.message.startswith("rules.yaml:")
    assert said in caught.value.message
    assert "hunter2" not in str(caught.value)


# `kubectl get clusterrole view -o yaml`, shortened.
VIEW = """
aggregationRule:
  clusterRoleSelectors:
  - matchLabels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  annotations: {rbac.authorization.kubernetes.io/autoupdate: "true"}
  labels: {kubernetes.io/bootstrapping: rbac-defaults}
  name: view
rules:
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
"""


def test_the_cluster_role_view_as_printed_is_accepted_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "view.yaml").write_text(f"{CLUSTER_ROLE}---\n{VIEW}")
    found = load_rules([str(tmp_path / "view.yaml")])
    assert [rule.resources for rule in found.rules] == [set(), {"configmaps"}]
    [warning] = found.warnings
    assert warning.startswith(f"{tmp_path}/view.yaml: document 2: aggregationRule: only the rules")
    assert Gate(GateSettings(allow_rules=found)).warnings == (warning,)


def test_files_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(ROLE)
    (tmp_path / "b").write_text(CLUSTER_ROLE)
    found = load_rules([str(tmp_path / "b"), str(tmp_path / "a")])
    assert [rule.namespace for rule in found.rules] == [None, "dev"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--allow-rules .*/missing: No such file"):
        load_rules([str(tmp_path / "missing")])
    (tmp_path / "latin").write_bytes(b"kind: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_rules([str(tmp_path / "latin")])
