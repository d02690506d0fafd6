"""``kubelatch check``: which cluster, as whom, and does it work.

Everything that a person wants to know before asking for help, without secrets: the files that
were read, what came out of them, how the proxy will authenticate, what expires when, whether the
API server answers and who it says we are.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from .credentials import CredentialSource, describe
from .errors import KubelatchError
from .kubeconfig import ClientConfig
from .upstream.fetch import fetch
from .upstream.generation import Generation

# authentication.k8s.io/v1 (KEP-3325): GA since Kubernetes 1.28.
_REVIEW_PATH: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEW: Final = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'


@dataclass(slots=True)
class Report:
    """What was found out.

    Attributes:
        facts: name and value in the order in which they are shown; values are JSON-like.
        problem: what does not work, and what to do; empty if all does.
        exit_code: 0 if it works.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    exit_code: int = 0

    def as_json(self) -> str:
        """One object, for programs."""
        return json.dumps({**self.facts, "ok": not self.problem, "problem": self.problem}, indent=2)

    def as_text(self) -> str:
        """Lines for people."""
        lines = [
            f"{name.replace('_', ' ') + ':':<16}{_shown(value)}"
            for name, value in self.facts.items()
            if value not in ("", None, [], {})
        ]
        lines.append(f"{'problem:':<16}{self.problem}" if self.problem else "it works")
        return "\n".join(lines)


async def check(
    config: ClientConfig,
    source: CredentialSource,
    build: Callable[[ClientConfig, CredentialSource], Generation],
    environ: Mapping[str, str],
) -> Report:
    """Describe the choice, then try it.

    Args:
        config: the chosen cluster and user.
        source: its credential.
        build: makes the generation that the proxy would use.
        environ: for the proxy variables.
    """
    report = Report()
    generation = None
    try:
        generation = build(config, source)
        await generation.credential()
        _describe(report, config, source, environ)
        await _ask(report, generation)
    except KubelatchError as error:
        _describe(report, config, source, environ)
        report.problem = str(error)
        report.exit_code = error.exit_code
    finally:
        await (generation or source).close()
    return report


def _describe(
    report: Report, config: ClientConfig, source: CredentialSource, environ: Mapping[str, str]
) -> None:
    found = describe(config, source, environ=environ, now=time.time())
    how, certificate = found.authentication, found.authentication.certificate
    report.facts |= {
        "source": found.source,
        "files": [path if exists else f"{path} (missing)" for path, exists in found.files],
        "context": found.context,
        "cluster": found.cluster,
        "server": found.server,
        "trust": found.trust,
        "ca_expires": _time(found.ca.not_after) if found.ca else "",
        "via_proxy": found.proxy,
        "user": found.user,
        "authenticates_by": " ".join(filter(None, (how.kind, how.detail))),
        "certificate_of": certificate.common_name if certificate else "",
        "certificate_expires": _time(certificate.not_after) if certificate else "",
        "token_expires": _time(how.expires_at),
        "impersonates": found.impersonation.user if found.impersonation else "",
        "warnings": list(found.warnings),
    }


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


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ("\n" + " " * 16).join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items() if inner != "")
    return str(value)
