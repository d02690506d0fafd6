"""Options of a call that are wrong, and lists of the past."""

import pytest

from .support import Http, config_map

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("method", "query", "status", "message"),
    [
        ("GET", "limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("GET", "timeout=soon", 400, 'time: invalid duration "soon"'),
        ("GET", "resourceVersion=-1", 400, "strconv.ParseUint"),
        ("GET", "resourceVersion=99999999", 504, "Too large resource version: 99999999"),
        ("GET", "resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
        ("GET", "resourceVersion=0&resourceVersionMatch=Exact", 422, '"exact" is forbidden'),
        ("GET", "sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("GET", "watch=1&resourceVersionMatch=NotOlderThan", 422, "forbidden for watch unless"),
        ("GET", "watch=1&sendInitialEvents=1", 422, "requires setting resourceVersionMatch"),
        ("GET", "continue=bm9wZQ", 400, "continue key is not valid"),
        ("POST", "dryRun=Some", 422, 'Unsupported value: ["Some"]: supported values: "All"'),
        ("POST", "fieldValidation=Some", 422, 'Unsupported value: "Some"'),
        ("DELETE", "gracePeriodSeconds=x", 400, "strconv.ParseInt"),
        ("DELETE", "propagationPolicy=Some", 422, 'Unsupported value: "Some"'),
        ("DELETE", "propagationPolicy=Orphan&orphanDependents=true", 422, "cannot be both set"),
    ],
)
async def test_a_bad_option_is_refused(
    http: Http, method: str, query: str, status: int, message: str
) -> None:
    body = config_map("a") if method == "POST" else None
    refused = await http(method, f"{MAPS}?{query}", body)
    assert (refused.status, refused.json["code"]) == (status, status)
    assert message in refused.message


async def test_a_list_can_be_had_as_it_was(http: Http) -> None:
    await http("POST", MAPS, config_map("a", x="1"))
    version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    await http("PUT", f"{MAPS}/a", config_map("a", x="2"))
    await http("POST", MAPS, config_map("b"))
    await http("DELETE", f"{MAPS}/kube-root-ca.crt")
    exact = f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact"
    then = (await http("GET", exact)).json
    assert then["metadata"]["resourceVersion"] == version
    assert [item["metadata"]["name"] for item in then["items"]] == ["a", "kube-root-ca.crt"]
    assert then["items"][0]["data"] == {"x": "1"}


async def test_later_pages_are_of_the_same_moment_as_the_first(http: Http) -> None:
    for name in ("x", "y", "z"):
        await http("POST", MAPS, config_map(name))
    first = (await http("GET", f"{MAPS}?limit=2")).json
    await http("DELETE", f"{MAPS}/z")
    path = f"{MAPS}?continue={first['metadata']['continue']}"
    names = [item["metadata"]["name"] for item in (await http("GET", path)).json["items"]]
    assert names == ["y", "z"]
