"""Compares a response with the recorded one, placeholders and order of keys aside."""

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PATTERNS = {
    "uid": UUID,
    "rv": r"\d+",
    "n": r"[\d.e+-]+",
    "time": r"20\d\d-\d\d-\d\d[T ][\d:.]+Z|\w{3}, \d\d \w{3} 20[\d :]+GMT|.{20,40}",
    "ip": r"[\d.]+",
    "port": r"\d+",
    "age": r"(\d+[smhdy])+|<unknown>",
    "hash": r"[0-9a-z]{4,16}",
    "suffix": r"[bcdfghjklmnpqrstvwxz2456789]{5}",
    "text": r".*",
}
_NAMES = "buildDate ca compiler continue duration etag gen gitCommit gitTreeState goVersion id jwt"
_NAMES += " large node orders-pod platform sha256 token web-pod"
_PLACEHOLDER = re.compile("<(" + "|".join([*_PATTERNS, *_NAMES.split(), "base64 pem"]) + ")>")
_IGNORED = re.compile(
    r"\.headers\.(X-Kubernetes-Pf-\w+-Uid|Content-Length|Transfer-Encoding|Date|Server"
    r"|Process-Start-Time-Unix)$|\.(length|trimmed)$"
)
_MESSAGE = re.compile(r"\.(message|reason)$|details|^\.body$|\.text$")
_SORTED = frozenset({"nonResourceRules", "resourceRules", "spec"})
"""Lists in no order: rules, and the keys of what was trimmed to its keys."""
_SHOWN = 300

Difference = tuple[str, Any, Any]
"""A path into the response, what was recorded there, and what is there now."""


def compare(recorded: Any, response: Any) -> tuple[str, list[Difference]]:
    """The kind of a difference (empty if there is none), and all of it."""
    found = [row for row in differences(recorded, response) if not _IGNORED.search(row[0])]
    if not found:
        return "", found
    real, demo = recorded["status"], response["status"]
    if real != demo:
        if real >= 400 > demo:
            return "accepts", found
        return "refuses" if demo >= 400 > real else "status", found
    if real >= 400 and any(_MESSAGE.search(path) for path, _, _ in found):
        return "message", found
    if all(path.startswith((".headers", ".form")) for path, _, _ in found):
        headers = all(path.startswith(".headers") for path, _, _ in found)
        return "headers" if headers else "form", found
    return "body", found


def differences(real: Any, demo: Any, path: str = "") -> Iterator[Difference]:
    """Where two values differ."""
    if isinstance(real, dict) and isinstance(demo, dict):
        left = dict(demo)
        for key, value in real.items():
            name = next((k for k in left if matches(key, k)), None)
            if name is None:
                yield f"{path}.{key}", value, "<missing>"
            else:
                yield from differences(value, left.pop(name), f"{path}.{key}")
        for key, value in left.items():
            yield f"{path}.{key}", "<missing>", value
    elif isinstance(real, list) and isinstance(demo, list):
        if path.rpartition(".")[2] in _SORTED:
            real, demo = (sorted(rows, key=json.dumps) for rows in (real, demo))
        if len(real) != len(demo):
            yield path, real, demo
        else:
            for index, (one, other) in enumerate(zip(real, demo, strict=True)):
                yield from differences(one, other, f"{path}[{index}]")
    elif isinstance(real, str) and isinstance(demo, str):
        if path == ".headers.Connection":
            real, demo = real.lower(), demo.lower()
        if not matches(real, demo):
            yield path, real, demo
    elif real != demo or type(real) is not type(demo):
        yield path, real, demo


def matches(recorded: str, text: str) -> bool:
    """Whether a text is the recorded one, with anything fitting in place of placeholders."""
    return recorded == text or ("<" in recorded and bool(_pattern(recorded).fullmatch(text)))


@functools.cache
def _pattern(recorded: str) -> re.Pattern[str]:
    pieces = _PLACEHOLDER.split(recorded)
    pattern = "".join(
        f"(?:{_PATTERNS.get(piece, '.+?')})" if index % 2 else re.escape(piece)
        for index, piece in enumerate(pieces)
    )
    return re.compile(pattern, re.DOTALL)


def shown(rows: list[Difference]) -> str:
    """Differences for people."""
    return "\n".join(
        f"    {path}\n      real {json.dumps(real, ensure_ascii=False)[:_SHOWN]}"
        f"\n      demo {json.dumps(demo, ensure_ascii=False)[:_SHOWN]}"
        for path, real, demo in rows[:12]
    )


def dig(value: Any, path: str) -> Any:
    """What a dotted path leads to, or None."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def response_of(step: Any, status: int, headers: dict[str, str], body: bytes) -> Any:
    """A response in the form in which the recorded ones are kept."""
    trim = step.get("trim", "")
    text = body.decode(errors="replace")
    out: dict[str, Any] = {"status": status, "headers": headers}
    try:
        value = json.loads(body)
    except ValueError:
        return out | _text(trim, status, text, body)
    form = "pretty" if text.startswith("{\n") else "compact"
    newline = "newline" if text.endswith("\n") else "no newline"
    out["form"] = f"{form}, {newline} at the end"
    if "text" in step["response"]:
        out["text"] = text
    elif trim != "form" or status >= 400:
        out["body"] = _TRIMS.get(trim, lambda v: v)(value)
    return out


def events_of(step: Any, response: Any, body: bytes) -> Any:
    """The same for a watch: its events."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    try:
        events = [json.loads(line) for line in lines]
    except ValueError:
        return response | {"body": body.decode(errors="replace")[:3000]}
    if events and not all("object" in event for event in events):
        return response
    if step.get("trim") == "podlife":
        events = [_life(event) for event in events]
    kept = {k: v for k, v in response.items() if k not in {"body", "form"}}
    return kept | {"events": events, "form": "one JSON object a line"}


def _text(trim: str, status: int, text: str, body: bytes) -> dict[str, Any]:
    if trim in {"metrics", "metricshead"} and status == 200:
        lines = text.split("\n")
        values = [
            line if line[:1] == "#" else re.sub(r" [\d.e+-]+$", " <n>", line) for line in lines
        ]
        out: dict[str, Any] = {"form": "text", "first_lines": values[:12]}
        if trim == "metrics":
            types = (" ".join(row.split()[2:4]) for row in lines if row.startswith("# TYPE"))
            out["families"] = sorted(set(types))
        return out
    if trim == "bytes":
        zipped = body[:2] == b"\x1f\x8b"
        return {"form": "bytes", "first_bytes": "1f8b (gzip)" if zipped else body[:8].hex()}
    if not body:
        return {}
    return {"form": "text", "body": text if len(text) < 6000 else text[:600] + "..."}


def _life(event: Any) -> dict[str, Any]:
    conditions = dig(event, "object.status.conditions") or []
    return {
        "type": event["type"],
        "phase": dig(event, "object.status.phase"),
        "node": bool(dig(event, "object.spec.nodeName")),
        "deleting": bool(dig(event, "object.metadata.deletionTimestamp")),
        "ready": next((row["status"] for row in conditions if row["type"] == "Ready"), None),
    }


def _with(value: Any, key: str, change: Callable[[Any], Any]) -> Any:
    """``value`` with one of its fields changed, if it has it."""
    if not isinstance(value, dict) or key not in value:
        return value
    return value | {key: change(value[key])}


def _resources(rows: Any) -> list[str]:
    return [
        f"{row['name']} {row['kind']} {row['namespaced']} {','.join(row['verbs'])} "
        f"{','.join(row.get('shortNames', []))} {','.join(row.get('categories', []))}".strip()
        for row in rows
    ]


def _aggregated(version: Any) -> Any:
    return _with(version, "resources", lambda v: v[:1] + [row["resource"] for row in v[1:]])


def _managers(entries: Any) -> list[str]:
    return [f"{e['manager']} {e['operation']} {e.get('subresource', '')}".strip() for e in entries]


def _kinds(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("kind") == "Status":
        return value
    if "items" in value:
        kept = {key: value[key] for key in ("kind", "apiVersion") if key in value}
        items = [_kinds(item) for item in value["items"][:3]]
        return kept | {"metadata": value.get("metadata"), "items": items}
    value = {"metadata": {}} | _with(
        value, "metadata", lambda m: _with(m, "managedFields", _managers)
    )
    return _with(value, "spec", lambda v: list(v) if isinstance(v, dict) else v)


def _meta(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("kind") == "Status" or "metadata" not in value:
        return value
    metadata = {k: v for k, v in value["metadata"].items() if k != "managedFields"}
    return {key: value.get(key) for key in ("kind", "apiVersion")} | {"metadata": metadata}


def _openapi(*names: str, paths: bool = True) -> Callable[[Any], Any]:
    left_out = {"components", "definitions", "paths", "securityDefinitions"}

    def trim(value: Any) -> Any:
        if not isinstance(value, dict) or "kind" in value:
            return value
        schemas = dig(value, "components.schemas") or value.get("definitions") or {}
        known = value.get("paths") or {}
        out = {key: row for key, row in value.items() if key not in left_out}
        out |= {"number_of_paths": len(known), "number_of_schemas": len(schemas)}
        if paths:
            out["paths"] = sorted(known)[: 12 if len(known) > 60 else 60]
        bare = lambda rows: {  # noqa: E731
            name: {k: v for k, v in row.items() if k != "description"} for name, row in rows.items()
        }
        for key, schema in schemas.items():
            if key.endswith(names or ("\0",)):
                out.setdefault("schemas", {})[key] = _with(schema, "properties", bare)
        return out

    return trim


def _hashes(paths: Any) -> dict[str, str]:
    return {k: re.sub(r"hash=\w+", "hash=<hash>", json.dumps(v)) for k, v in paths.items()}


_CORE = ("api.core.v1.ConfigMap", "api.core.v1.Pod")
_TRIMS: dict[str, Callable[[Any], Any]] = {
    "names": lambda v: _with(
        v, "items", lambda rows: [dig(i, "metadata.name") for i in rows or []]
    ),
    "namesonly": lambda v: _with(v, "items", lambda rows: "some" if rows else "none"),
    "kinds": _kinds,
    "meta": _meta,
    "resources": lambda v: _with(v, "resources", _resources),
    "aggregated": lambda v: _with(
        v,
        "items",
        lambda r: [_with(i, "versions", lambda w: [_aggregated(x) for x in w]) for i in r],
    ),
    "openapi2": _openapi(),
    "openapi2pod": _openapi(*_CORE, paths=False),
    "openapi3": lambda v: v if "kind" in v else _with(v, "paths", _hashes),
    "openapi3core": _openapi(*_CORE),
    "openapi3paths": _openapi(),
    "tablerows1": lambda v: _with(v, "rows", lambda rows: (rows or [])[:1]),
    "none": lambda _: "<dropped>",
    "containers": lambda v: dig(v, "spec.template.spec.containers") or v,
    "firstitem": lambda v: _with(v, "items", lambda rows: rows[:1]),
    "jwks": lambda v: _with(v, "keys", lambda rows: [sorted(row) for row in rows]),
    "head": lambda v: (
        v
        if v.get("kind") == "Status"
        else {k: [*w[:3], "..."] if isinstance(w, list) else w for k, w in v.items()}
    ),
}
"""What of a body was kept when it was recorded."""
