"""The manifests under deploy/, as ``kubectl kustomize`` renders them.

They are held to the schemas of Kubernetes, to the Pod Security Standard ``restricted``, and to
what the proxy understands.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelatch.config import settings
from kubelatch.gate import Allowed, Gate, GateSettings, split_patterns
from kubelatch.gate.manifests import load_rules

from .conftest import ROOT

DEPLOY = ROOT / "deploy"
# kubernetes.io/docs/concepts/security/pod-security-standards, restricted.
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
            "projected", "secret"}  # fmt: skip


def render(directory: Path) -> list[dict[str, Any]]:
    """The objects that a kustomization makes."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    result = subprocess.run(
        ["kubectl", "kustomize", directory], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def one(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].startswith(name)]
    return found


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def against_restricted(pod: dict[str, Any]) -> list[str]:
    """What the Pod Security Standard ``restricted`` says against a pod."""
    wrong = [f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    volumes = pod.get("volumes", [])
    wrong += [f"volume {v['name']}" for v in volumes if not set(v) - {"name"} <= _VOLUMES]
    for container in containers(pod):
        own = container.get("securityContext", {})
        both = pod.get("securityContext", {}) | own
        checks = {
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities", {}).get("drop") == ["ALL"],
            "privileged": not own.get("privileged"),
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        wrong += [f"{container['name']}: {name}" for name, kept in checks.items() if not kept]
    return wrong


@pytest.fixture(params=["standalone", "examples/sidecar"])
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(DEPLOY / request.param)


def kubelatch_in(objects: list[dict[str, Any]]) -> dict[str, Any]:
    pod = pod_of(one(objects, "Deployment"))
    (found,) = [c for c in containers(pod) if c["name"] == "kubelatch"]
    return found


def test_the_schemas_of_kubernetes_are_kept(objects: list[dict[str, Any]]) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="not installed: pip install '.[package]'"
    )
    for each in objects:
        kubernetes_validate.validate(each, "1.34", strict=True)


def test_pods_pass_the_restricted_pod_security_standard(objects: list[dict[str, Any]]) -> None:
    assert against_restricted(pod_of(one(objects, "Deployment"))) == []


def test_the_proxy_runs_as_the_user_of_the_image_on_a_read_only_root(
    objects: list[dict[str, Any]],
) -> None:
    pod = pod_of(one(objects, "Deployment"))
    context = pod.get("securityContext", {}) | kubelatch_in(objects)["securityContext"]
    assert f"USER {context['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
    assert context["readOnlyRootFilesystem"] is True


def test_no_pod_waits_for_a_user_that_the_kubelet_cannot_verify(
    objects: list[dict[str, Any]],
) -> None:
    """``runAsNonRoot`` and an image with a name for its user is CreateContainerConfigError."""
    pod = pod_of(one(objects, "Deployment"))
    for container in containers(pod):
        context = pod.get("securityContext", {}) | container["securityContext"]
        assert context["runAsUser"] > 0, container["name"]


def test_resources_are_stated(objects: list[dict[str, Any]]) -> None:
    for container in containers(pod_of(one(objects, "Deployment"))):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_the_proxy_understands_its_arguments(objects: list[dict[str, Any]]) -> None:
    values = settings.parse(kubelatch_in(objects)["args"], {})
    assert settings.from_values(values).overrides.in_cluster is True
    assert values["notes"] == ()


def test_probes_go_to_the_admin_port_and_to_paths_that_it_serves(
    objects: list[dict[str, Any]],
) -> None:
    container = kubelatch_in(objects)
    address = settings.parse(container["args"], {})["admin_address"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    paths = {}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        assert address == f"0.0.0.0:{ports[get['port']]}"
        paths[probe] = get["path"]
    assert paths == {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        # A proxy whose API server is away must not be restarted for it.
        "livenessProbe": "/livez",
    }


def test_rights_are_reading_in_one_namespace(objects: list[dict[str, Any]]) -> None:
    assert not [o for o in objects if o["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    role = one(objects, "Role")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert not resources & {"*", "secrets"}
    (subject,) = one(objects, "RoleBinding")["subjects"]
    assert subject["namespace"] == one(objects, "ServiceAccount")["metadata"]["namespace"]


def test_the_sidecar_starts_before_the_application_and_ends_after_it() -> None:
    pod = pod_of(one(render(DEPLOY / "examples/sidecar"), "Deployment"))
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "startupProbe" in sidecar


def test_the_sidecar_serves_the_api_on_loopback_alone() -> None:
    container = kubelatch_in(render(DEPLOY / "examples/sidecar"))
    assert settings.parse(container["args"], {})["address"] == "127.0.0.1"
    assert [port["containerPort"] for port in container["ports"]] == [8002]


def test_the_sidecar_starts_beside_a_service_called_kubelatch() -> None:
    """Kubernetes then sets KUBELATCH_PORT to what is no number."""
    container = kubelatch_in(render(DEPLOY / "examples/sidecar"))
    links = {
        "KUBELATCH_PORT": "tcp://10.0.0.7:8001",
        "KUBELATCH_PORT_8001_TCP": "tcp://10.0.0.7:8001",
        "KUBELATCH_SERVICE_HOST": "10.0.0.7",
    }
    values = settings.parse(container["args"], links)
    assert (values["port"], values["notes"]) == (8001, ())


def test_the_sidecar_logs_in_the_format_that_it_asks_for() -> None:
    container = kubelatch_in(render(DEPLOY / "examples/sidecar"))
    values = settings.parse(container["args"], {})
    assert (values["log_requests"], values["log_format"]) == ("-", "json")


def test_the_application_cannot_get_round_the_fence() -> None:
    """The token is in the sidecar's reach and in nobody else's."""
    pod = pod_of(one(render(DEPLOY / "examples/sidecar"), "Deployment"))
    assert pod["automountServiceAccountToken"] is False
    holders = [
        container["name"]
        for container in containers(pod)
        for mount in container.get("volumeMounts", [])
        if mount["name"] == "kubelatch-token"
    ]
    assert holders == ["kubelatch"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"])
def test_the_sidecar_fits_every_kind_of_workload(tmp_path: Path, kind: str) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    spec: dict[str, Any] = {
        "template": {"spec": {"containers": [{"name": "mine", "image": "mine"}]}}
    }
    workload: dict[str, Any] = {
        "apiVersion": "batch/v1" if kind.endswith("Job") else "apps/v1",
        "kind": kind,
        "metadata": {"name": "mine", "labels": {"kubelatch": "sidecar"}},
        "spec": {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec,
    }
    bystander = {**workload, "metadata": {"name": "theirs"}}
    (tmp_path / "workloads.yaml").write_text(yaml.safe_dump_all([workload, bystander]))
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps(
            {
                "resources": ["workloads.yaml"],
                "components": ["deploy/components/sidecar", "deploy/components/allow-rules"],
            }
        )
    )
    rendered = render(tmp_path)
    mine = pod_of(one(rendered, kind, "mine"))
    assert [container["name"] for container in containers(mine)] == ["kubelatch", "mine"]
    assert {volume["name"] for volume in mine["volumes"]} == {
        "kubelatch-token",
        "kubelatch-allow-rules",
    }
    assert pod_of(one(rendered, kind, "theirs")) == {
        "containers": [{"name": "mine", "image": "mine"}]
    }


@pytest.mark.parametrize("component", ["sidecar", "allow-rules"])
def test_a_cronjob_gets_the_same_as_the_others(component: str) -> None:
    directory = DEPLOY / "components" / component
    other = yaml.safe_load((directory / "sidecar.yaml").read_text())
    cronjob = yaml.safe_load((directory / "cronjob.yaml").read_text())
    assert cronjob["spec"]["jobTemplate"]["spec"] == other["spec"]


@pytest.mark.parametrize("kind", ["Pod", "ReplicaSet", "Rollout"])
def test_a_labelled_workload_that_would_get_no_sidecar_is_an_error(
    tmp_path: Path, kind: str
) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    workload: dict[str, Any] = {
        "apiVersion": "v1" if kind == "Pod" else "apps/v1",
        "kind": kind,
        "metadata": {"name": "mine", "labels": {"kubelatch": "sidecar"}},
        "spec": {"containers": []},
    }
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(workload))
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({"resources": ["workload.yaml"], "components": ["deploy/components/sidecar"]})
    )
    done = subprocess.run(
        ["kubectl", "kustomize", tmp_path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "sidecar knows Deployment, StatefulSet, DaemonSet, Job and CronJob alone" in done.stderr


def test_the_fence_is_where_the_proxy_looks_for_it() -> None:
    objects = render(DEPLOY / "examples/sidecar")
    container = kubelatch_in(objects)
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    (path,) = settings.parse(container["args"], environ)["allow_rules"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volume = mounts[str(Path(path).parent)]
    (config_map,) = [
        v["configMap"]["name"]
        for v in pod_of(one(objects, "Deployment"))["volumes"]
        if v["name"] == volume
    ]
    assert Path(path).name in one(objects, "ConfigMap", config_map)["data"]


@pytest.mark.parametrize(
    ("method", "target", "passes"),
    [
        pytest.param("GET", "/api/v1/namespaces/shop/pods?watch=true", True, id="watch-pods"),
        pytest.param("GET", "/apis/apps/v1", True, id="discovery"),
        pytest.param("GET", "/api/v1/namespaces/other/pods", False, id="another-namespace"),
        pytest.param("GET", "/api/v1/namespaces/shop/secrets", False, id="secrets"),
        pytest.param("DELETE", "/api/v1/namespaces/shop/pods/web", False, id="delete"),
    ],
)
def test_the_example_of_a_fence_means_what_it_says(method: str, target: str, passes: bool) -> None:
    rules = load_rules([str(DEPLOY / "components/allow-rules/rules.yaml")])
    gate = Gate(GateSettings(allow_rules=rules))
    decision = gate.decide(method, target, ((b"Host", b"localhost"),), (1, 1))
    assert isinstance(decision, Allowed) == passes


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        pytest.param("kubelatch", True, id="same-namespace"),
        pytest.param("kubelatch.kubelatch.svc", True, id="other-namespace"),
        pytest.param("kubelatch.kubelatch.svc.cluster.local:80", True, id="whole-name"),
        pytest.param("kubelatch.evil.example", False, id="a-page-that-rebinds"),
        pytest.param("localhost", False, id="localhost"),
    ],
)
def test_the_service_is_reached_by_its_names_alone(host: str, passes: bool) -> None:
    container = kubelatch_in(render(DEPLOY / "standalone"))
    hosts = settings.parse(container["args"], {})["accept_hosts"]
    gate = Gate(GateSettings(accept_hosts=split_patterns(hosts)))
    decision = gate.decide("GET", "/version", ((b"Host", host.encode()),), (1, 1))
    assert isinstance(decision, Allowed) == passes


def test_service_policy_and_autoscaler_mean_the_same_pods_and_ports() -> None:
    objects = render(DEPLOY / "standalone")
    deployment = one(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert one(objects, "Service")["spec"]["selector"].items() <= labels.items()
    for kind, field in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        assert one(objects, kind)["spec"][field]["matchLabels"].items() <= labels.items()
    assert one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "kubelatch",
    }  # fmt: skip
    assert "replicas" not in deployment["spec"]
    ports = {port["name"] for port in kubelatch_in(objects)["ports"]}
    assert one(objects, "Service")["spec"]["ports"][0]["targetPort"] in ports
    ingress = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == ports


def test_only_labelled_pods_reach_the_shared_proxy() -> None:
    policy = one(render(DEPLOY / "standalone"), "NetworkPolicy")
    (api,) = [r for r in policy["spec"]["ingress"] if r["ports"][0]["port"] == "http"]
    assert [list(peer) for peer in api["from"]] == [["namespaceSelector", "podSelector"]]
    assert api["from"][0]["podSelector"] == {"matchLabels": {"kubelatch-client": "true"}}


@pytest.mark.parametrize("directory", ["standalone", "examples/sidecar"])
def test_the_admin_port_is_open_to_named_scrapers_alone(directory: str) -> None:
    """Probes need no rule: a pod's own node always reaches it."""
    objects = render(DEPLOY / directory)
    policy = one(objects, "NetworkPolicy")["spec"]
    assert "Ingress" in policy["policyTypes"]
    pod = one(objects, "Deployment")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    # The sidecar's port is by number, since not every network knows names of init containers.
    names = {8002} | {
        p["name"] for p in kubelatch_in(objects)["ports"] if p["containerPort"] == 8002
    }
    rules = [r for r in policy["ingress"] if {port["port"] for port in r["ports"]} & names]
    (rule,) = rules
    (scrapers,) = rule["from"]
    # Both in one entry: pods of that name in that namespace, and not either of them.
    assert scrapers == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }
    # No rule is for all ports, or for all who ask.
    assert all(rule.get("ports") and rule.get("from") for rule in policy["ingress"])


def test_a_sidecar_alone_closes_nothing_of_the_application() -> None:
    """A policy that selects pods keeps out all that it does not name."""
    component = yaml.safe_load((DEPLOY / "components/sidecar/kustomization.yaml").read_text())
    assert "resources" not in component


def test_the_grace_period_has_room_for_the_drain() -> None:
    deployment = one(render(DEPLOY / "standalone"), "Deployment")
    container = kubelatch_in(render(DEPLOY / "standalone"))
    drain = settings.parse(container["args"], {})["drain_timeout"]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod_of(deployment)["terminationGracePeriodSeconds"] > sleep + drain


def test_the_images_carry_the_version_of_the_package() -> None:
    from kubelatch import __version__

    for directory in ("standalone", "examples/sidecar"):
        assert kubelatch_in(render(DEPLOY / directory))["image"] == f"kubelatch:{__version__}"
