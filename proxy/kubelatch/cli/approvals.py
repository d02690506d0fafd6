"""``kubelatch pending``, ``approve`` and ``deny``: see and answer what waits (``--ask``)."""

import http.client
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from .._version import __version__
from ..config.commands import COMMANDS, reject_arguments
from ..config.settings import INSPECT_ADDRESS, complete, flag_set
from ..errors import KubelatchError, UsageError
from ..observe.secret_file import load_secret
from ..redact import printable
from ..secret import Secret
from .connection import ProxyConnection, parse_admin_address

# Seconds.
_TIMEOUT: Final = 60.0
_WIDTH: Final = 12
# As it is in the interface's module of routes, which is slow to import.
_AGENT: Final = f"kubelatch-command/{__version__}"


class InterfaceError(KubelatchError):
    """The proxy's interface cannot be reached, or refuses."""

    default_cause = "interface"


class _Interface:
    """The interface of a proxy that runs.

    Args:
        values: of the flags.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        file = values["inspect_secret_file"]
        if not file:
            msg = "answers need the inspector's secret"
            raise UsageError(
                msg, hint="say --inspect-secret-file=FILE, the file that the proxy has"
            )
        self._address = parse_admin_address(values["admin_address"] or INSPECT_ADDRESS)
        self._secret: Secret = load_secret(file)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a response. Raises InterfaceError."""
        connection = ProxyConnection(self._address, _TIMEOUT)
        headers = {
            "Host": "localhost",
            "Authorization": f"Bearer {self._secret.reveal()}",
            "User-Agent": _AGENT,
        }
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, f"/inspect/{path}", body=data, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            number = error.errno if isinstance(error, OSError) else None
            reason = os.strerror(number).lower() if number else str(error) or type(error).__name__
            msg = f"no proxy answers at {self._address}: {reason}"
            hint = "does it run with --ask, and is this its --admin-address?"
            raise InterfaceError(msg, hint=hint) from None
        finally:
            connection.close()
        if response.status == 401:
            msg = "the proxy does not take this secret"
            raise InterfaceError(msg, hint="is it the file of its --inspect-secret-file?")
        if response.status >= 400:
            raise InterfaceError(content.decode("utf-8", "replace").strip())
        try:
            return json.loads(content)
        except ValueError:
            raise InterfaceError(f"what answers at {self._address} is no kubelatch") from None


def approvals(name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, int]:
    """The output and exit code of one of the commands: 1 if an answer was not taken.

    Args:
        name: ``pending``, ``approve`` or ``deny``.
        arguments: of the command.
        environ: the environment.

    Raises:
        KubelatchError: a flag cannot be used, or the proxy cannot be reached.
    """
    own = COMMANDS[name].flags
    given, words = flag_set(own).parse(arguments, environ)
    values = complete(given, own, environ=environ)
    interface = _Interface(values)
    if name == "pending":
        return _pending(interface, values, words), 0
    if not words:
        msg = f"kubelatch {name} needs the id of a request"
        raise UsageError(msg, hint="'kubelatch pending' lists them")
    if name == "approve":
        return _approve(interface, words)
    reject_arguments(name, words[2:], hint="say kubelatch deny ID 'the reason'")
    ident = words[0].partition("@")[0]
    reason = words[1] if len(words) > 1 else ""
    interface.ask("POST", f"pending/{quote(ident, safe='')}/deny", {"reason": reason})
    return f"denied {printable(ident)}", 0


def _pending(interface: _Interface, values: Mapping[str, Any], words: Sequence[str]) -> str:
    if values["output"] not in {"text", "json"}:
        msg = f"--output={values['output']}: neither text nor json"
        raise UsageError(msg, hint="see 'kubelatch pending --help' for usage")
    if not words:
        if values["diff"]:
            msg = "--diff needs the id of a request"
            raise UsageError(msg, hint="'kubelatch pending' lists them")
        found = interface.ask("GET", "pending")
        if values["output"] == "json":
            return json.dumps(found, indent=2)
        blocks = ["\n".join(_lines(each)) for each in found["pending"]]
        return "\n\n".join(blocks) or "nothing waits for an answer"
    reject_arguments("pending", words[1:])
    ident = words[0].partition("@")[0]
    path = f"pending/{quote(ident, safe='')}"
    found = interface.ask("GET", path)
    if values["diff"]:
        found["change"] = interface.ask("POST", f"{path}/diff", {})
    if values["output"] == "json":
        return json.dumps(found, indent=2)
    lines = list(_lines(found))
    body = found.get("body", {})
    if "change" in found:
        lines += ["", *_change(found["change"])]
    elif "value" in body:
        lines += ["", json.dumps(body["value"], indent=2)]
    return "\n".join(lines)


def _change(change: Mapping[str, Any]) -> Iterator[str]:
    """What would change, and how to approve that."""
    if change.get("refused"):
        yield f"the API server would refuse it: {printable(change['refused'])}"
    elif change["diff"]:
        for risk in change.get("risks", ()):
            yield f"  {'risky':<{_WIDTH}}{printable(risk['field'])}: {printable(risk['value'])}"
        yield from map(printable, change["diff"].split("\n"))
        if change["lines_left"]:
            yield f"...({change['lines_left']} lines more)"
    else:
        yield "nothing would change"
    if change.get("resourceVersion"):
        ident = f"{change['id']}@{printable(change['resourceVersion'])}"
        yield f"to approve this and nothing else: kubelatch approve {ident}"


def _approve(interface: _Interface, words: Sequence[str]) -> tuple[str, int]:
    waiting = {each["id"]: each for each in interface.ask("GET", "pending")["pending"]}
    requests, lines, code = [], [], 0
    for word in words:
        ident, _, version = word.partition("@")
        if ident not in waiting:
            lines.append(
                f"not approved {printable(word)}: no such request waits, or it has changed"
            )
            code = 1
            continue
        request = {"id": ident, "digest": waiting[ident]["digest"]}
        if version:
            request["resourceVersion"] = version
        requests.append(request)
    if requests:
        for result in interface.ask("POST", "pending/approve", {"requests": requests})["results"]:
            ident = result["id"]
            what = printable(waiting[ident]["summary"])
            if result.get("error"):
                lines.append(f"not approved {ident}: {printable(result['error'])}")
                code = 1
            else:
                lines.append(f"approved {ident}: {what}")
    return "\n".join(lines), code


def _lines(request: Mapping[str, Any]) -> Iterator[str]:
    """A request as lines of text; what came from its client is escaped already."""
    yield f"{request['id']}  {printable(request['summary'])}"
    for name, text in _rows(request):
        yield f"  {name:<{_WIDTH}}{printable(text)}"


def _rows(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    left = len(request.get("risks", ()))
    for risk in request.get("risks", ()):
        yield "risky", f"{risk['field']}: {risk['value']}"
    if request.get("risks_left"):
        yield "risky", f"{request['risks_left']} more than these {left}"
    if request.get("command"):
        more = f" ...({request['command_left']} more)" if request.get("command_left") else ""
        yield "command", shlex.join(request["command"]) + more
    if request.get("container"):
        yield "container", request["container"]
    user = f"uid {request['uid']}, " if "uid" in request else ""
    yield "client", f"{user}{request['client']}"
    process = request.get("process")
    claims = [f"{process['name']}[{process['pid']}]"] if process else []
    claims += [request["user_agent"]] if request.get("user_agent") else []
    if claims:
        yield "claims", ", ".join(claims)
    yield "cluster", f"context {request['context'] or 'none'}, server {request['server']}"
    yield "request", f"{request['method']} {request['target']}"
    if request["body_size"]:
        excerpt = f": {request['excerpt']}" if request.get("excerpt") else ""
        yield "body", f"{request['body_size']} bytes{excerpt}"
    yield "stopped by", f"{request['rule']}: {request['message']}"
    age = f"{time.time() - request['asked']:.0f}s ago"
    if request.get("expires"):
        age += f", for {max(0, request['expires'] - time.time()):.0f}s more"
    yield "asked", age
