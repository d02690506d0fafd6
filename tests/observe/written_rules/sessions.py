"""Work as people and programs do it, with the clients that they use.

Each session leaves the cluster as it found it, but for new pods, so that it can be repeated; and
prints how each of its steps ended.
"""

from typing import Final

KUBECTL: Final = r"""
cd "$HOME"
step() { "$@" </dev/null >out 2>&1; echo "$? $*"; }
pipe() { "$@" >out 2>&1; echo "$? $*"; }
forward() {
    coproc FORWARD { exec kubectl port-forward -n shop deploy/web :80; }
    read -r line <&"${FORWARD[0]}" || return
    port=${line##*127.0.0.1:}
    curl -fsS "http://127.0.0.1:${port%% *}/"
    code=$?
    kill "$FORWARD_PID"
    wait "$FORWARD_PID"
    return $code
}
step kubectl get pods -n shop
step kubectl get deploy,svc -n shop -o wide
step kubectl get pods --all-namespaces
step kubectl get pods none -n shop
step kubectl get pods Foo_Bar -n shop
step kubectl get nonsense -n shop
step kubectl describe deployment web -n shop
step kubectl scale deployment web -n shop --replicas=2
step kubectl rollout restart deployment/web -n shop
step kubectl rollout status deployment/web -n shop
step kubectl scale deployment web -n shop --replicas=3
step kubectl logs deployment/web -n shop --tail=1
step kubectl exec -n shop deployment/web -- true
step forward
step kubectl create configmap made -n shop --from-literal=a=b
step kubectl label configmap made -n shop x=y
step kubectl delete configmap made -n shop
pipe kubectl apply -f - <<'MANIFEST'
{apiVersion: v1, kind: ConfigMap, metadata: {name: applied, namespace: shop}, data: {a: b}}
MANIFEST
step kubectl delete configmap applied -n shop
pipe kubectl apply -f - <<'MANIFEST'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.acme.com}
spec:
  group: acme.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
MANIFEST
step kubectl wait --for=condition=Established crd/things.acme.com --timeout=10s
pipe kubectl create -f - <<'MANIFEST'
{apiVersion: acme.com/v1, kind: Thing, metadata: {name: one, namespace: shop}}
MANIFEST
step kubectl get things -n shop
step kubectl delete crd things.acme.com
step kubectl explain pods.spec
step kubectl auth can-i list pods -n shop
step kubectl get secrets -n shop
step kubectl get nodes
step kubectl get pods -n shop --as=viewer
step kubectl get nodes --as=viewer
step kubectl create token default -n shop
step kubectl get --raw /healthz
step kubectl get --raw /none
"""

OFFICIAL: Final = """
from kubernetes import client, config, dynamic, watch
from kubernetes.stream import stream

config.load_kube_config()


def step(call, *arguments, **named):
    try:
        result = call(*arguments, **named)
    except client.ApiException as error:
        print(error.status, call.__name__)
        return None
    print(0, getattr(call, "__name__", "stream"))
    return result


core, apps = client.CoreV1Api(), client.AppsV1Api()
pod = next(one.metadata.name for one in step(core.list_namespaced_pod, "shop").items
           if one.metadata.name.startswith("web-"))
step(core.read_namespaced_pod, "none", "shop")
step(core.read_namespaced_pod_log, pod, "shop", tail_lines=1)
step(core.list_namespace)
step(apps.patch_namespaced_deployment_scale, "web", "shop", {"spec": {"replicas": 3}})
body = {"metadata": {"name": "official"}, "data": {"a": "b"}}
step(core.create_namespaced_config_map, "shop", body)
step(core.replace_namespaced_config_map, "official", "shop", body)
step(core.delete_namespaced_config_map, "official", "shop")
step(core.delete_collection_namespaced_config_map, "shop", label_selector="none=none")
for event in watch.Watch().stream(core.list_namespaced_pod, "shop", timeout_seconds=9):
    print(0, event["type"])
    break
step(stream, core.connect_get_namespaced_pod_exec, pod, "shop", command=["true"], stdout=True)
kinds = dynamic.DynamicClient(client.ApiClient()).resources
print(0, kinds.get(api_version="batch/v1", kind="Job").get(namespace="shop").kind)
"""

LIGHTKUBE: Final = """
from lightkube import ApiError, Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod

client = Client(namespace="shop", field_manager="lightkube")


def step(call, *arguments, **named):
    try:
        result = call(*arguments, **named)
    except ApiError as error:
        print(error.status.code, call.__name__)
        return None
    print(0, getattr(call, "__name__", "stream"))
    return result


pod = next(one.metadata.name for one in client.list(Pod) if one.metadata.name.startswith("web-"))
step(client.get, Deployment, "web")
step(client.get, Pod, "none")
made = ConfigMap(metadata=ObjectMeta(name="lightkube"), data={"a": "b"})
step(client.create, made)
step(client.replace, made)
step(client.patch, ConfigMap, "lightkube", {"data": {"a": "c"}})
step(client.delete, ConfigMap, "lightkube")
print(0, next(client.log(pod))[:4])
for event, _ in client.watch(Pod):
    print(0, event)
    break
"""
