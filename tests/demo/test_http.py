"""What the demo answers over HTTP, byte-level promises of the API server included."""

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from kubelatch.demo import DemoAccess, DemoServer

from .support import Http, client_context, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(
            "/api/v1/namespaces/default/pods",
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group '
            '"" in the namespace "default"',
            id="list",
        ),
        pytest.param(
            "/api/v1/nodes/n",
            'nodes "n" is forbidden: User "system:anonymous" cannot get resource "nodes" in API '
            'group "" at the cluster scope',
            id="get at the cluster scope",
        ),
        pytest.param(
            "/apis/apps/v1/namespaces/shop/deployments?watch=1",
            'deployments.apps is forbidden: User "system:anonymous" cannot watch resource '
            '"deployments" in API group "apps" in the namespace "shop"',
            id="watch in a group",
        ),
        pytest.param(
            "/api/v1/namespaces/shop",
            'namespaces "shop" is forbidden: User "system:anonymous" cannot get resource '
            '"namespaces" in API group "" in the namespace "shop"',
            id="a namespace",
        ),
        pytest.param(
            "/api/v1/namespaces/shop/pods/p/exec?command=ls",
            'pods "p" is forbidden: User "system:anonymous" cannot get resource "pods/exec" in '
            'API group "" in the namespace "shop"',
            id="subresource",
        ),
        pytest.param(
            "/apis", 'forbidden: User "system:anonymous" cannot get path "/apis"', id="path"
        ),
    ],
)
async def test_anonymous_is_forbidden(http: Http, path: str, message: str) -> None:
    answer = await http("GET", path, token="")
    assert answer.status == 403
    assert answer.json["reason"] == "Forbidden"
    assert answer.message == message


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
async def test_anonymous_sees_health_and_version(http: Http, path: str) -> None:
    assert (await http("GET", path, token="")).status == 200


async def test_an_unknown_token_is_unauthorized(http: Http) -> None:
    answer = await http("GET", "/version", token="wrong")
    assert answer.status == 401
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


async def test_a_client_certificate_comes_before_a_token(demo: DemoAccess, tmp_path: Path) -> None:
    async with Http.open(demo, tmp_path / "client.pem") as client:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        answer = await client("POST", path, {}, token="wrong")
    user = answer.json["status"]["userInfo"]
    credential = user.pop("extra")["authentication.kubernetes.io/credential-id"]
    assert credential[0].startswith("X509SHA256=")
    assert user == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}


async def test_opening_a_stream_by_get_needs_the_verb_create(http: Http) -> None:
    await allow(http, "get")
    path = "/api/v1/namespaces/shop/pods/p/exec?command=ls"
    viewer = http.access.viewer_token.reveal()
    refused = await http("GET", path, token=viewer)
    assert refused.status == 403
    assert 'User "viewer" cannot create resource "pods/exec"' in refused.message
    await allow(http, "create")
    assert (await http("GET", path, token=viewer)).status == 404


async def allow(http: Http, verb: str) -> None:
    """Let the viewer do one more thing with pods/exec."""
    api = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop"
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": [verb]}
    role = {"metadata": {"name": verb}, "rules": [rule]}
    assert (await http("POST", f"{api}/roles", role)).status == 201
    binding = {
        "metadata": {"name": verb},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": verb},
        "subjects": [{"kind": "User", "name": "viewer"}],
    }
    assert (await http("POST", f"{api}/rolebindings", binding)).status == 201


async def test_impersonation_is_read_from_all_headers(http: Http) -> None:
    headers = {
        "Impersonate-User": "jane",
        "Impersonate-Uid": "42",
        "Impersonate-Group": "dev",
        "Impersonate-Extra-example.com%2Fscope": "all",
    }
    answer = await http(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=headers
    )
    assert answer.json["status"]["userInfo"] == {
        "username": "jane",
        "uid": "42",
        "groups": ["dev", "system:authenticated"],
        "extra": {"example.com/scope": ["all"]},
    }


async def test_an_impersonated_group_without_user_is_refused(http: Http) -> None:
    answer = await http("GET", "/version", headers={"Impersonate-Group": "dev"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("user", "verb", "allowed"),
    [
        pytest.param("viewer", "list", True, id="granted"),
        pytest.param("viewer", "delete", False, id="not granted"),
    ],
)
async def test_access_review_says_what_would_happen(
    http: Http, user: str, verb: str, allowed: bool
) -> None:
    asked = {"namespace": "shop", "verb": verb, "resource": "pods"}
    answer = await http(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {"spec": {"resourceAttributes": asked}},
        headers={"Impersonate-User": user},
    )
    assert answer.status == 201
    assert answer.json["status"]["allowed"] is allowed


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        pytest.param("GET", f"{MAPS}/nope", None, 404, "NotFound", id="no such object"),
        pytest.param("PUT", MAPS, {}, 405, "MethodNotAllowed", id="PUT on a collection"),
        pytest.param("POST", f"{MAPS}/x", {}, 405, "MethodNotAllowed", id="POST on an object"),
        pytest.param("POST", MAPS, {}, 422, "Invalid", id="no name"),
        pytest.param("POST", MAPS, config_map("A_b"), 422, "Invalid", id="bad name"),
        pytest.param("POST", MAPS, b"{", 400, "BadRequest", id="broken JSON"),
        pytest.param("POST", MAPS, [], 400, "BadRequest", id="no object"),
        pytest.param("POST", MAPS, {"kind": "Pod"}, 400, "BadRequest", id="another kind"),
        pytest.param("POST", MAPS, {"apiVersion": "v2"}, 400, "BadRequest", id="another version"),
        pytest.param(
            "POST",
            PODS,
            {"metadata": {"name": "p"}, "spec": "no"},
            400,
            "BadRequest",
            id="spec is no object",
        ),
        pytest.param(
            "POST",
            PODS,
            {"metadata": {"name": "p"}, "spec": {"containers": "no"}},
            400,
            "BadRequest",
            id="another shape",
        ),
        pytest.param(
            "POST", PODS, {"metadata": {"name": "p"}, "spec": {}}, 422, "Invalid", id="no container"
        ),
        pytest.param(
            "POST",
            "/api/v1/namespaces/nope/configmaps",
            config_map("a"),
            404,
            "NotFound",
            id="no such namespace",
        ),
        pytest.param(
            "POST", MAPS, config_map("kube-root-ca.crt"), 409, "AlreadyExists", id="twice"
        ),
        pytest.param("POST", MAPS, b"x" * 4_000_000, 413, "RequestEntityTooLarge", id="too large"),
        pytest.param("POST", f"{MAPS}?dryRun=Some", config_map("a"), 422, "Invalid", id="dryRun"),
        pytest.param("GET", f"{MAPS}?fieldSelector=data=x", None, 400, "BadRequest", id="field"),
        pytest.param("GET", f"{MAPS}?labelSelector=a=b=c", None, 400, "BadRequest", id="label"),
        pytest.param("GET", f"{MAPS}?continue=nonsense", None, 400, "BadRequest", id="continue"),
        pytest.param("GET", f"{MAPS}?limit=two", None, 400, "BadRequest", id="limit"),
    ],
)
async def test_a_bad_request_gets_a_status(
    http: Http, method: str, path: str, body: Any, status: int, reason: str
) -> None:
    answer = await http(method, path, body)
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.status, answer.json["code"], answer.json["reason"]) == (status, status, reason)


@pytest.mark.parametrize("path", ["/nope", "/apis/nope.example.com/v1/things", "/livez/nope"])
async def test_an_unknown_path_is_not_found(http: Http, path: str) -> None:
    answer = await http("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2",
        "/api/v1/nopes",
        "/apis/apps/v1beta1",
        f"{PODS}/p/nope",
        "/api/v1/namespaces/shop/nodes",
    ],
)
async def test_an_unknown_path_of_an_api_group_gets_a_status(http: Http, path: str) -> None:
    answer = await http("GET", path)
    assert (answer.status, answer.json["reason"], answer.json["details"]) == (404, "NotFound", {})


async def test_head_of_a_resource_is_not_allowed(http: Http) -> None:
    assert (await http("HEAD", PODS)).status == 405


async def test_every_answer_has_an_audit_id(http: Http) -> None:
    for path, token in (("/healthz", None), (PODS, None), (PODS, ""), ("/nope", None)):
        assert (await http("GET", path, token=token)).headers["Audit-Id"]
    given = await http("GET", "/healthz", headers={"Audit-ID": "from-the-client"})
    assert given.headers["Audit-Id"] == "from-the-client"


async def test_an_unknown_media_type_is_refused(http: Http) -> None:
    answer = await http("GET", PODS, headers={"Accept": "text/html"})
    assert (answer.status, answer.json["reason"]) == (406, "NotAcceptable")
    answer = await http("POST", MAPS, b"<x/>", headers={"Content-Type": "text/xml"})
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answer = await http("PATCH", f"{MAPS}/settings", b"{}", headers=headers)
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


async def test_only_large_answers_are_compressed_and_only_when_asked(http: Http) -> None:
    large = config_map("large", text="x" * 200_000)
    assert (await http("POST", MAPS, large)).status == 201
    accepting = {"Accept-Encoding": "gzip"}
    plain = await http("GET", f"{MAPS}/large", headers={"Accept-Encoding": "identity"})
    packed = await http("GET", f"{MAPS}/large", headers=accepting)
    small = await http("GET", f"{MAPS}/kube-root-ca.crt", headers=accepting)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in small.headers


async def test_a_field_of_sixty_thousand_bytes_is_read(http: Http) -> None:
    assert (await http("GET", "/version", headers={"X-Long": "x" * 60_000})).status == 200


async def test_aggregated_discovery_is_served_when_preferred(http: Http) -> None:
    kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    preferred = await http("GET", "/apis", headers={"Accept": f"{kind},application/json"})
    plain = await http("GET", "/apis")
    assert preferred.headers["Content-Type"] == kind
    names = {item["metadata"]["name"] for item in preferred.json["items"]}
    assert names == {group["name"] for group in plain.json["groups"]}


async def test_a_list_comes_as_list_table_or_metadata(http: Http) -> None:
    plain = (await http("GET", PODS)).json
    assert plain["kind"] == "PodList"
    assert not any("kind" in item for item in plain["items"])
    table = (await http("GET", PODS, headers=TABLE)).json
    assert [column["name"] for column in table["columnDefinitions"]][:3] == [
        "Name",
        "Ready",
        "Status",
    ]
    assert len(table["rows"]) == len(plain["items"])
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    bare = (await http("GET", f"{PODS}?includeObject=None", headers=TABLE)).json
    assert bare["rows"][0]["object"] is None
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = (await http("GET", PODS, headers={"Accept": accept})).json
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_pages_add_up_to_the_whole_list(http: Http) -> None:
    whole = [item["metadata"]["name"] for item in (await http("GET", PODS)).json["items"]]
    pages: list[list[str]] = []
    token, first_version = "", ""
    while True:
        page = (await http("GET", f"{PODS}?limit=3&continue={token}")).json
        pages.append([item["metadata"]["name"] for item in page["items"]])
        first_version = first_version or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == first_version
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == len(whole) - sum(map(len, pages))
    assert [name for page in pages for name in page] == whole
    assert [len(page) for page in pages] == [3, 3, 2]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("labelSelector=app=web", 3, id="equal"),
        pytest.param("labelSelector=app%3D%3Dweb", 3, id="double equal"),
        pytest.param("labelSelector=app!=web", 5, id="not equal"),
        pytest.param("labelSelector=app in (web,cart)", 5, id="in"),
        pytest.param("labelSelector=app notin (web,cart),app", 3, id="notin and exists"),
        pytest.param("labelSelector=!app", 0, id="does not exist"),
        pytest.param("fieldSelector=status.phase=Running", 8, id="field"),
        pytest.param("fieldSelector=status.phase!=Running", 0, id="field not equal"),
        pytest.param("fieldSelector=status.phase=Running&labelSelector=app=db", 1, id="both"),
    ],
)
async def test_selectors_select(http: Http, query: str, count: int) -> None:
    assert len((await http("GET", f"{PODS}?{query}")).json["items"]) == count


async def test_a_stale_update_conflicts(http: Http) -> None:
    created = (await http("POST", MAPS, config_map("a", key="1"))).json
    changed = created | {"data": {"key": "2"}}
    assert (await http("PUT", f"{MAPS}/a", changed)).status == 200
    answer = await http("PUT", f"{MAPS}/a", changed | {"data": {"key": "3"}})
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.message


async def test_a_write_that_changes_nothing_keeps_the_version(http: Http) -> None:
    created = (await http("POST", MAPS, config_map("a"))).json
    again = (await http("PUT", f"{MAPS}/a", created)).json
    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_a_new_pod_does_not_bring_its_own_status(http: Http) -> None:
    spec = {"containers": [{"name": "a", "image": "a"}]}
    body = {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Succeeded"}}
    assert (await http("POST", PODS, body)).json["status"]["phase"] == "Pending"


async def test_names_are_generated(http: Http) -> None:
    body = {"metadata": {"generateName": "made-"}}
    names = [(await http("POST", MAPS, body)).json["metadata"]["name"] for _ in range(2)]
    assert len(set(names)) == 2
    assert all(len(name) == len("made-") + 5 for name in names)


async def test_status_and_spec_are_written_apart(http: Http) -> None:
    path = f"{DEPLOYMENTS}/db"
    stored = (await http("GET", path)).json
    by_spec = await http(
        "PATCH",
        path,
        {"status": {"replicas": 9}, "spec": {"paused": True}},
        headers={"Content-Type": MERGE_PATCH},
    )
    assert by_spec.json["status"] == stored["status"]
    assert by_spec.json["metadata"]["generation"] == stored["metadata"]["generation"] + 1
    by_status = await http(
        "PATCH",
        f"{path}/status",
        {"status": {"replicas": 9}, "spec": {"paused": False}},
        headers={"Content-Type": MERGE_PATCH},
    )
    assert by_status.json["status"]["replicas"] == 9
    assert by_status.json["spec"]["paused"] is True


async def test_scale_is_read_and_written(http: Http) -> None:
    path = f"{DEPLOYMENTS}/web/scale"
    scale = (await http("GET", path)).json
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
        "Scale",
        {"replicas": 3},
        "app=web",
    )
    written = await http("PUT", path, scale | {"spec": {"replicas": 5}})
    assert written.json["spec"] == {"replicas": 5}
    assert (await http("PUT", path, scale | {"spec": {"replicas": 6}})).status == 409
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 1}]
    patched = await http("PATCH", path, operations, headers={"Content-Type": JSON_PATCH})
    assert patched.json["spec"] == {"replicas": 1}


async def test_delete_honours_preconditions_and_dry_run(http: Http) -> None:
    await http("POST", MAPS, config_map("a"))
    wrong = {"preconditions": {"uid": "another"}}
    assert (await http("DELETE", f"{MAPS}/a", wrong)).status == 409
    assert (await http("DELETE", f"{MAPS}/a?dryRun=All")).status == 200
    done = await http("DELETE", f"{MAPS}/a")
    assert (done.status, done.json["status"]) == (200, "Success")
    assert (await http("DELETE", f"{MAPS}/a")).status == 404


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(http: Http) -> None:
    body = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    await http("POST", MAPS, body)
    marked = await http("DELETE", f"{MAPS}/held")
    assert marked.json["metadata"]["deletionTimestamp"]
    assert (await http("GET", f"{MAPS}/held")).status == 200
    release = {"metadata": {"finalizers": None}}
    await http("PATCH", f"{MAPS}/held", release, headers={"Content-Type": MERGE_PATCH})
    assert (await http("GET", f"{MAPS}/held")).status == 404


async def test_watch_tells_of_each_change_in_order(http: Http) -> None:
    version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    async with http.watch(f"{MAPS}?watch=1&resourceVersion={version}") as events:
        await http("POST", MAPS, config_map("a", key="1"))
        await http("PUT", f"{MAPS}/a", config_map("a", key="2"))
        await http("DELETE", f"{MAPS}/a")
        seen = [await anext(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


async def test_watch_resumes_without_loss(http: Http) -> None:
    version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    for number in range(5):
        await http("POST", MAPS, config_map(f"a{number}"))
    async with http.watch(f"{MAPS}?watch=1&resourceVersion={version}") as events:
        names = [(await anext(events))["object"]["metadata"]["name"] for _ in range(5)]
    assert names == [f"a{number}" for number in range(5)]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/api/v1/watch/namespaces/shop/pods", id="legacy collection"),
        pytest.param(f"{PODS}?watch=true", id="parameter"),
        pytest.param(f"{PODS}?watch=1&resourceVersion=0", id="from zero"),
    ],
)
async def test_watch_without_version_begins_with_what_is_there(http: Http, path: str) -> None:
    async with http.watch(path) as events:
        seen = [await anext(events) for _ in range(8)]
    assert {event["type"] for event in seen} == {"ADDED"}


async def test_watch_shows_objects_entering_and_leaving_a_selection(http: Http) -> None:
    await http("POST", MAPS, config_map("a"))
    version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    path = f"{MAPS}?watch=1&labelSelector=seen=yes&resourceVersion={version}"
    async with http.watch(path) as events:
        for value in ("yes", "no"):
            label = {"metadata": {"labels": {"seen": value}}}
            await http("PATCH", f"{MAPS}/a", label, headers={"Content-Type": MERGE_PATCH})
        seen = [(await anext(events))["type"] for _ in range(2)]
    assert seen == ["ADDED", "DELETED"]


async def test_watch_ends_when_its_time_is_up(http: Http) -> None:
    version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={version}"
    async with http.watch(f"{MAPS}?{query}") as events:
        seen = [event async for event in events]
    assert not seen


async def test_watch_list_marks_the_end_of_the_beginning(http: Http) -> None:
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true"
    query += "&resourceVersionMatch=NotOlderThan"
    async with http.watch(f"{PODS}?{query}") as events:
        seen = [await anext(events) for _ in range(9)]
    assert [event["type"] for event in seen] == ["ADDED"] * 8 + ["BOOKMARK"]
    annotations = seen[-1]["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


async def test_watch_in_tables_names_the_columns_once(http: Http) -> None:
    async with http.watch(f"{PODS}?watch=1", headers=TABLE) as events:
        first, second = await anext(events), await anext(events)
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] is None


async def test_watch_from_forgotten_history_is_gone() -> None:
    async with DemoServer(history=4) as access, Http.open(access) as http:
        version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
        for number in range(6):
            await http("POST", MAPS, config_map(f"a{number}"))
        async with http.watch(f"{MAPS}?watch=1&resourceVersion={version}") as events:
            seen = [event async for event in events]
    assert [(event["type"], event["object"]["code"]) for event in seen] == [("ERROR", 410)]
    assert seen[0]["object"]["message"].startswith("too old resource version: ")


async def test_logs_take_their_options(http: Http) -> None:
    name = (await http("GET", f"{PODS}?labelSelector=app=db")).json["items"][0]["metadata"]["name"]
    log = f"{PODS}/{name}/log"
    url, headers = http.url(f"{log}?follow=true"), http.headers(None, None)
    async with http.session.get(url, headers=headers) as response:
        for _ in range(4):
            await response.content.readline()
    three = (await http("GET", f"{log}?tailLines=3")).body.splitlines()
    assert len(three) == 3
    stamped = (await http("GET", f"{log}?tailLines=1&timestamps=true")).body
    assert stamped[:2] == b"20"
    assert len((await http("GET", f"{log}?limitBytes=10")).body) == 10
    assert 0 < len((await http("GET", f"{log}?sinceSeconds=1")).body.splitlines()) <= 21
    assert (await http("GET", f"{log}?tailLines=x")).status == 400


async def test_following_a_log_flushes_each_line(demo: DemoAccess) -> None:
    async with Http.open(demo) as http:
        items = (await http("GET", f"{PODS}?labelSelector=app=db")).json["items"]
        path = f"{PODS}/{items[0]['metadata']['name']}/log?follow=true&tailLines=0"
        async with http.session.get(path, headers=http.headers(None, None)) as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            lines = [await response.content.readline() for _ in range(3)]
    assert len(set(lines)) == 3


async def test_a_stream_without_upgrade_is_refused(http: Http) -> None:
    items = (await http("GET", f"{PODS}?labelSelector=app=db")).json["items"]
    path = f"{PODS}/{items[0]['metadata']['name']}/exec?command=ls&stdout=true"
    answer = await http("GET", path)
    assert (answer.status, answer.message) == (400, "Upgrade request required")


async def test_a_websocket_without_a_known_protocol_is_refused(http: Http) -> None:
    items = (await http("GET", f"{PODS}?labelSelector=app=db")).json["items"]
    path = f"{PODS}/{items[0]['metadata']['name']}/exec?command=ls&stdout=true"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await http.session.ws_connect(path, protocols=["x"], headers=http.headers(None, None))


async def test_exec_over_the_older_websocket_protocol(http: Http) -> None:
    items = (await http("GET", f"{PODS}?labelSelector=app=db")).json["items"]
    path = f"{PODS}/{items[0]['metadata']['name']}/exec?command=hostname&stdout=true"
    socket = await http.session.ws_connect(
        path, protocols=["v4.channel.k8s.io"], headers=http.headers(None, None)
    )
    messages = [message.data async for message in socket]
    assert messages[0] == b"\x01"
    assert messages[1] == b"\x01" + items[0]["metadata"]["name"].encode() + b"\n"
    assert json.loads(messages[2][1:])["status"] == "Success"


async def test_a_watcher_that_leaves_is_forgotten(http: Http) -> None:
    for _ in range(3):
        async with http.watch(f"{MAPS}?watch=1") as events:
            await anext(events)
    await asyncio.gather(*(http("GET", "/version") for _ in range(5)))


async def test_a_url_may_have_utf_8_as_it_is(demo: DemoAccess) -> None:
    host, _, port = demo.server.removeprefix("https://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=client_context(demo))
    token = demo.admin_token.reveal()
    head = f"GET {MAPS}/größe?x=ä HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    for _ in range(2):
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        length = int(answer.lower().partition(b"content-length: ")[2].split()[0])
        message = json.loads(await reader.readexactly(length))["message"]
        assert message == 'configmaps "größe" not found'
    writer.close()


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"FOO /api/v1/pods HTTP/1.1", 405), (b"GET /api HTTP/1.1\r\nno header", 400)],
)
async def test_a_request_that_is_none_shows_nothing_of_python(
    demo: DemoAccess, line: bytes, status: int
) -> None:
    url = URL(demo.server)
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=client_context(demo))
    writer.write(line + b"\r\nHost: x\r\n\r\n")
    response = (await reader.read()).decode()
    writer.close()
    assert f" {status} " in response.partition("\r\n")[0]
    assert not re.search("python|aiohttp|b'", response, re.IGNORECASE), response
