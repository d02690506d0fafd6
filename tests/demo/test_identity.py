"""Who asks, what they may do, and how they get in: with kubectl, curl and openssl as clients."""

import asyncio
import base64
import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelatch.config import settings
from kubelatch.demo import DemoAccess, DemoError, DemoServer
from kubelatch.demo.accounts import Accounts
from kubelatch.demo.authentication import User
from kubelatch.demo.escalation import check_role
from kubelatch.demo.identifiers import Identifiers
from kubelatch.demo.kubeconfig_file import write
from kubelatch.demo.ownership import Writer
from kubelatch.demo.resources import ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS
from kubelatch.demo.status import StatusError
from kubelatch.demo.store import Store
from kubelatch.demo.tokens import Signer
from kubelatch.errors import UsageError

from .support import Http, Kubectl

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/shop/pods"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def claims(token: str) -> Any:
    """What a token says."""
    text = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


async def whoami(http: Http, token: str) -> Any:
    answer = await http("POST", WHOAMI, {}, token=token)
    assert answer.status == 201, answer
    return answer.json["status"]["userInfo"]


async def test_a_token_of_a_service_account_has_the_claims_of_a_real_one(
    http: Http, kubectl: Kubectl
) -> None:
    token = (await kubectl.ok("create", "token", "default", "-n", "shop")).strip()
    account = (await http("GET", "/api/v1/namespaces/shop/serviceaccounts/default")).json
    read = claims(token)
    assert read.pop("exp") == read["iat"] + 3600
    assert read.pop("iat") == read.pop("nbf")
    identity = read.pop("jti")
    assert read == {
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "iss": "https://kubernetes.default.svc.cluster.local",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "default", "uid": account["metadata"]["uid"]},
        },
        "sub": "system:serviceaccount:shop:default",
    }
    assert await whoami(http, token) == {
        "username": "system:serviceaccount:shop:default",
        "uid": account["metadata"]["uid"],
        "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={identity}"]},
    }
    refused = await http("GET", "/", token=token)
    assert refused.message == (
        'forbidden: User "system:serviceaccount:shop:default" cannot get path "/"'
    )


@pytest.mark.parametrize("change", ["payload", "signature", "algorithm", "cut"])
async def test_a_token_that_was_tampered_with_is_refused(http: Http, change: str) -> None:
    path = "/api/v1/namespaces/shop/serviceaccounts/default/token"
    token = (await http("POST", path, {"spec": {}})).json["status"]["token"]
    head, payload, signature = token.split(".")
    if change == "payload":
        changed = claims(token) | {"sub": "system:serviceaccount:kube-system:default"}
        payload = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    elif change == "signature":
        signature = ("B" if signature[0] == "A" else "A") + signature[1:]
    elif change == "algorithm":
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        signature = ""
    else:
        signature = signature[:-10]
    assert (await http("GET", "/api", token=f"{head}.{payload}.{signature}")).status == 401
    assert (await http("GET", "/api", token=token)).status == 200


async def test_a_token_dies_with_its_account_and_with_what_it_is_bound_to(http: Http) -> None:
    account = "/api/v1/namespaces/shop/serviceaccounts"
    await http("POST", account, {"metadata": {"name": "robot"}})
    await http("POST", "/api/v1/namespaces/shop/secrets", {"metadata": {"name": "anchor"}})
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "anchor"}
    tokens = []
    for spec in ({}, {"boundObjectRef": bound}):
        answer = await http("POST", f"{account}/robot/token", {"spec": spec})
        tokens.append(answer.json["status"]["token"])
    free, tied = tokens
    assert await whoami(http, tied)
    await http("DELETE", "/api/v1/namespaces/shop/secrets/anchor")
    assert (await http("GET", "/api", token=tied)).status == 401
    assert await whoami(http, free)
    await http("DELETE", f"{account}/robot")
    await http("POST", account, {"metadata": {"name": "robot"}})
    assert (await http("GET", "/api", token=free)).status == 401


@pytest.mark.parametrize(("hours", "holds"), [(-1, False), (0, True), (0.9, True), (1.1, False)])
async def test_a_token_holds_from_its_making_to_its_end(hours: float, holds: bool) -> None:
    store = Store()
    store.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "shop"}})
    accounts = Accounts(store, Signer(), Identifiers())
    writer = Writer(manager="test", now=store.now())
    request = await accounts.request("shop", "robot", {"spec": {}}, writer)
    token = request["status"]["token"]
    now = dt.datetime.now(dt.UTC)
    store.clock = lambda: now + dt.timedelta(hours=hours)
    assert (accounts.user(token) is not None) is holds


async def test_a_binding_takes_effect_at_once(kubectl: Kubectl) -> None:
    account = ("--as=system:serviceaccount:shop:my-serviceaccount", "-n", "shop")
    await kubectl.ok("create", "serviceaccount", "my-serviceaccount", "-n", "shop")
    refused = await kubectl("auth", "can-i", "list", "pods", *account)
    assert (refused.code, refused.out) == (1, "no\n")
    role = ("r", "--verb=get", "--verb=list", "--resource=pods", "-n", "shop")
    assert await kubectl.ok("create", "role", *role) == (
        "role.rbac.authorization.k8s.io/r created\n"
    )
    binding = ("api-call", "--role=r", "--serviceaccount=shop:my-serviceaccount", "-n", "shop")
    await kubectl.ok("create", "rolebinding", *binding)
    assert await kubectl.ok("auth", "can-i", "list", "pods", *account) == "yes\n"
    listed = await kubectl.ok("auth", "can-i", "--list", *account)
    assert "pods" in listed
    token = (await kubectl.ok("create", "token", "my-serviceaccount", "-n", "shop")).strip()
    pods = await kubectl.ok(
        "--context=demo-anonymous", f"--token={token}", "get", "pods", "-n", "shop"
    )
    assert "web-" in pods
    await kubectl.ok("delete", "rolebinding", "api-call", "-n", "shop")
    assert (await kubectl("auth", "can-i", "list", "pods", *account)).out == "no\n"


async def test_nobody_grants_what_he_does_not_have(http: Http) -> None:
    roles = f"{RBAC}/namespaces/shop"
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    viewer = http.access.viewer_token.reveal()
    binding = {"metadata": {"name": "lead"}, "roleRef": admin}
    subjects = [{"kind": "User", "name": "viewer"}]
    await http("POST", f"{roles}/rolebindings", binding | {"subjects": subjects})

    def role(name: str, *verbs: str) -> Any:
        rule = {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": list(verbs)}
        return {"metadata": {"name": name}, "rules": [rule]}

    refused = await http("POST", f"{roles}/roles", role("more", "get"), token=viewer)
    assert refused.status == 403
    assert refused.message.endswith(
        'currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}'
    )
    master = admin | {"name": "cluster-admin"}
    body = {"metadata": {"name": "more"}, "roleRef": master, "subjects": subjects}
    refused = await http("POST", f"{roles}/rolebindings", body, token=viewer)
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in refused.message
    allowed = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "clusterroles"],
                "verbs": ["escalate", "bind"]}]  # fmt: skip
    await http("POST", f"{roles}/roles", {"metadata": {"name": "trusted"}, "rules": allowed})
    trusted = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trusted"}
    trust = {"metadata": {"name": "trusted"}, "roleRef": trusted, "subjects": subjects}
    await http("POST", f"{roles}/rolebindings", trust)
    assert (await http("POST", f"{roles}/roles", role("more", "get"), token=viewer)).status == 201
    assert (await http("POST", f"{roles}/rolebindings", body, token=viewer)).status == 201


@pytest.mark.parametrize(
    ("own", "granted"),
    [
        (" pods get", True),
        (" pods get,list", True),
        (" * *", True),
        ("* pods get", True),
        ("apps pods get", False),
        (" pods list", False),
        (" pods/log get", False),
        (" pods get only=web", False),
    ],
)
def test_a_permission_is_held_by_group_resource_verb_and_name(own: str, granted: bool) -> None:
    def rule(text: str) -> Any:
        group, resource, verbs, *names = text.split(" ")
        made = {"apiGroups": [group], "resources": [resource], "verbs": verbs.split(",")}
        return made | {"resourceNames": [name.removeprefix("only=") for name in names]}

    store = Store()
    metadata = {"name": "r", "namespace": "shop"}
    subjects = [{"kind": "User", "name": "eve"}]
    reference = {"kind": "Role", "name": "r"}
    store.create(ROLES, {"metadata": metadata, "rules": [rule(own)]})
    binding = {"metadata": metadata, "subjects": subjects, "roleRef": reference}
    store.create(ROLE_BINDINGS, binding)
    wanted = {"metadata": {"name": "w", "namespace": "shop"}, "rules": [rule(" pods get")]}
    problem = None
    try:
        check_role(store, User(name="eve"), ROLES, wanted, None)
    except StatusError as error:
        problem = error
    assert (problem is None) is granted


async def test_a_cluster_role_is_aggregated_from_those_with_its_label(
    http: Http, kubectl: Kubectl
) -> None:
    can_i = ("auth", "can-i", "list", "leases", "-n", "shop", "--as=viewer")
    assert (await kubectl(*can_i)).out == "no\n"
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    await http("POST", f"{RBAC}/clusterroles",
               {"metadata": {"name": "leases", "labels": labels}, "rules": [rule]})  # fmt: skip
    assert (await kubectl(*can_i)).out == "yes\n"
    await http("DELETE", f"{RBAC}/clusterroles/leases")
    assert (await kubectl(*can_i)).out == "no\n"
    await kubectl.ok("create", "clusterrole", "all", "--aggregation-rule=part=yes")
    await kubectl.ok("create", "clusterrole", "one", "--verb=list", "--resource=leases")
    await kubectl.ok("label", "clusterrole", "one", "part=yes")
    await kubectl.ok(
        "create", "rolebinding", "all", "--clusterrole=all", "--user=viewer", "-n=shop"
    )
    assert (await kubectl(*can_i)).out == "yes\n"


async def test_a_signing_request_is_approved_and_its_certificate_used(
    demo: DemoAccess, kubectl: Kubectl, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl") or pytest.skip("there is no openssl")
    key, request = tmp_path / "jane.key", tmp_path / "jane.csr"
    making = [openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    making += ["-nodes", "-keyout", str(key), "-out", str(request), "-subj", "/O=devs/CN=jane"]
    await asyncio.to_thread(subprocess.run, making, check=True, capture_output=True)
    spec = {
        "request": base64.b64encode(request.read_bytes()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": spec,
    }
    await kubectl.ok("apply", "-f", "-", stdin=json.dumps(body).encode())
    assert "Pending" in await kubectl.ok("get", "csr")
    resources = "certificatesigningrequests,certificatesigningrequests/approval"
    edit = ("--verb=get,list,watch,update", f"--resource={resources}")
    await kubectl.ok("create", "clusterrole", "csr", *edit)
    await kubectl.ok("create", "clusterrolebinding", "csr", "--clusterrole=csr", "--user=eve")
    refused = await kubectl("certificate", "approve", "jane", "--as=eve")
    assert 'user not permitted to approve requests with signerName "kubernetes.io' in refused.err
    assert "approved" in await kubectl.ok("certificate", "approve", "jane")
    field = "{.status.certificate}"
    await kubectl.ok("wait", "csr/jane", f"--for=jsonpath={field}", "--timeout=10s")
    certificate = tmp_path / "jane.crt"
    text = await kubectl.ok("get", "csr", "jane", "-o", f"jsonpath={field}")
    certificate.write_bytes(base64.b64decode(text))
    shown = await kubectl.ok(
        "--context=demo-anonymous",
        f"--client-certificate={certificate}",
        f"--client-key={key}",
        *("auth", "whoami", "-o", "json"),
    )
    user = json.loads(shown)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("jane", ["devs", "system:authenticated"])


async def test_a_pod_calls_the_api_with_its_token(http: Http, kubectl: Kubectl) -> None:
    (name, *_) = (
        await kubectl.ok("get", "pods", "-n", "shop", "-l", "app=web", "-o", "name")
    ).split()
    inside = ("exec", "-n", "shop", name, "--")
    assert await kubectl.ok(*inside, "ls", MOUNT) == "ca.crt\nnamespace\ntoken\n"
    read = claims(await kubectl.ok(*inside, "cat", f"{MOUNT}/token"))
    assert set(read["kubernetes.io"]) == {"namespace", "node", "pod", "serviceaccount", "warnafter"}
    assert read["exp"] == read["iat"] + 365 * 24 * 3600
    script = (
        f"cd {MOUNT}; TOKEN=$(cat token); "
        'curl -s --cacert ca.crt -H "Authorization: Bearer $TOKEN" '
        "https://kubernetes.default.svc/api/v1/namespaces/$(cat namespace)/pods"
    )
    status = json.loads(await kubectl.ok(*inside, "sh", "-c", script))
    assert status["message"] == (
        'pods is forbidden: User "system:serviceaccount:shop:default" cannot list resource '
        '"pods" in API group "" in the namespace "shop"'
    )
    url = "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT_HTTPS/version"
    assert "gitVersion" in await kubectl.ok(*inside, "sh", "-c", f"curl -sk {url}")
    unknown = await kubectl(*inside, "curl", "https://kubernetes.default.svc/version")
    assert (unknown.code, "unable to get local issuer certificate" in unknown.err) == (60, True)
    lost = await kubectl(*inside, "curl", "http://nowhere")
    assert lost.code == 6
    assert "curl: (6) Could not resolve host: nowhere\n" in lost.err


async def test_a_pod_has_no_token_where_it_wants_none(http: Http) -> None:
    spec: Any = {"containers": [{"name": "a", "image": "a"}], "automountServiceAccountToken": False}
    made = (await http("POST", PODS, {"metadata": {"name": "bare"}, "spec": spec})).json
    assert "volumes" not in made["spec"]
    spec["serviceAccountName"] = "nobody"
    refused = await http("POST", PODS, {"metadata": {"name": "lost"}, "spec": spec})
    assert (refused.status, refused.message) == (
        403,
        'pods "lost" is forbidden: error looking up service account shop/nobody: serviceaccount '
        '"nobody" not found',
    )


async def test_impersonating_an_account_needs_the_right_to_that_account(http: Http) -> None:
    viewer = http.access.viewer_token.reveal()
    headers = {"Impersonate-User": "system:serviceaccount:shop:default"}
    refused = await http("GET", PODS, token=viewer, headers=headers)
    assert "cannot impersonate-on:serviceaccount:list" in refused.message
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}
    place = f"{RBAC}/namespaces/shop"
    await http("POST", f"{place}/roles", {"metadata": {"name": "act"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "act"}
    subjects = [{"kind": "User", "name": "viewer"}]
    body = {"metadata": {"name": "act"}, "roleRef": reference, "subjects": subjects}
    await http("POST", f"{place}/rolebindings", body)
    acting = await http("POST", WHOAMI, {}, token=viewer, headers=headers)
    assert acting.json["status"]["userInfo"]["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    ]
    others = {"Impersonate-User": "system:serviceaccount:default:default"}
    assert (await http("POST", WHOAMI, {}, token=viewer, headers=others)).status == 403


async def test_the_kubeconfig_file_is_its_owners_and_the_authority_beside_it(
    demo: DemoAccess, tmp_path: Path
) -> None:
    config = tmp_path / "demo.yaml"
    authority = write(demo, str(config))
    assert (config.stat().st_mode & 0o777, authority) == (0o600, tmp_path / "demo.ca.crt")
    assert authority.read_text() == demo.ca_pem
    assert yaml.safe_load(config.read_text()) == demo.kubeconfig()
    write(demo, str(config))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.ca.crt", "demo.yaml"]


@pytest.mark.parametrize("name", ["demo.yaml", "demo.ca.crt"])
async def test_a_file_of_somebody_else_is_never_replaced(
    demo: DemoAccess, tmp_path: Path, name: str
) -> None:
    other = tmp_path / name
    other.write_text('clusters: [{"name": "prod"}]')
    with pytest.raises(DemoError, match="it is there, and not a demo's"):
        write(demo, str(tmp_path / "demo.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "prod" in other.read_text()


@pytest.mark.parametrize("flag", ["--demo-seed=1", "--demo-load=a.yaml", "--demo-kubeconfig=a"])
def test_a_flag_of_the_demo_needs_the_demo(flag: str) -> None:
    with pytest.raises(UsageError, match="has no effect without --demo"):
        settings.from_values(settings.parse([flag], {}))
    assert settings.from_values(settings.parse([flag, "--demo"], {})).demo


async def test_a_seed_makes_names_and_uids_the_same() -> None:
    async def pods(seed: int | None) -> list[tuple[str, str]]:
        async with DemoServer(seed=seed) as access, Http.open(access) as http:
            items = (await http("GET", PODS)).json["items"]
            return [(row["metadata"]["name"], row["metadata"]["uid"]) for row in items]

    first, again, other, free = await asyncio.gather(pods(7), pods(7), pods(8), pods(None))
    assert first == again
    assert not {name for name, _ in first} & {name for name, _ in other}
    assert not {uid for _, uid in first} & {uid for _, uid in free}


async def test_objects_are_loaded_from_files(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: one, namespace: lab}\n"
        "spec: {containers: [{name: a, image: 'a:1'}]}\n---\n---\n"
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap",'
        ' "metadata": {"name": "settings", "namespace": "shop"}, "data": {"theme": "dark"}}]}\n'
    )
    async with DemoServer(load=[str(file)]) as access, Http.open(access) as http:
        pod = (await http("GET", "/api/v1/namespaces/lab/pods/one")).json
        settings = (await http("GET", "/api/v1/namespaces/shop/configmaps/settings")).json
    assert pod["status"]["phase"] == "Running"
    assert settings["data"] == {"currency": "EUR", "theme": "dark"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "more.yaml: while parsing"),
        ("- 1", "more.yaml, document 1: it is no object"),
        ("kind: Pod", "more.yaml, document 1: it has no metadata.name"),
        (
            "kind: Nope\napiVersion: v1\nmetadata: {name: x}",
            'document 1 (Nope x): no matches for kind "Nope" in version "v1"',
        ),
        (
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x, namespace: none}",
            'document 1 (ConfigMap x): namespaces "none" not found',
        ),
        (
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: X_}",
            'document 1 (ConfigMap X_): ConfigMap "X_" is invalid',
        ),
    ],
)
async def test_a_file_that_cannot_be_loaded_is_told_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(text)
    with pytest.raises(DemoError) as raised:
        await DemoServer(load=[str(file)]).start()
    assert problem in str(raised.value)
    with pytest.raises(DemoError, match="No such file or directory"):
        await DemoServer(load=[str(tmp_path / "none.yaml")]).start()
