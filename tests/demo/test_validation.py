"""Bodies are decoded, completed and validated by their schemas."""

import importlib.util
import random
from typing import Any

import pytest

from kubelatch.demo import schemas
from kubelatch.demo.resources import RESOURCES, Resource

from .support import Http, Kubectl, config_map

SHOP = "/api/v1/namespaces/shop"


def pod(**container: Any) -> dict[str, Any]:
    kinds = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    return kinds | {"spec": {"containers": [{"name": "c", "image": "i"} | container]}}


@pytest.mark.parametrize(
    ("container", "field", "problem"),
    [
        pytest.param({"name": "A_B"}, "name", "a lowercase RFC 1123 label must", id="name"),
        pytest.param({"image": ""}, "image", "Required value", id="image"),
        pytest.param({"ports": [{"containerPort": 0}]}, "ports[0].containerPort", "", id="no port"),
        pytest.param(
            {"ports": [{"containerPort": 70000}]},
            "ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="port",
        ),
        pytest.param(
            {"imagePullPolicy": "Sometimes"},
            "imagePullPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
            id="enum",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            "resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="limit",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            "volumeMounts[0].name",
            'Not found: "v"',
            id="volume",
        ),
        pytest.param(
            {"livenessProbe": {"httpGet": {"port": 0}}},
            "livenessProbe.httpGet.port",
            "",
            id="probe",
        ),
    ],
)
async def test_an_invalid_container_is_refused_with_its_field(
    http: Http, container: dict[str, Any], field: str, problem: str
) -> None:
    refused = await http("POST", f"{SHOP}/pods", pod(**container))
    assert (refused.status, refused.json["reason"]) == (422, "Invalid")
    causes = {row["field"]: row["message"] for row in refused.json["details"]["causes"]}
    assert problem in causes[f"spec.containers[0].{field}"]
    assert refused.message.startswith('Pod "x" is invalid: ')


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        pytest.param(
            {"ports": [{"containerPort": "80"}]},
            "json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
            id="type",
        ),
        pytest.param(
            {"command": "sh"},
            "json: cannot unmarshal string into Go struct field "
            "Container.spec.containers.command of type []string",
            id="list",
        ),
        pytest.param(
            {"resources": {"limits": {"cpu": "lots"}}},
            "quantities must match the regular expression",
            id="quantity",
        ),
    ],
)
async def test_a_value_of_another_type_is_refused_in_go_s_words(
    http: Http, container: dict[str, Any], problem: str
) -> None:
    refused = await http("POST", f"{SHOP}/pods", pod(**container))
    assert refused.status == 400
    assert refused.message.startswith('Pod in version "v1" cannot be handled as a Pod: ')
    assert problem in refused.message


@pytest.mark.parametrize(
    ("mode", "status", "warned"),
    [("Ignore", 201, False), ("Warn", 201, True), ("Strict", 400, False)],
)
async def test_unknown_and_repeated_fields(
    http: Http, mode: str, status: int, warned: bool
) -> None:
    body = b'{"metadata": {"name": "f"}, "nope": 1, "data": {"a": "1", "a": "2"}}'
    response = await http("POST", f"{SHOP}/configmaps?fieldValidation={mode}", body)
    assert response.status == status
    assert ("Warning" in response.headers) is warned
    if status == 201:
        assert "nope" not in response.json
    else:
        assert 'unknown field "nope", duplicate field "data.a"' in response.message


NGINX: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": NGINX}
SELECTED: dict[str, Any] = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
APPS, BATCH, NET = "/apis/apps/v1", "/apis/batch/v1", "/apis/networking.k8s.io/v1"
SPECS = [
    ("/api/v1 pods", NGINX | {"volumes": [{"name": "v", "emptyDir": {},
     "hostPath": {"path": "/"}}]},
     "spec.volumes[0].hostPath", "Forbidden: may not specify more than 1 volume type"),
    ("/api/v1 pods", NGINX | {"nodeSelector": {"a b": "c"}}, "spec.nodeSelector", "name part must"),
    ("/api/v1 pods", NGINX | {"initContainers": NGINX["containers"]},
     "spec.initContainers[0].name", 'Duplicate value: "c"'),
    ("/api/v1 pods", NGINX | {"dnsPolicy": "None"}, "spec.dnsConfig", "must provide `dnsConfig`"),
    ("/api/v1 pods", NGINX | {"securityContext": {"runAsUser": -1}},
     "spec.securityContext.runAsUser", "must be between 0 and 2147483647, inclusive"),
    ("/api/v1 services", {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
     "spec.ports[1]", 'Duplicate value: {"Name":"","Protocol":"TCP"'),
    ("/api/v1 services", {"type": "ExternalName"}, "spec.externalName", "Required value"),
    ("/api/v1 services", {"ports": [{"port": 80, "nodePort": 30001}]},
     "spec.ports[0].nodePort", "Forbidden: may not be used when `type` is 'ClusterIP'"),
    ("/api/v1 services", {"ports": [{"port": 80}], "clusterIP": "10.96.0.1"},
     "spec.clusterIPs", "provided IP is already allocated"),
    ("/api/v1 persistentvolumeclaims", {"accessModes": ["ReadWriteOnce"]},
     "spec.resources[storage]", "Required value"),
    ("/api/v1 resourcequotas", {"hard": {"foo": "1"}}, "spec.hard[foo]", "standard resource"),
    ("/api/v1 limitranges", {"limits": [{"type": "Pod", "min": {"cpu": 2}, "max": {"cpu": 1}}]},
     "spec.limits[0].min[cpu]", "min value 2 is greater than max value 1"),
    (f"{APPS} deployments", SELECTED | {"progressDeadlineSeconds": 5, "minReadySeconds": 9},
     "spec.progressDeadlineSeconds", "Invalid value: 5: must be greater than minReadySeconds"),
    (f"{APPS} deployments", SELECTED | {"strategy": {"rollingUpdate": {"maxSurge": 0,
     "maxUnavailable": 0}}}, "spec.strategy.rollingUpdate.maxUnavailable", "may not be 0 when"),
    (f"{APPS} statefulsets", SELECTED | {"updateStrategy": {"type": "X"}},
     "spec.updateStrategy", "must be 'RollingUpdate' or 'OnDelete'"),
    (f"{BATCH} cronjobs", {"schedule": "61 * * * *",
     "jobTemplate": {"spec": {"template": TEMPLATE}}},
     "spec.schedule", "end of range (61) above maximum (59): 61"),
    (f"{NET} ingresses", {}, "spec", "either `defaultBackend` or `rules` must be specified"),
    (f"{NET} ingresses", {"defaultBackend": {"service": {"name": "s"}}},
     "spec.defaultBackend", "Required value: port name or number is required"),
    (f"{NET} networkpolicies", {"podSelector": {}, "ingress": [{"from": [{}]}]},
     "spec.ingress[0].from[0]", "Required value: must specify a peer"),
    ("/apis/autoscaling/v2 horizontalpodautoscalers", {"minReplicas": 5, "maxReplicas": 3,
     "scaleTargetRef": {"kind": "K", "name": "n"}},
     "spec.maxReplicas", "must be greater than or equal to `minReplicas`"),
    ("/apis/policy/v1 poddisruptionbudgets", {"minAvailable": 1, "maxUnavailable": 1},
     "spec", "minAvailable and maxUnavailable cannot be both set"),
    ("/apis/policy/v1 poddisruptionbudgets", {"minAvailable": "101%"},
     "spec.minAvailable", "must not be greater than 100%"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "spec", "field", "problem"), SPECS)
async def test_an_invalid_spec_is_refused_with_its_field(
    http: Http, place: str, spec: dict[str, Any], field: str, problem: str
) -> None:
    version, plural = place.split()
    body = {"metadata": {"name": "x"}, "spec": spec}
    refused = await http("POST", f"{version}/namespaces/shop/{plural}?dryRun=All", body)
    assert refused.status == 422, refused.json
    assert [problem in row["message"] for row in refused.json["details"]["causes"]
            if row["field"] == field], refused.message  # fmt: skip
    assert problem in refused.message


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {"a": {"type": "nope"}}}, "properties[a].type"),
        ({"properties": {"a": {}}}, "properties[a].type"),
        ({"properties": {"a": {"type": "array"}}}, "properties[a].items"),
    ],
)
async def test_a_schema_that_is_not_structural_is_refused(
    http: Http, schema: dict[str, Any], field: str
) -> None:
    version: dict[str, Any] = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object"} | schema}
    spec: dict[str, Any] = {"group": "a.example", "scope": "Namespaced", "versions": [version]}
    spec["names"] = {"plural": "foos", "kind": "Foo"}
    body = {"metadata": {"name": "foos.a.example"}, "spec": spec}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    refused = await http("POST", path, body)
    assert refused.status == 422
    assert f"spec.versions[0].schema.openAPIV3Schema.{field}: " in refused.message


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"priorityClassName": "no"}, "no PriorityClass with name no was found"),
        ({"runtimeClassName": "no"}, 'pod rejected: RuntimeClass "no" not found'),
        ({"priority": 5}, "the integer value of priority (5) must not be provided"),
    ],
)
async def test_a_pod_of_a_class_that_is_not_there_is_forbidden(
    http: Http, spec: dict[str, Any], why: str
) -> None:
    body = {"metadata": {"name": "x"}, "spec": NGINX | spec}
    refused = await http("POST", f"{SHOP}/pods", body)
    assert (refused.status, why in refused.message) == (403, True)
    classed = NGINX | {"priorityClassName": "system-cluster-critical"}
    made = await http("POST", f"{SHOP}/pods", {"metadata": {"name": "y"}, "spec": classed})
    assert made.json["spec"]["priority"] == 2_000_000_000


async def test_what_a_claim_and_a_stateful_set_are_stays(http: Http) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    for path, spec, patch in (
        (f"{SHOP}/persistentvolumeclaims", claim, {"storageClassName": "fast"}),
        (f"{APPS}/namespaces/shop/statefulsets", SELECTED, {"serviceName": "s"}),
    ):
        await http("POST", path, {"metadata": {"name": "x"}, "spec": spec})
        refused = await http("PATCH", f"{path}/x", {"spec": patch}, headers=merge)
        assert (refused.status, refused.json["details"]["causes"][0]["field"]) == (422, "spec")


async def test_a_service_gets_a_port_of_the_nodes_and_keeps_it(http: Http) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}], "selector": {"app": "web"}}
    path, merge = f"{SHOP}/services", {"Content-Type": "application/merge-patch+json"}
    made = (await http("POST", path, {"metadata": {"name": "np"}, "spec": spec})).json
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    taken = {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}
    refused = await http("POST", path, {"metadata": {"name": "other"}, "spec": taken})
    assert "provided port is already allocated" in refused.message
    changed = await http("PATCH", f"{path}/np", {"metadata": {"labels": {"a": "b"}}}, headers=merge)
    assert changed.json["spec"] == made["spec"]
    inner = await http("PATCH", f"{path}/np", {"spec": {"type": "ClusterIP"}}, headers=merge)
    assert "nodePort" not in inner.json["spec"]["ports"][0]
    assert inner.json["spec"]["clusterIP"] == made["spec"]["clusterIP"]


async def test_kubectl_is_told_of_a_misspelled_field(kubectl: Kubectl) -> None:
    manifest = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
        "spec: {containers: [{name: a, image: b, imag: c}]}\n"
    )
    refused = await kubectl("apply", "-f", "-", stdin=manifest.encode())
    assert 'unknown field "spec.containers[0].imag"' in refused.err
    good = manifest.replace(", imag: c", "").encode()
    assert "created" in await kubectl.ok("apply", "-f", "-", stdin=good)
    assert "unchanged" in await kubectl.ok("apply", "-f", "-", stdin=good)
    assert await kubectl.ok("diff", "-f", "-", stdin=good) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["explain", "pods.spec.containers.image"], id="v3"),
        pytest.param(["explain", "cronjob.spec.jobTemplate", "--recursive"], id="recursive"),
    ],
)
async def test_kubectl_explains(kubectl: Kubectl, arguments: list[str]) -> None:
    assert "DESCRIPTION:" in await kubectl.ok(*arguments)


async def test_immutable_fields_stay(http: Http) -> None:
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"spec": {"selector": {"matchLabels": {"more": "x"}}}}
    refused = await http("PATCH", path, patch, headers=merge)
    fields = [row["field"] for row in refused.json["details"]["causes"]]
    assert fields == ["spec.template.metadata.labels", "spec.selector"]
    fixed = config_map("fixed", a="1") | {"immutable": True}
    await http("POST", f"{SHOP}/configmaps", fixed)
    refused = await http("PATCH", f"{SHOP}/configmaps/fixed", {"data": {"a": "2"}}, headers=merge)
    assert "field is immutable when `immutable` is set" in refused.message


async def test_defaults_are_filled_in(http: Http) -> None:
    made = (await http("POST", f"{SHOP}/pods", pod(ports=[{"containerPort": 80}]))).json
    (container,) = made["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["terminationMessagePolicy"] == "File"
    assert made["spec"]["dnsPolicy"] == "ClusterFirst"
    assert list(made["spec"])[:2] == ["volumes", "containers"]


@pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None, reason="kubernetes-validate is missing"
)
def test_the_schemas_are_those_that_their_script_makes() -> None:
    from . import schemas as script

    bare, texts = script.split(script.definitions())
    assert schemas.definitions() == bare
    assert schemas.descriptions() == texts
    orders = [(list(bare[n].get("properties", ())), s.get("properties", ())) for n, s in
              schemas.definitions().items()]  # fmt: skip
    assert all(expected == list(found) for expected, found in orders)


class Maker:
    """Makes objects that fit their schemas, more or less."""

    ODD: tuple[Any, ...] = (None, 1, "x", [], {}, True, -1, [None], {"a": 1}, "", 1.5, [[]], [{}])
    TEXTS = ("a", "TCP", "Always", "A B", "", "default", "10.96.1.1", "None", "v1", "50%")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, schema: schemas.Schema, depth: int = 0) -> Any:
        pick = self.random.choice
        name, schema = schemas.resolve(schema)
        if self.random.random() < 0.03:
            return pick(self.ODD)
        if name.endswith("Quantity"):
            return pick(["1", "500m", "1Gi", "x", 2])
        match schema.get("type"):
            case "object" if "properties" in schema:
                return self.struct(schema, depth) if depth < 9 else {}
            case "object":
                rest = schema.get("additionalProperties") or {}
                return {key: self.value(rest, depth + 1) for key in ("a", "cpu")[: depth % 3]}
            case "array":
                items = schema.get("items", {})
                return [self.value(items, depth + 1) for _ in range(self.random.randint(0, 2))]
            case "integer":
                return pick([0, 1, 80, -1, 30000, 70000, 2**40])
            case "boolean":
                return pick([True, False])
            case "string" if schema.get("format") == "int-or-string":
                return pick([1, 80, "http", "50%"])
            case "string" if schema.get("format") == "date-time":
                return pick(["2026-01-01T00:00:00Z", "x"])
            case "string" if schema.get("format") == "byte":
                return pick(["YQ==", "!"])
            case "string":
                return pick(self.TEXTS)
            case _:
                return pick([0, 1.5, {}, "a"])

    def struct(self, schema: schemas.Schema, depth: int) -> dict[str, Any]:
        required = {*(schema.get("required") or ()), "spec", "metadata"}
        result = {}
        for key, row in schema["properties"].items():
            likely = 0.9 if key in required else (0.35 if depth < 3 else 0.12)
            if key != "managedFields" and self.random.random() < likely:
                result[key] = self.value(row, depth + 1)
        return result

    def body(self, resource: Resource, name: str) -> dict[str, Any]:
        made = self.value(schemas.schema_of(resource))
        body: dict[str, Any] = made if isinstance(made, dict) else {}
        metadata = body.get("metadata")
        kept = {"labels", "annotations", "finalizers", "ownerReferences"}
        rows = metadata.items() if isinstance(metadata, dict) else ()
        body["metadata"] = {k: v for k, v in rows if k in kept} | {"name": name}
        return body | {"kind": resource.kind, "apiVersion": resource.api_version}


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_object_makes_the_server_fail(http: Http, kubectl: Kubectl, seed: int) -> None:
    maker = Maker(seed)
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    merge = {"Content-Type": "application/strategic-merge-patch+json"}
    for _ in range(2):
        for resource in RESOURCES:
            root = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
            path = f"{root}{'/namespaces/shop' if resource.namespaced else ''}/{resource.plural}"
            for name in ("n1", "n2"):
                made = await http("POST", path, maker.body(resource, name))
                assert made.status < 500, (path, made.body)
                changed = await http(
                    "PATCH", f"{path}/{name}", maker.body(resource, name), headers=merge
                )
                assert changed.status < 500, (path, changed.body)
            assert (await http("GET", path, headers=table)).status < 500, path
    await kubectl.ok("run", "-n", "default", "alive", "--image=nginx")
    await kubectl.ok("wait", "-n", "default", "pod/alive", "--for=condition=Ready", "--timeout=20s")
