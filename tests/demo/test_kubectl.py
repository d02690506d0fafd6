"""The everyday commands of the real kubectl work against the demo."""

import asyncio
import json
from pathlib import Path

import pytest

from kubelatch.demo import DemoAccess

from .support import Kubectl

APPLICATION = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: app}}}}
  template:
    metadata: {{labels: {{app: app}}}}
    spec:
      containers:
      - {{name: main, image: "{image}"}}
---
apiVersion: v1
kind: Service
metadata: {{name: app, namespace: default}}
spec: {{selector: {{app: app}}, ports: [{{name: http, port: 80}}]}}
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("version", "Server Version: v1.36.2", id="version"),
        pytest.param("get pods -A", "kube-system   coredns-", id="get in all namespaces"),
        pytest.param("get pods -n shop -l app=web -o name", "pod/web-", id="label selector"),
        pytest.param("get nodes -o wide", "172.18.0.2", id="wide columns"),
        pytest.param("get all -n shop", "deployment.apps/orders", id="category all"),
        pytest.param("get po,deploy,svc,cm,secrets,ev,rs,sa,ns -A", "pod/hello-", id="short names"),
        pytest.param("get pods -A --chunk-size=2", "web-", id="chunked list"),
        pytest.param("get pods -A --field-selector=status.phase=Running", "web-", id="fields"),
        pytest.param("get deploy web -n shop -o yaml", "readyReplicas: 3", id="yaml"),
        pytest.param("describe pods -n shop", "QoS Class:", id="describe pods"),
        pytest.param("describe deploy web -n shop", "3 available", id="describe deployment"),
        pytest.param("describe node demo-worker", "Non-terminated Pods:", id="describe node"),
        pytest.param("describe svc web -n shop", "Endpoints:", id="describe service"),
        pytest.param("api-resources", "deploy       apps/v1", id="api-resources"),
        pytest.param("api-versions", "apps/v1", id="api-versions"),
        pytest.param("cluster-info", "is running at https://", id="cluster-info"),
        pytest.param("auth whoami", "admin", id="whoami"),
        pytest.param("auth can-i delete nodes", "yes", id="can-i"),
        pytest.param("auth can-i --list", "*.*", id="can-i --list"),
        pytest.param("auth whoami --as=jane --as-group=dev", "dev", id="impersonation"),
        pytest.param("rollout status deploy/web -n shop", "successfully rolled out", id="rollout"),
        pytest.param("wait pods --all -n shop --for=condition=Ready", "met", id="wait"),
        pytest.param("logs deploy/web -n shop --tail=1", "web: ", id="logs"),
        pytest.param("get --raw /healthz", "ok", id="health"),
        pytest.param(
            "get --raw /api/v1/namespaces/shop/services/web/proxy/x", "GET /x", id="proxy"
        ),
        pytest.param("--context demo-token get ns", "kube-system", id="admin by token"),
        pytest.param("--context demo-viewer get pods -n shop", "web-", id="viewer by token"),
        pytest.param("create deployment new --image=nginx", "created", id="create deployment"),
        pytest.param("create namespace new", "created", id="create namespace"),
        pytest.param("create configmap new --from-literal=a=b", "created", id="create configmap"),
        pytest.param("create secret generic new --from-literal=a=b", "created", id="create secret"),
        pytest.param("create sa new", "created", id="create serviceaccount"),
        pytest.param("create service clusterip new --tcp=80:8080", "created", id="create service"),
        pytest.param("create role new --verb=get --resource=pods", "created", id="create role"),
        pytest.param("create rolebinding new --role=r --user=u", "created", id="create binding"),
        pytest.param(
            "create clusterrole new --verb=get --resource=po", "created", id="clusterrole"
        ),
        pytest.param(
            "create clusterrolebinding new --clusterrole=view --group=g", "created", id="crb"
        ),
        pytest.param("create job new --image=busybox -- date", "job.batch/new created", id="job"),
        pytest.param(
            "create cronjob new --image=b --schedule=@daily -- date", "created", id="cronjob"
        ),
        pytest.param("create quota new --hard=pods=3,cpu=2", "created", id="quota"),
        pytest.param(
            "create ingress new --rule=a.example/x*=web:80,tls=t", "created", id="ingress"
        ),
        pytest.param(
            "create pdb new --selector=app=hello --min-available=50%", "created", id="pdb"
        ),
        pytest.param("create priorityclass new --value=5", "created", id="priorityclass"),
        pytest.param("autoscale deploy hello --max=5 --cpu=80%", "autoscaled", id="autoscale"),
        pytest.param("run new --image=nginx", "pod/new created", id="run"),
        pytest.param("expose deploy hello --name=new --port=80", "exposed", id="expose"),
        pytest.param("label deploy hello a=b", "labeled", id="label"),
        pytest.param("annotate deploy hello a=b", "annotated", id="annotate"),
        pytest.param("cordon demo-worker", "cordoned", id="cordon"),
        pytest.param("drain demo-worker", "drained", id="drain"),
        pytest.param("delete pods --all -n shop", "deleted", id="delete collection"),
    ],
)
async def test_command_works(kubectl: Kubectl, command: str, expected: str) -> None:
    assert expected in await kubectl.ok(*command.split())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("get pod nope", 'pods "nope" not found', id="not found"),
        pytest.param("create namespace shop", 'namespaces "shop" already exists', id="exists"),
        pytest.param("create cm No", "a lowercase RFC 1123 subdomain", id="bad name"),
        pytest.param("logs nope", 'pods "nope" not found', id="logs of nothing"),
        pytest.param("logs deploy/web -n shop -p", "previous terminated container", id="previous"),
        pytest.param("logs deploy/web -n shop -c x", "container x is not valid", id="container"),
        pytest.param(
            "--context demo-viewer get secrets -n shop",
            'User "viewer" cannot list resource "secrets" in API group "" in the namespace "shop"',
            id="forbidden",
        ),
        pytest.param(
            "--context demo-viewer get --raw /api/v1/pods --as=jane",
            'pods is forbidden: User "viewer" cannot impersonate-on:user-info:list resource "pods"',
            id="forbidden impersonation",
        ),
        pytest.param("apply --server-side -f -", "Server-side apply not available", id="ssa"),
    ],
)
async def test_failure_is_worded_as_by_the_api_server(
    kubectl: Kubectl, command: str, expected: str
) -> None:
    manifest = APPLICATION.format(replicas=1, image="nginx:1").encode()
    result = await kubectl(*command.split(), stdin=manifest)
    assert result.code == 1
    assert expected in result.err


async def test_apply_makes_pods_and_a_second_apply_rolls_them_out(kubectl: Kubectl) -> None:
    first = APPLICATION.format(replicas=2, image="nginx:1").encode()
    assert "created" in await kubectl.ok("apply", "-f", "-", stdin=first)
    await kubectl.ok("rollout", "status", "deploy/app")
    second = APPLICATION.format(replicas=3, image="nginx:2").encode()
    assert "configured" in await kubectl.ok("apply", "-f", "-", stdin=second)
    await kubectl.ok("rollout", "status", "deploy/app")
    pods = json.loads(await kubectl.ok("get", "pods", "-l", "app=app", "-o", "json"))["items"]
    running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert [pod["spec"]["containers"][0]["image"] for pod in running] == ["nginx:2"] * 3
    assert "unchanged" in await kubectl.ok("apply", "-f", "-", stdin=second)
    await kubectl.ok("delete", "-f", "-", stdin=second)
    await kubectl.ok("wait", "pods", "-l", "app=app", "--for=delete", "--timeout=20s")


async def test_rollout_is_undone_under_a_new_revision(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "deployment", "app", "--image=nginx:1")
    await kubectl.ok("rollout", "status", "deploy/app")
    await kubectl.ok("set", "image", "deploy/app", "nginx=nginx:2")
    await kubectl.ok("rollout", "status", "deploy/app")
    await kubectl.ok("rollout", "undo", "deploy/app")
    await kubectl.ok("rollout", "status", "deploy/app")
    history = await kubectl.ok("rollout", "history", "deploy/app")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]
    assert await kubectl.ok("get", "deploy", "app", "-o", "jsonpath={..image}") == "nginx:1"


async def test_scale_changes_the_number_of_pods(kubectl: Kubectl) -> None:
    await kubectl.ok("scale", "deploy/web", "-n", "shop", "--replicas=1")
    await kubectl.ok("rollout", "status", "deploy/web", "-n", "shop")
    replicas = ("-o", "jsonpath={.status.replicas}")
    assert await kubectl.ok("get", "deploy", "web", "-n", "shop", *replicas) == "1"


async def test_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    command = ("create", "deployment", "new", "--image=nginx")
    created = await kubectl.ok(*command, "--dry-run=server")
    assert "server dry run" in created
    assert (await kubectl("get", "deploy", "new")).code == 1


async def test_deleting_a_namespace_deletes_what_is_in_it(kubectl: Kubectl) -> None:
    await kubectl.ok("delete", "namespace", "shop")
    assert (await kubectl("get", "namespace", "shop")).code == 1
    assert await kubectl.ok("get", "pods,deploy,secrets", "-n", "shop") == ""


async def test_orphaned_pods_outlive_their_owner(kubectl: Kubectl) -> None:
    await kubectl.ok("delete", "deploy,rs", "--all", "-n", "shop", "--cascade=orphan")
    assert "web-" in await kubectl.ok("get", "pods", "-n", "shop")


async def test_watch_shows_a_new_pod_coming_up(kubectl: Kubectl) -> None:
    async with kubectl.started("get", "pods", "-w", "-n", "default") as watching:
        assert watching.stdout is not None
        assert b"NAME" in await watching.stdout.readline()
        await kubectl.ok("run", "fresh", "--image=nginx")
        seen = ""
        while "Running" not in seen:
            line = (await watching.stdout.readline()).decode()
            seen = line if line.startswith("fresh") else ""


async def test_logs_follow_shows_life(kubectl: Kubectl) -> None:
    async with kubectl.started("logs", "-f", "deploy/hello", "--tail=1") as following:
        assert following.stdout is not None
        for _ in range(5):
            assert (await following.stdout.readline()).startswith(b"hello: ")


async def test_events_tell_of_a_new_pod(kubectl: Kubectl) -> None:
    await kubectl.ok("run", "fresh", "--image=nginx")
    await kubectl.ok("wait", "pod/fresh", "--for=condition=Ready")
    events = await kubectl.ok("events", "--for", "pod/fresh")
    assert "Successfully assigned default/fresh" in events
    assert "Started container fresh" in events


async def test_edit_by_merge_patch_is_seen(kubectl: Kubectl) -> None:
    patch = '{"data":{"theme":"dark","currency":null}}'
    await kubectl.ok("patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", patch)
    data = await kubectl.ok(*["get", "cm", "settings", "-n", "shop", "-o", "jsonpath={.data}"])
    assert json.loads(data) == {"theme": "dark"}


async def test_an_empty_cache_and_many_kubectls_at_once(demo: DemoAccess, tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(4)]
    for home in homes:
        home.mkdir()
    runs = (Kubectl(demo, home).ok("get", "pods", "-A", "-o", "name") for home in homes)
    first, *others = await asyncio.gather(*runs)
    assert all(other == first for other in others)
