"""The commands that make an exchange's request again: curl, kubectl, and a program in Python.

They are made of what is kept, which is redacted: a request with a secret in it says so instead.
"""

import json
import shlex
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from ...gate.settings import CLUSTERS
from ...redact import REDACTED

_FIELDS: Final = ("accept", "content-type")
_PATCHES: Final = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
_PYTHON: Final = """\
import json
import urllib.request

request = urllib.request.Request(
    {url},
    method={method},
    headers={headers},{data}
)
with urllib.request.urlopen(request) as response:
    print(json.dumps(json.load(response), indent=2))
"""
_STREAM: Final = """\
with urllib.request.urlopen(request) as response:
    for line in response:
        print(line.decode(), end="")
"""


class ClientAddress(NamedTuple):
    """How clients reach the proxy.

    Attributes:
        url: without a path; on a unix socket its host means nothing.
        prefix: where the API is mounted, without a slash at the end.
        socket: the path of a unix socket, or ``@name``; empty for TCP.
        token_file: has the token that clients must send; empty if they need none.
        ca_file: has the authority that clients of https have to trust; empty if that is the
            system's, or in no file.
    """

    url: str
    prefix: str = ""
    socket: str = ""
    token_file: str = ""
    ca_file: str = ""


def commands(
    summary: dict[str, Any], detail: dict[str, Any], address: ClientAddress
) -> dict[str, str]:
    """The commands by name; those that cannot be are left out, with the reason in ``missing``.

    Args:
        summary: of the exchange.
        detail: of the exchange.
        address: of the proxy.
    """
    below = f"{CLUSTERS}{summary.get('context', '')}"
    if summary.get("target", "").startswith(f"{below}/"):
        address = address._replace(prefix=below)
    request = _MadeAgain(summary, detail, address)
    problem = request.problem
    if problem:
        return {"missing": problem}
    made = {"curl": request.curl(), "kubectl": request.kubectl(), "python": request.python()}
    return {name: text for name, text in made.items() if text}


class _MadeAgain:
    def __init__(
        self, summary: dict[str, Any], detail: dict[str, Any], address: ClientAddress
    ) -> None:
        self._summary = summary
        self._address = address
        self.method: str = summary.get("method", "")
        self.target: str = summary.get("target", "")
        request = detail.get("request", {})
        fields = {name.lower(): value for name, value in request.get("headers", ())}
        self._fields = {name: fields[name] for name in _FIELDS if fields.get(name)}
        self._host = fields.get("host", "")
        body = request.get("body", {})
        self._has_body = bool(body.get("size"))
        self._body = json.dumps(body["value"]) if "value" in body else None
        self._impersonates = any(name.startswith("impersonate-") for name in fields)

    @property
    def problem(self) -> str:
        """Why no command can make this request; empty if one can."""
        if not self.method:
            return "the request could not be read"
        if self._summary.get("stream") == "tunnel":
            return "it is a tunnel"
        if self._impersonates:
            return "it impersonates another user"
        texts = (self.target, self._body or "", *self._fields.values())
        if any(REDACTED in text for text in texts) or "...(" in self.target:
            return "it has a secret in it, which is not kept"
        if self._has_body and self._body is None:
            return "its body is not kept"
        return ""

    @property
    def _of_service(self) -> bool:
        """It went to a service's host name, which curl resolves, and others may not."""
        summary = self._summary
        return (summary.get("resource"), summary.get("subresource")) == ("services", "portforward")

    @property
    def _url(self) -> str:
        if self._of_service:
            return f"{self._address.url.partition('://')[0]}://{self._host}{self.target}"
        return f"{self._address.url}{self.target}"

    def curl(self) -> str:
        """A command for a POSIX shell."""
        words = ["curl", "-sS"]
        if self._summary.get("stream"):
            words.append("-N")
        if self.method == "HEAD":
            words.append("--head")
        elif self.method != ("POST" if self._has_body else "GET"):
            words += ["-X", self.method]
        socket = self._address.socket
        if socket.startswith("@"):
            words += ["--abstract-unix-socket", socket[1:]]
        elif socket:
            words += ["--unix-socket", socket]
        if self._address.ca_file:
            words += ["--cacert", self._address.ca_file]
        for name, value in self._fields.items():
            words += ["-H", f"{name.title()}: {value}"]
        if self._body is not None:
            words += ["--data-raw", self._body]
        text = shlex.join([*words, self._url])
        if self._address.token_file:
            # curl takes a password out of the list of processes, but not a header field.
            token = f'-u "kubelatch:$(cat {shlex.quote(self._address.token_file)})"'
            text = f"curl {token} {text.removeprefix('curl ')}"
        return text

    def python(self) -> str:
        """A program that needs nothing but Python."""
        address = self._address
        if address.socket or address.token_file or address.url.startswith("https:"):
            return ""
        if self._of_service:
            return ""
        text = _PYTHON.format(
            url=repr(self._url),
            method=repr(self.method),
            headers=repr({name.title(): value for name, value in self._fields.items()}),
            data=f"\n    data={self._body!r}.encode()," if self._body is not None else "",
        )
        if self.method == "HEAD":
            return text[: text.index("with ")] + (
                "with urllib.request.urlopen(request) as response:\n"
                "    print(response.status, response.headers)\n"
            )
        if self._summary.get("stream") or self._is_text:
            return text[: text.index("with ")].replace("import json\n", "") + _STREAM
        return text

    @property
    def _is_text(self) -> bool:
        """The response is no JSON."""
        path = self.target.partition("?")[0]
        return self._summary.get("subresource") in {"log", "proxy"} or path.rsplit("/", 1)[-1] in {
            "healthz", "livez", "readyz", "metrics",
        }  # fmt: skip

    def kubectl(self) -> str:
        """A command of kubectl."""
        address = self._address
        if address.socket or address.token_file or self.method == "HEAD" or self._of_service:
            return ""
        words = ["kubectl", f"--server={address.url}{address.prefix}"]
        if address.ca_file:
            words.append(f"--certificate-authority={address.ca_file}")
        raw = self.target.removeprefix(address.prefix)
        special = self._special()
        if special:
            return shlex.join([*words, *special])
        command = {
            "GET": ("get",), "POST": ("create",), "PUT": ("replace",), "DELETE": ("delete",),
        }.get(self.method)  # fmt: skip
        if command is None:
            return ""
        words += [*command, f"--raw={raw}"]
        if self.method == "GET":
            return shlex.join(words)
        text = shlex.join([*words, "-f", "-"]) if self.method != "DELETE" else shlex.join(words)
        body = self._body if self._body is not None else ""
        if self.method == "DELETE":
            # kubectl delete --raw sends no options.
            return "" if self._body not in {None, "{}"} else text
        return f"{text} <<'EOF'\n{body}\nEOF"

    def _special(self) -> list[str]:
        """The command that people type for this request; empty if there is none."""
        summary = self._summary
        verb, subresource = summary.get("verb"), summary.get("subresource", "")
        query = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        if subresource == "log" and verb == "get":
            return self._logs(query)
        if not summary.get("resource") or subresource:
            return []
        if verb in {"get", "list", "watch"} and self.method == "GET":
            return self._get(query)
        if verb == "delete" and self._body is None and not query and summary.get("name"):
            return ["delete", self._resource, summary["name"], *self._namespace]
        kind = _PATCHES.get(self._fields.get("content-type", "").partition(";")[0])
        known = all(name == "fieldManager" for name, _ in query)
        if verb == "patch" and kind and known and self._body is not None and summary.get("name"):
            return [
                "patch", self._resource, summary["name"], *self._namespace,
                f"--type={kind}", f"--patch={self._body}",
            ]  # fmt: skip
        return []

    def _get(self, query: list[tuple[str, str]]) -> list[str]:
        summary = self._summary
        words = ["get", self._resource]
        values = dict(query)
        known = {"labelSelector", "fieldSelector", "limit", "watch", "resourceVersion",
                 "allowWatchBookmarks", "timeoutSeconds", "timeout",
                 "resourceVersionMatch", "sendInitialEvents"}  # fmt: skip
        if set(values) - known:
            return []
        name = summary.get("name")
        by_selector = "fieldSelector" in values
        if name and not by_selector:
            words.append(name)
        words += self._namespace
        if not summary.get("namespace") and not name and self._namespaced:
            words.append("--all-namespaces")
        if values.get("labelSelector"):
            words.append(f"--selector={values['labelSelector']}")
        if by_selector:
            words.append(f"--field-selector={values['fieldSelector']}")
        if summary.get("verb") == "watch":
            words.append("--watch")
        if "as=Table" not in self._fields.get("accept", ""):
            words.append("--output=json")
        return words

    def _logs(self, query: list[tuple[str, str]]) -> list[str]:
        words = ["logs", self._summary.get("name", ""), *self._namespace]
        flags = {
            "container": "container", "follow": "follow", "previous": "previous",
            "tailLines": "tail", "timestamps": "timestamps",
        }  # fmt: skip
        for name, value in query:
            if name not in flags:
                return []
            words.append(f"--{flags[name]}={value}")
        return words

    @property
    def _resource(self) -> str:
        summary = self._summary
        group = summary.get("group")
        if not group:
            return str(summary["resource"])
        return f"{summary['resource']}.{summary['version']}.{group}"

    @property
    def _namespace(self) -> list[str]:
        namespace = self._summary.get("namespace")
        if not namespace or self._summary.get("resource") == "namespaces":
            return []
        return [f"--namespace={namespace}"]

    @property
    def _namespaced(self) -> bool:
        from ...gate.explain import is_cluster_scoped  # noqa: PLC0415 -- builds a table

        group, resource = self._summary.get("group", ""), self._summary["resource"]
        return not is_cluster_scoped(group, resource)
