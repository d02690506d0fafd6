"""The file as it is read: by people, by --allow-rules, by kubectl."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kubelatch.gate.manifests import parse_rules

from .support import collect, manifests, request, uncommented, written

NS = "/api/v1/namespaces/shop"


def test_the_whole_file() -> None:
    denied = (
        '{"kind":"Status","message":"x is forbidden: User \\"a\\" cannot get resource \\"x\\""}'
    )
    records = [
        request("GET", "/api"),
        request("GET", f"{NS}/pods"),
        *[request("GET", f"{NS}/pods/x/log")] * 2,
        request("GET", f"{NS}/pods/x"),
        request("GET", f"{NS}/secrets/x"),
        request("GET", "/api/v1/nodes", status=403, body=denied),
        request("GET", "/none", status=404),
        request("GET", "/none", status=404),
    ]
    assert (
        written(collect(records))
        == """\
# Rules for what passed through kubelatch in the context test: 6 requests.
# kubelatch --allow-rules=FILE holds clients to them. In a cluster, kubectl apply -f FILE makes the
# roles; bind a ClusterRole with a ClusterRoleBinding, and each Role with a RoleBinding in its
# namespace, which has to exist.
# Rules that are worth more than they look are commented out. Read them first; this takes them all:
# sed -E 's/^  #(- |  )/  \\1/' FILE
# Not covered:
# - 1 request that the API server refused, for all that can be told
# - 2 requests for a resource, path or name that does not exist
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: learned
rules:
  # /api: get 1
  - nonResourceURLs: [/api]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: learned
  namespace: shop
rules:
  # pods: get 1, list 1
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list]
  # pods/log: get 2
  - apiGroups: [""]
    resources: [pods/log]
    verbs: [get]
  # Dangerous: it shows or changes passwords, keys and tokens.
  # secrets: get 1
  #- apiGroups: [""]
  #  resources: [secrets]
  #  verbs: [get]
"""
    )


_ODD = "/%?&=*\"'\\#:{}[]-\u2028\x85\ufeff\udcff"
_CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(_ODD)
_TEXT = st.text(_CHARACTERS, max_size=12)
_PREFIXES = ("/", "/api/v1/", "/apis/", "/api/v1/namespaces/a/", "/apis/g/v1/namespaces/a/r/")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["GET", "POST", "PATCH", "DELETE", "X"]),
                  st.sampled_from(_PREFIXES), _TEXT, st.sampled_from([200, 404, 500]), _TEXT),
        max_size=6,
    ),
    st.booleans(),
)  # fmt: skip
def test_whatever_clients_send_the_file_can_be_read(
    sent: list[tuple[str, str, str, int, str]], names: bool
) -> None:
    records = []
    for method, prefix, text, status, user in sent:
        record = request(method, prefix + text, status=status, body='{"kind":"Status"}')
        record.headers = [(b"Impersonate-User", user.encode("utf-8", "surrogatepass"))]
        records.append(record)
    collector = collect(records, names=names)
    assert sum(collector.outcomes.values()) == len(records)
    text = uncommented(written(collector, names=names))
    text.encode()
    rules = parse_rules(text, "rules.yaml")
    covered = {
        (rule.namespace or "", group, resource, verb, name)
        for rule in rules
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        for name in rule.names or [""]
    } | {("", "", url, verb, "") for rule in rules for url in rule.urls for verb in rule.verbs}
    for each in collector.counts:
        one = (each.namespace, each.group, each.resource or each.path, each.verb, each.name)
        assert one in covered or any(wider in collector.counts for wider in each.wider())
    assert len(covered) <= len(collector.counts)


def test_nothing_passed() -> None:
    [document] = manifests(written(collect([])))
    assert document["kind"] == "ClusterRole"
    assert document["rules"] == []


def test_only_what_is_dangerous_passed() -> None:
    text = written(collect([request("GET", f"{NS}/secrets")]))
    [document] = manifests(text)
    assert document["rules"] is None
    [document] = manifests(uncommented(text))
    assert document["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]


def test_words_that_yaml_takes_for_something_else_are_quoted() -> None:
    words = ["true", "null", "on", "y", "1", "1e3", "0x1", "a:b", "-", "~", "é", '"', "'", "#a"]
    records = [request("GET", f"/x/{word}".replace("#", "%23")) for word in words]
    names = [request("GET", f"/apis/acme.com/v1/things/{word.replace('#', '%23')}")
             for word in words]  # fmt: skip
    [document] = manifests(written(collect([*records, *names], names=True), names=True))
    found = {key: value for rule in document["rules"] for key, value in rule.items()}
    assert sorted(found["nonResourceURLs"]) == sorted(f"/x/{word}" for word in words)
    assert sorted(found["resourceNames"]) == sorted(words)


def test_long_lists_take_a_line_for_each() -> None:
    paths = [f"/openapi/v3/apis/group{number}.example.com/v1" for number in range(9)]
    text = written(collect([request("GET", path) for path in paths]))
    assert max(map(len, text.splitlines())) <= 100
    [document] = manifests(text)
    assert document["rules"] == [{"nonResourceURLs": paths, "verbs": ["get"]}]


def test_long_lists_of_what_is_dangerous_can_be_uncommented() -> None:
    records = [request("GET", f"{NS}/secrets/{'long-name-' * 3}{number}") for number in range(9)]
    text = written(collect(records, names=True), names=True)
    assert max(map(len, text.splitlines())) <= 100
    [document] = manifests(uncommented(text))
    [rule] = document["rules"]
    assert len(rule["resourceNames"]) == 9
