"""Explaining what the rules say, in the argument forms of ``kubectl auth can-i``."""

import pytest

from kubelatch.errors import UsageError
from kubelatch.gate.explain import explain
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet

RULES = RuleSet(
    tuple(
        parse_rules(
            """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [pods, pods/log, pods/exec, namespaces], verbs: [get, list]}
- {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: [patch]}
- {nonResourceURLs: [/healthz], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: owner, namespace: dev}
rules:
- {apiGroups: [networking.k8s.io, example.com], resources: ["*"], verbs: ["*"]}
""",
            "fence.yaml",
        )
    )
)


@pytest.mark.parametrize(
    ("verb", "what", "options", "allowed"),
    [
        ("get", "pods", {}, True),
        ("get", "pod/web-0", {}, True),
        ("list", "po", {}, True),
        ("list", "pods", {"namespace": ""}, True),
        ("delete", "pods", {}, False),
        ("get", "pods/web-0", {"subresource": "log"}, True),
        ("get", "pods/web-0", {"subresource": "exec"}, False),
        ("patch", "deployments.apps/web", {}, True),
        ("patch", "deployments.v1.apps/web", {}, True),
        ("patch", "deploy/web", {}, True),
        ("patch", "deploy/other", {}, False),
        ("patch", "deploy", {}, False),
        ("create", "ingress", {"namespace": "dev"}, True),
        ("create", "netpol", {"namespace": "dev"}, True),
        ("create", "networkpolicy", {"namespace": "dev"}, True),
        ("create", "ingresses", {"namespace": "prod"}, False),
        ("get", "widgets.example.com", {"namespace": "dev"}, True),
        ("get", "widgets", {"namespace": "dev"}, False),
        ("get", "ns/prod", {"namespace": "dev"}, True),
        ("get", "nodes", {}, False),
        ("get", "/healthz", {}, True),
        ("get", "/healthz/etcd", {}, False),
    ],
)
def test_answers(verb: str, what: str, options: dict[str, str], allowed: bool) -> None:
    explanation = explain(RULES, verb, what, **options)
    assert explanation.allowed == allowed
    assert str(explanation).startswith("yes" if allowed else "no")


def test_an_explanation_names_file_document_and_rule() -> None:
    text = str(explain(RULES, "get", "pods/web-0", subresource="exec"))
    assert text.splitlines() == [
        "no",
        '  get pods/exec "web-0" in namespace "default": '
        "allowed by fence.yaml: document 1: ClusterRole reader, rules[0]",
        '  create pods/exec "web-0" in namespace "default": no rule allows it',
    ]
    text = str(explain(RULES, "get", "/healthz"))
    assert "get /healthz: allowed by fence.yaml: document 1: ClusterRole reader, rules[2]" in text


@pytest.mark.parametrize(("verb", "what"), [("get", ""), ("", "pods"), ("get", "pods/a/log")])
def test_invalid_questions_are_refused(verb: str, what: str) -> None:
    with pytest.raises(UsageError, match="--can-i"):
        explain(RULES, verb, what)
