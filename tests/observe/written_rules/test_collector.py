"""What a request needs, and how much is kept whatever clients send."""

import tracemalloc

import pytest

from kubelatch.observe.access_log.request_view import RequestViews
from kubelatch.observe.written_rules import collector as collector_module
from kubelatch.observe.written_rules.collector import PermissionCollector
from kubelatch.observe.written_rules.outcomes import RequestOutcome
from kubelatch.observe.written_rules.permissions import Permission

from .support import collect, gate, manifests, passes, request, written

NS = "/api/v1/namespaces/shop"
APPLY = ("Content-Type", "application/apply-patch+yaml")


def verbs(*headers: tuple[str, str], method: str = "GET", target: str) -> set[str]:
    return {each.verb for each in collect([request(method, target, *headers)]).counts}


def test_a_server_side_apply_needs_create_too() -> None:
    assert verbs(APPLY, method="PATCH", target=f"{NS}/configmaps/x") == {"create", "patch"}
    merge = ("Content-Type", "application/merge-patch+json")
    assert verbs(merge, method="PATCH", target=f"{NS}/configmaps/x") == {"patch"}
    assert verbs(APPLY, method="PATCH", target=f"{NS}/configmaps/x/status") == {"patch"}


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
def test_a_tunnel_by_get_needs_create_too(subresource: str) -> None:
    assert verbs(target=f"{NS}/pods/x/{subresource}") == {"create", "get"}
    assert verbs(method="POST", target=f"{NS}/pods/x/{subresource}") == {"create"}


def test_a_path_that_can_be_read_in_two_ways_needs_both() -> None:
    """As for the gate: a server or gateway may merge slashes."""
    record = request("GET", "/apis/acme.com/v1/metrics%2F/web")
    collector = collect([record])
    assert {(each.resource, each.verb) for each in collector.counts} == {
        ("metrics/web", "list"),
        ("metrics", "get"),
    }
    assert passes(gate(manifests(written(collector))), record)


def test_lists_and_watches_of_one_object_have_its_name() -> None:
    one = "fieldSelector=metadata.name%3Dx"
    records = [request("GET", f"{NS}/pods?{one}"), request("GET", f"{NS}/pods?watch=1&{one}")]
    assert set(collect(records, names=True).counts) == {
        Permission("shop", "", "pods", "list", "x"),
        Permission("shop", "", "pods", "watch", "x"),
    }


def test_to_act_as_somebody_needs_to_impersonate_each_of_what_he_is() -> None:
    fields = [
        ("Impersonate-User", "system:serviceaccount:shop:robot"),
        ("impersonate-group", "admins"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2Fproject", "p"),
    ]
    found = collect([request("GET", f"{NS}/pods", *fields)], names=True).counts
    group = "authentication.k8s.io"
    assert set(found) == {
        Permission("shop", "", "serviceaccounts", "impersonate", "robot"),
        Permission("", "", "groups", "impersonate", "admins"),
        Permission("", group, "uids", "impersonate", "7"),
        Permission("", group, "userextras/acme.com/project", "impersonate", "p"),
        Permission("shop", "", "pods", "list"),
    }


def test_what_goes_to_other_contexts_does_not_count() -> None:
    records = [request("GET", "/version") for _ in range(3)]
    for record, context in zip(records, ("", "here", "there"), strict=True):
        record.context = context
    collector = PermissionCollector(RequestViews(), with_names=False, chosen=lambda: "here")
    collector.take(records)
    assert collector.outcomes == {RequestOutcome.COUNTED: 2, RequestOutcome.ELSEWHERE: 1}
    assert "# - 1 request to other contexts\n" in written(collector)


def test_requests_are_counted() -> None:
    collector = collect([request("GET", f"{NS}/pods/{name}") for name in "aab"])
    assert collector.counts == {Permission("shop", "", "pods", "get"): 3}
    assert collector.outcomes == {RequestOutcome.COUNTED: 3}


def test_a_request_that_no_rule_can_name_is_said() -> None:
    text = written(collect([request("OPTIONS", f"{NS}/pods"), request("GET", "/a*")]))
    assert "# - 2 requests that no rule can name\n" in text


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many permissions are kept: fewer than else, since a test of ten thousand takes long."""
    monkeypatch.setattr(collector_module, "MAX_PERMISSIONS", 200)
    return 200


def test_what_clients_send_does_not_fill_the_memory(few: int) -> None:
    targets = (f"/{number}/{'x' * 1000}" for number in range(3 * few))
    tracemalloc.start()
    try:
        collector = collect(request("GET", target) for target in targets)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(collector.counts) == few
    assert used < 3000 * few
    text = written(collector)
    assert f"# - {2 * few} requests beyond the number of different permissions that" in text


def test_what_is_known_is_counted_when_nothing_new_fits(few: int) -> None:
    records = [request("GET", f"/{number}") for number in range(few - 1)]
    apply = request("PATCH", f"{NS}/configmaps/x", APPLY)
    collector = collect([*records, apply, records[0], request("GET", f"{NS}/pods"), apply])
    # Of a request that needs two, of which one would fit, neither is kept.
    assert collector.outcomes[RequestOutcome.TOO_MANY] == 2
    assert collector.counts[Permission("", "", "", "get", path="/0")] == 2
    assert Permission("shop", "", "pods", "list") in collector.counts
