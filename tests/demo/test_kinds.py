"""Many kinds from one table: discovery, controllers, versions, quotas, custom resources."""

import asyncio
import json
from typing import Any

import pytest

from .support import Http, Kubectl, config_map

SHOP = "/api/v1/namespaces/shop"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GADGETS = "/apis/example.com/v1/namespaces/shop/gadgets"


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    """An object with a pod template."""
    labels = {"app": "x"}
    container = {"name": "c", "image": "i", "command": ["true"]}
    pod: dict[str, Any] = {"containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    selector = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    if kind == "Job":
        pod["restartPolicy"] = "Never"
    version = "batch/v1" if kind == "Job" else "apps/v1"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}
    return body | {"spec": {"template": template} | selector | spec}


def definition(**version: Any) -> dict[str, Any]:
    """A CustomResourceDefinition of Gadgets."""
    size = {"type": "integer", "minimum": 1}
    color = {"type": "string", "enum": ["red", "blue"], "default": "red"}
    spec = {"type": "object", "required": ["size"], "properties": {"size": size, "color": color}}
    ok = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": ok}}
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [first | version],
        },
    }


def gadget(name: str, **spec: Any) -> dict[str, Any]:
    kinds = {"apiVersion": "example.com/v1", "kind": "Gadget"}
    return kinds | {"metadata": {"name": name}, "spec": spec}


async def test_a_job_runs_to_its_end(http: Http, kubectl: Kubectl) -> None:
    job = workload("Job", completions=2, parallelism=2)
    assert (await http("POST", "/apis/batch/v1/namespaces/shop/jobs", job)).status == 201
    await kubectl.ok("wait", "-n", "shop", "job/x", "--for=condition=Complete", "--timeout=20s")
    pods = (await http("GET", f"{SHOP}/pods?labelSelector=job-name=x")).json["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded", "Succeeded"]
    status = (await http("GET", "/apis/batch/v1/namespaces/shop/jobs/x")).json["status"]
    assert status["succeeded"] == 2
    assert "active" not in status


async def test_a_stateful_set_has_numbered_pods(http: Http, kubectl: Kubectl) -> None:
    path = "/apis/apps/v1/namespaces/shop/statefulsets"
    made = await http("POST", path, workload("StatefulSet", replicas=2, serviceName="x"))
    assert made.status == 201
    await kubectl.ok("rollout", "status", "-n", "shop", "sts/x", "--timeout=20s")
    names = (await kubectl.ok("get", "-n", "shop", "pods", "-l", "app=x", "-o", "name")).split()
    assert names == ["pod/x-0", "pod/x-1"]


async def test_a_daemon_set_has_a_pod_on_every_node(http: Http, kubectl: Kubectl) -> None:
    path = "/apis/apps/v1/namespaces/shop/daemonsets"
    assert (await http("POST", path, workload("DaemonSet"))).status == 201
    await kubectl.ok("rollout", "status", "-n", "shop", "ds/x", "--timeout=20s")
    pods = (await http("GET", f"{SHOP}/pods?labelSelector=app=x")).json["items"]
    nodes = {pod["spec"]["nodeName"] for pod in pods}
    assert nodes == {"demo-control-plane", "demo-worker"}


async def test_one_event_is_in_two_groups(http: Http) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "shop"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "message": "hello"}
    assert (await http("POST", f"{SHOP}/events", event)).status == 201
    found = (await http("GET", "/apis/events.k8s.io/v1/namespaces/shop/events/e")).json
    assert (found["apiVersion"], found["note"]) == ("events.k8s.io/v1", "hello")
    assert found["regarding"]["name"] == "p"


async def test_an_autoscaler_is_kept_in_one_version_and_served_in_two(http: Http) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    path = "/apis/autoscaling/{}/namespaces/shop/horizontalpodautoscalers"
    body = {"metadata": {"name": "h"}, "spec": spec}
    assert (await http("POST", path.format("v1"), body)).status == 201
    (metric,) = (await http("GET", path.format("v2") + "/h")).json["spec"]["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] == 60
    again = (await http("GET", path.format("v1") + "/h")).json["spec"]
    assert again["targetCPUUtilizationPercentage"] == 60


async def test_a_quota_is_not_exceeded(http: Http) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "3"}}}
    assert (await http("POST", f"{SHOP}/resourcequotas", quota)).status == 201
    assert (await http("POST", f"{SHOP}/configmaps", config_map("a"))).status == 201
    refused = await http("POST", f"{SHOP}/configmaps", config_map("b"))
    assert refused.status == 403
    wanted = "requested: count/configmaps=1, used: count/configmaps=3, limited: count/configmaps=3"
    assert wanted in refused.message


async def test_a_limit_range_has_a_maximum(http: Http) -> None:
    limits = {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}
    made = await http("POST", f"{SHOP}/limitranges", {"metadata": {"name": "l"}, "spec": limits})
    assert made.status == 201
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    refused = await http("POST", f"{SHOP}/pods", pod)
    assert "maximum cpu usage per Container is 1, but limit is 2" in refused.message


async def test_a_service_s_endpoints_come_and_go_with_it(http: Http, kubectl: Kubectl) -> None:
    for resource in ("endpoints", "endpointslices"):
        assert "10.244." in await kubectl.ok("get", "-n", "shop", resource)
    assert (await http("DELETE", f"{SHOP}/services/web")).status == 200
    await kubectl.ok("wait", "-n", "shop", "endpoints/web", "--for=delete", "--timeout=20s")
    names = await kubectl.ok("get", "-n", "shop", "endpointslices", "-o", "name")
    assert "/web-" not in names


async def test_custom_objects_are_there_as_soon_as_they_are_defined(
    http: Http, kubectl: Kubectl
) -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    body = definition(additionalPrinterColumns=columns, subresources={"status": {}, "scale": scale})
    assert (await http("POST", CRDS, body)).status == 201
    made = await http("POST", GADGETS, gadget("g", size=3))
    assert (made.status, made.json["spec"]) == (201, {"color": "red", "size": 3})
    table = (await kubectl.ok("get", "-n", "shop", "gd")).split()
    assert table == ["NAME", "SIZE", "g", "3"]
    await kubectl.ok("scale", "-n", "shop", "gadget/g", "--replicas=5")
    assert (await http("GET", f"{GADGETS}/g")).json["spec"]["size"] == 5
    assert "size\t<integer> -required-" in await kubectl.ok("explain", "gadget.spec")
    assert "gadgets" in await kubectl.ok("api-resources", "--api-group=example.com")


async def test_the_status_of_a_custom_object_is_written_apart(http: Http) -> None:
    await http("POST", CRDS, definition(subresources={"status": {}}))
    made = await http("POST", GADGETS, gadget("g", size=1) | {"status": {"ready": True}})
    assert "status" not in made.json
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"status": {"ready": True}, "spec": {"size": 9}}
    changed = await http("PATCH", f"{GADGETS}/g/status", patch, headers=merge)
    assert (changed.json["status"], changed.json["spec"]["size"]) == ({"ready": True}, 1)


@pytest.mark.parametrize(
    ("spec", "field", "problem"),
    [
        pytest.param({}, "spec.size", "Required value", id="required"),
        pytest.param({"size": "x"}, "spec.size", 'must be of type integer: "string"', id="type"),
        pytest.param({"size": 0}, "spec.size", "should be greater than or equal to 1", id="min"),
        pytest.param(
            {"size": 1, "color": "green"},
            "spec.color",
            'supported values: "red", "blue"',
            id="enum",
        ),
    ],
)
async def test_a_custom_object_is_validated_by_its_schema(
    http: Http, spec: dict[str, Any], field: str, problem: str
) -> None:
    await http("POST", CRDS, definition())
    refused = await http("POST", GADGETS, gadget("g", **spec))
    assert refused.status == 422
    (cause,) = refused.json["details"]["causes"]
    assert cause["field"] == field
    assert problem in cause["message"]


async def test_custom_fields_without_a_schema_are_pruned_unless_it_keeps_them(http: Http) -> None:
    await http("POST", CRDS, definition())
    made = await http("POST", GADGETS, gadget("g", size=1, nope=1))
    assert "nope" not in made.json["spec"]
    assert made.headers["Warning"] == '299 - "unknown field \\"spec.nope\\""'
    body = definition()
    properties = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["x-kubernetes-preserve-unknown-fields"] = True
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"spec": {"versions": body["spec"]["versions"]}}
    assert (await http("PATCH", f"{CRDS}/gadgets.example.com", patch, headers=merge)).status == 200
    made = await http("POST", GADGETS, gadget("g2", size=1, nope=1))
    assert made.json["spec"]["nope"] == 1


async def test_a_custom_object_is_served_in_each_version(http: Http) -> None:
    body = definition()
    first = body["spec"]["versions"][0]
    body["spec"]["versions"].append(first | {"name": "v2", "storage": False})
    body["spec"]["versions"].append(first | {"name": "v3", "storage": False, "served": False})
    await http("POST", CRDS, body)
    await http("POST", GADGETS, gadget("g", size=1))
    found = await http("GET", GADGETS.replace("/v1/", "/v2/") + "/g")
    assert found.json["apiVersion"] == "example.com/v2"
    assert (await http("GET", GADGETS.replace("/v1/", "/v3/"))).status == 404
    groups = (await http("GET", "/apis/example.com")).json
    assert [row["version"] for row in groups["versions"]] == ["v2", "v1"]


async def test_a_definition_takes_its_objects_along(http: Http, kubectl: Kubectl) -> None:
    await http("POST", CRDS, definition())
    await http("POST", GADGETS, gadget("g", size=1))
    await kubectl.ok("wait", "--for=condition=Established", "crd/gadgets.example.com")
    await kubectl.ok("delete", "crd", "gadgets.example.com", "--timeout=20s")
    assert (await http("GET", f"{GADGETS}/g")).status == 404
    await http("POST", CRDS, definition())
    assert (await http("GET", GADGETS)).json["items"] == []


async def test_rules_that_are_not_evaluated_are_said(http: Http) -> None:
    body = definition()
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.size < 5"}]
    made = await http("POST", CRDS, body)
    assert "x-kubernetes-validations: not evaluated" in made.headers["Warning"]


async def test_managers_own_what_they_set(http: Http) -> None:
    path = f"{SHOP}/configmaps"
    await http("POST", f"{path}?fieldManager=alice", config_map("m", a="1", b="1"))
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"data": {"b": "2", "c": "1"}}
    changed = await http("PATCH", f"{path}/m?fieldManager=bob", patch, headers=merge)
    owned = {
        entry["manager"]: sorted(entry["fieldsV1"]["f:data"])
        for entry in changed.json["metadata"]["managedFields"]
    }
    assert owned == {"alice": [".", "f:a"], "bob": ["f:b", "f:c"]}


async def test_the_openapi_document_is_kept_by_its_hash(http: Http) -> None:
    index = (await http("GET", "/openapi/v3")).json["paths"]
    url = index["apis/apps/v1"]["serverRelativeURL"]
    plain = {"Accept-Encoding": "identity"}
    found = await http("GET", url, headers=plain)
    assert "immutable" in found.headers["Cache-Control"]
    schemas = json.loads(found.body)["components"]["schemas"]
    assert "io.k8s.api.apps.v1.Deployment" in schemas
    etag = {"If-None-Match": found.headers["Etag"]}
    assert (await http("GET", url, headers=plain | etag)).status == 304
    await http("POST", CRDS, definition())
    changed = (await http("GET", "/openapi/v3")).json["paths"]
    assert "apis/example.com/v1" in changed
    assert changed["apis/apps/v1"] == index["apis/apps/v1"]


async def test_everybody_who_waits_for_a_document_gets_it(http: Http) -> None:
    plain = {"Accept-Encoding": "identity"}
    found = await asyncio.gather(*(http("GET", "/openapi/v2", headers=plain) for _ in range(4)))
    assert {row.headers["Etag"] for row in found} == {found[0].headers["Etag"]}
    assert len(found[0].json["definitions"]) > 500


async def test_kubectl_applies_a_changed_custom_resource(http: Http, kubectl: Kubectl) -> None:
    await http("POST", CRDS, definition())
    await kubectl.ok("wait", "--for=condition=Established", "crd/gadgets.example.com")
    manifest = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g, namespace: shop}\n"
    for size, outcome in ((1, "created"), (2, "configured"), (2, "unchanged")):
        text = f"{manifest}spec: {{size: {size}}}\n".encode()
        assert outcome in await kubectl.ok("apply", "-f", "-", stdin=text)


async def test_a_debug_container_runs_its_command_and_ends(http: Http, kubectl: Kubectl) -> None:
    path = f"{SHOP}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await http("POST", path, pod)
    await kubectl.ok("wait", "-n", "shop", "--for=condition=Ready", "pod/p")
    arguments = ["-n", "shop", "p", "-c", "d", "--image=busybox", "--", "echo", "here"]
    await kubectl.ok("debug", *arguments)
    done = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=0"
    await kubectl.ok("wait", "-n", "shop", f"--for={done}", "pod/p")
    assert await kubectl.ok("logs", "-n", "shop", "p", "-c", "d") == "here\n"
    assert (await http("GET", f"{path}/p")).json["status"]["phase"] == "Running"


async def test_tables_of_services_and_scalers_show_what_kubectl_prints(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "service", "loadbalancer", "lb", "--tcp=80", "-n", "shop")
    assert "<pending>" in await kubectl.ok("get", "service", "lb", "-n", "shop")
    await kubectl.ok("autoscale", "deployment", "web", "--max=3", "--cpu=50%", "-n", "shop")
    scaler = await kubectl.ok("get", "hpa", "web", "-n", "shop", "--no-headers")
    assert scaler.split()[:4] == ["web", "Deployment/web", "cpu:", "<unknown>/50%"]
    await kubectl.ok("scale", "deployment", "web", "--replicas=5", "-n", "shop")
    await kubectl.ok("rollout", "status", "deployment", "web", "-n", "shop")
    jsonpath = "jsonpath={.subsets[0].addresses[4].ip}"
    await kubectl.ok("wait", "-n", "shop", f"--for={jsonpath}", "endpoints/web")
    assert " + 2 more..." in await kubectl.ok("get", "endpoints", "web", "-n", "shop")


async def test_pods_that_are_refused_stop_no_controller(http: Http, kubectl: Kubectl) -> None:
    await kubectl.ok("create", "quota", "q", "--hard=pods=8", "-n", "shop")
    await kubectl.ok("create", "deployment", "d", "--image=i", "-n", "shop")
    await kubectl.ok("create", "deployment", "elsewhere", "--image=i")
    available = "--for=condition=Available"
    await kubectl.ok("wait", available, "deployment/elsewhere", "--timeout=10s")
    events = (await http("GET", f"{SHOP}/events?fieldSelector=reason=FailedCreate")).json["items"]
    (message,) = [row["message"] for row in events]
    assert message.startswith('Error creating: pods "d-')
    assert "exceeded quota: q" in message
    assert events[0]["type"] == "Warning"


async def test_a_stateful_set_has_claims_and_numbered_pods(http: Http, kubectl: Kubectl) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    body = workload("StatefulSet", replicas=2, serviceName="x", volumeClaimTemplates=templates)
    container = body["spec"]["template"]["spec"]["containers"][0]
    del container["command"]
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    await http("POST", "/apis/apps/v1/namespaces/shop/statefulsets", body)
    await kubectl.ok("rollout", "status", "statefulset/x", "-n", "shop", "--timeout=10s")
    claims = (await kubectl.ok("get", "pvc", "-n", "shop", "-o", "name")).split()
    assert [row.rpartition("/")[2] for row in claims] == ["data-x-0", "data-x-1"]
    await kubectl.ok("scale", "statefulset/x", "-n", "shop", "--replicas=1")
    await kubectl.ok("wait", "--for=delete", "pod/x-1", "-n", "shop", "--timeout=10s")
    assert (await http("GET", f"{SHOP}/pods/x-0")).status == 200


async def test_a_container_has_the_environment_that_it_asks_for(kubectl: Kubectl) -> None:
    name = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app.example/part']"}}}
    key = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "username"}}}
    env = [{"name": "PART"} | name, {"name": "WHO"} | key, {"name": "PLAIN", "value": "p"}]
    container = {"name": "c", "image": "i", "env": env, "command": ["env"]}
    container["envFrom"] = [{"configMapRef": {"name": "settings"}, "prefix": "SHOP_"}]
    pod = {"restartPolicy": "Never", "containers": [container]}
    metadata = {"name": "e", "namespace": "shop", "labels": {"app.example/part": "x"}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    await kubectl.ok("apply", "-f", "-", stdin=json.dumps(body).encode())
    await kubectl.ok("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/e", "-n", "shop")
    shown = (await kubectl.ok("logs", "e", "-n", "shop")).splitlines()
    assert {"PART=x", "WHO=shop", "PLAIN=p", "SHOP_theme=light"} <= set(shown)


async def test_a_rollout_that_cannot_end_leaves_the_last_one_that_did(kubectl: Kubectl) -> None:
    for account in ("default", "nobody-1", "nobody-2"):
        change = ("set", "serviceaccount", "deployment/web", account, "-n", "shop")
        await kubectl.ok(*change)
    await kubectl.ok("wait", "-n", "shop", "--for=jsonpath={.status.replicas}=3", "deployment/web")
    ready = await kubectl.ok("get", "deployment", "web", "-n", "shop", "--no-headers")
    assert ready.split()[:4] == ["web", "3/3", "0", "3"]
