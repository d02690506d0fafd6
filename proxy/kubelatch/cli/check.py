"""``kubelatch check``: report the cluster, the user and whether requests work, without secrets.

It shows the files that were read, the chosen cluster and user, how the proxy authenticates, what
expires when, whether the API server responds, and whom it authenticates, for one context or for
several. With ``--can-i`` it evaluates ``--allow-rules`` instead.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ..config.commands import COMMANDS
from ..config.settings import Settings, complete, flag_set, from_values
from ..context.assembly import build_generation, load_configuration
from ..credentials import CredentialSource, expiry_warnings
from ..credentials.tls import certificate_info
from ..errors import ConfigError, KubelatchError, UsageError
from ..kubeconfig import DISK, ClientConfig, proxy_for
from ..redact import redact, sanitize
from ..system.event_loop import loop_factory
from ..system.process import forbid_core_dumps
from ..upstream.fetch import fetch
from ..upstream.generation import Generation

# authentication.k8s.io/v1 (KEP-3325): GA since Kubernetes 1.28.
_REVIEW_PATH: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
# "certificate expires:" and a space.
_WIDTH: Final = 21
_REVIEW: Final = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'


@dataclass(slots=True)
class Report:
    """The result of a check.

    Attributes:
        facts: names and JSON-like values, in the order in which they are shown.
        problem: the first failure, with a hint; empty if requests work.
        exit_code: 0 if requests work.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        facts = {**self.facts, "ok": not self.problem, "problem": self.problem}
        # JSON escapes control characters itself.
        redacted: dict[str, Any] = _each_text(facts, redact)
        return redacted

    def as_text(self) -> str:
        """As lines of text."""
        facts = {
            name: _each_text(value, sanitize)
            for name, value in self.facts.items()
            if value not in ("", [], {})
        }
        lines = [
            f"{name.replace('_', ' ') + ':':<{_WIDTH}}{_shown(value)}"
            for name, value in facts.items()
        ]
        lines.append(f"{'problem:':<{_WIDTH}}{self.problem}" if self.problem else "it works")
        return "\n".join(lines)


FLAGS: Final = COMMANDS["check"].flags


def check(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, int]:
    """The command's output and exit code: 0 for works or yes, 1 for fails or no.

    Raises:
        KubelatchError: a flag or a file cannot be used.
    """
    given, positional = flag_set(FLAGS).parse(arguments, environ)
    values = complete(given, FLAGS, environ=environ)
    if values["output"] not in {"text", "json"}:
        msg = f"--output={values['output']}: neither text nor json"
        raise UsageError(msg, hint="see 'kubelatch check --help' for usage")
    if values["can_i"]:
        return _can_i(values, positional)
    if values["demo"]:
        msg = "check looks at a cluster of yours, and --demo brings its own"
        raise UsageError(msg, hint="say kubelatch run --demo -- kubelatch check")
    settings = from_values(values)
    if not settings.allow_core_dumps:
        forbid_core_dumps()
    several = bool(settings.contexts) or len(positional) > 1
    reports = (
        _several(settings, positional, environ)
        if several
        else [_one(settings, positional, environ)]
    )
    reports[0].facts["warnings"] = [*reports[0].facts.get("warnings", ()), *settings.notes]
    if values["output"] == "json":
        found: Any = [report.as_json() for report in reports]
        text = json.dumps(found if several else found[0], indent=2)
    else:
        text = "\n\n".join(report.as_text() for report in reports)
    return text, max(report.exit_code for report in reports)


def _one(settings: Settings, positional: Sequence[str], environ: Mapping[str, str]) -> Report:
    if positional:
        from .check_several import choose_one  # noqa: PLC0415 -- seldom used

        settings = choose_one(settings, positional[0])
    config = load_configuration(settings, environ)
    generation = build_generation(config, settings, environ)
    with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as loop:
        return loop.run(try_requests(config, generation, environ))


def _several(settings: Settings, names: Sequence[str], environ: Mapping[str, str]) -> list[Report]:
    from .check_several import check_contexts  # noqa: PLC0415 -- seldom used

    with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as loop:
        return loop.run(check_contexts(settings, names, environ))


def _can_i(values: Mapping[str, Any], positional: Sequence[str]) -> tuple[str, int]:
    from ..gate.explain import explain  # noqa: PLC0415
    from ..gate.manifests import load_rules  # noqa: PLC0415

    if len(positional) != 1 or not values["allow_rules"]:
        msg = "--can-i asks --allow-rules about one thing"
        raise UsageError(msg, hint="say kubelatch check --allow-rules FILE --can-i list pods")
    found = explain(
        load_rules(values["allow_rules"]),
        values["can_i"],
        positional[0],
        namespace=values["namespace"] or "default",
        subresource=values["subresource"],
    )
    return str(found), 0 if found.allowed else 1


async def try_requests(
    config: ClientConfig, generation: Generation, environ: Mapping[str, str]
) -> Report:
    """Describe the configuration, then send requests to the API server."""
    report = Report()
    try:
        await generation.credential()
        _describe(report, config, generation.credentials, environ)
        await _ask(report, generation)
    except KubelatchError as error:
        _describe(report, config, generation.credentials, environ)
        report.problem = str(error)
        report.exit_code = error.exit_code
    finally:
        await generation.close()
    return report


def _describe(
    report: Report, config: ClientConfig, source: CredentialSource, environ: Mapping[str, str]
) -> None:
    status = source.describe()
    certificate, ca_data = status.certificate, config.tls.ca_data
    ca = certificate_info(ca_data) if ca_data else None
    report.facts |= {
        "source": config.source,
        "files": [
            path if DISK.signature(path) is not None else f"{path} (missing)"
            for path in config.files
        ],
        "context": config.context,
        "cluster": config.cluster_name,
        "server": config.server.url,
        "trust": _trust(config),
        "ca_expires": _time(ca.not_after) if ca else "",
        "via_proxy": _proxy(config, environ),
        "user": config.user_name,
        "authenticates_by": " ".join(filter(None, (status.kind, status.detail))),
        "certificate_of": certificate.common_name if certificate else "",
        "certificate_expires": _time(certificate.not_after) if certificate else "",
        "token_expires": _time(status.expires_at),
        "impersonates": config.impersonation.user if config.impersonation else "",
        "warnings": [*config.warnings, *expiry_warnings(status, now=time.time(), ca=ca)],
    }


def _trust(config: ClientConfig) -> str:
    if config.server.scheme == "http":
        return "none: plain http"
    if config.tls.insecure:
        return "anyone: the server is not verified"
    if config.tls.ca_file:
        return f"the CA in {config.tls.ca_file}"
    return "the CA in the kubeconfig" if config.tls.ca_data else "the system's CAs"


def _proxy(config: ClientConfig, environ: Mapping[str, str]) -> str:
    try:
        proxy = proxy_for(config.server.url, config, environ)
    except ConfigError as error:
        return error.message
    return f"{proxy.scheme}://{proxy.host}:{proxy.port}" if proxy else ""


async def _ask(report: Report, generation: Generation) -> None:
    begun = time.monotonic()
    version = await fetch(generation, "GET", "/version")
    report.facts["answers"] = {
        "status": version.status,
        "version": _json(version.body).get("gitVersion", ""),
        "milliseconds": round((time.monotonic() - begun) * 1000),
    }
    review = await fetch(generation, "POST", _REVIEW_PATH, _REVIEW)
    if review.status == 401:
        report.problem = (
            "the API server does not accept this credential (401). Log in again, or fetch the "
            "kubeconfig again."
        )
        report.exit_code = 1
    elif review.status == 201:
        who = _json(review.body).get("status", {}).get("userInfo", {})
        report.facts["we_are"] = who.get("username", "")
        report.facts["groups"] = who.get("groups", [])


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds is not None else ""


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """JSON-like data with *change* applied to every string."""
    match value:
        case str():
            return change(value)
        case list():
            return [_each_text(item, change) for item in value]
        case dict():
            return {name: _each_text(item, change) for name, item in value.items()}
        case _:
            return value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ("\n" + " " * _WIDTH).join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items() if inner != "")
    return str(value)
