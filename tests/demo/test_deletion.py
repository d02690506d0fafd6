"""What is deleted, what stays, and what is taken along."""

from .support import Http, Kubectl, config_map

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_default_namespaces_cannot_be_deleted(http: Http) -> None:
    for name in ("default", "kube-system", "kube-public"):
        refused = await http("DELETE", f"/api/v1/namespaces/{name}")
        assert (refused.status, refused.json["reason"]) == (403, "Forbidden")
    assert (await http("GET", "/api/v1/namespaces/default")).status == 200


async def test_nothing_is_deleted_in_all_namespaces_at_once(http: Http) -> None:
    assert (await http("DELETE", "/api/v1/configmaps")).status == 405
    assert (await http("GET", "/api/v1/namespaces/shop/configmaps/settings")).status == 200


async def test_a_finalizer_holds_an_object_until_it_is_removed(http: Http) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await http("POST", MAPS, held)
    deleted = (await http("DELETE", f"{MAPS}/held")).json
    assert deleted["kind"] == "ConfigMap"
    assert "deletionTimestamp" in deleted["metadata"]
    assert (await http("GET", f"{MAPS}/held")).status == 200
    merge = {"Content-Type": "application/merge-patch+json"}
    await http("PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, headers=merge)
    assert (await http("GET", f"{MAPS}/held")).status == 404


async def test_preconditions_of_a_deletion_are_kept(http: Http) -> None:
    made = (await http("POST", MAPS, config_map("a"))).json["metadata"]
    wrong = await http("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "other"}})
    assert (wrong.status, wrong.json["reason"]) == (409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert (await http("DELETE", f"{MAPS}/a", {"preconditions": right})).status == 200


async def test_orphans_live_on(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "deployment", "a", "--image=i")
    await kubectl.ok("rollout", "status", "deploy/a")
    await kubectl.ok("delete", "deployment", "a", "--cascade=orphan")
    owners = "jsonpath={.items[*].metadata.ownerReferences}"
    assert await kubectl.ok("get", "rs", "-l", "app=a", "-o", owners) == ""
    assert "replicaset.apps/a-" in await kubectl.ok("get", "rs", "-l", "app=a", "-o", "name")


async def test_dependents_go_first_in_the_foreground(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "deployment", "a", "--image=i")
    await kubectl.ok("rollout", "status", "deploy/a")
    await kubectl.ok("delete", "deployment", "a", "--cascade=foreground")
    assert await kubectl.ok("get", "deploy,rs,pods", "-l", "app=a", "-o", "name") == ""


async def test_a_disruption_budget_forbids_an_eviction(http: Http, kubectl: Kubectl) -> None:
    command = ("create", "pdb", "web", "-n", "shop", "--selector=app=web", "--min-available=3")
    await kubectl.ok(*command)
    names = await kubectl.ok("get", "pods", "-n", "shop", "-l", "app=web", "-o", "name")
    pod = names.split()[0].removeprefix("pod/")
    path = f"/api/v1/namespaces/shop/pods/{pod}/eviction"
    refused = await http("POST", path, {"metadata": {"name": pod}})
    assert (refused.status, refused.json["reason"]) == (429, "TooManyRequests")
    await kubectl.ok("delete", "pdb", "web", "-n", "shop")
    assert (await http("POST", path, {"metadata": {"name": pod}})).status == 201


async def test_an_eviction_of_another_name_is_refused(http: Http, kubectl: Kubectl) -> None:
    name = await kubectl.ok("get", "pods", "-n", "shop", "-l", "app=db", "-o", "name")
    pod = name.strip().removeprefix("pod/")
    path = f"/api/v1/namespaces/shop/pods/{pod}"
    refused = await http("POST", f"{path}/eviction", {"metadata": {"name": "other"}})
    assert (refused.status, refused.json["reason"]) == (400, "BadRequest")
    assert "deletionTimestamp" not in (await http("GET", path)).json["metadata"]
