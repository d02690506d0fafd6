"""The options of a call, read from its query and checked as ``meta/v1`` does.

``ListOptions``, ``GetOptions``, ``CreateOptions`` and so on: k8s.io/apimachinery ``validation``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import goerrors, status
from .paths import ApiPath
from .status import Object, StatusError

_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+)")
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_POLICIES = ("Foreground", "Background", "Orphan")
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
EXACT, NOT_OLDER = "Exact", "NotOlderThan"

Problem = tuple[str, str]
"""A field, and what is wrong with it."""


def check_timeout(target: ApiPath) -> None:
    """Raise StatusError 400 for a ``timeout`` that is no duration of Go's."""
    text = target.option("timeout")
    if text and not _DURATION.fullmatch(text):
        raise status.bad_request(
            f'invalid timeout specified in the request URL - time: invalid duration "{text}"'
        )


def integer(target: ApiPath, name: str) -> int | None:
    """A number in the query, or None.

    Raises:
        StatusError: 400 when it is none.
    """
    text = target.option(name)
    if not text:
        return None
    if problem := goerrors.number(text):
        raise status.bad_request(problem)
    return int(text)


def version(target: ApiPath, current: int) -> int:
    """The ``resourceVersion`` of a get or a list; 0 without one.

    Raises:
        StatusError: 400 or 500 when it is no number, 504 when it is not there yet.
    """
    text = target.option("resourceVersion")
    if problem := goerrors.number(text, signed=False) if text else "":
        message = f'resourceVersion: Invalid value: "{text}": {problem}'
        if target.verb == "list":
            raise status.bad_request(f"invalid resource version: {message}")
        raise status.plain_error(message)
    wanted = int(text or "0")
    if wanted > current and target.verb != "watch":
        cause = {
            "reason": "ResourceVersionTooLarge",
            "message": "Too large resource version",
        }
        raise StatusError(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {wanted}, current: {current}",
            {"causes": [cause], "retryAfterSeconds": 1},
            {"Retry-After": "1"},
        )
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What of a collection is wanted; ``following`` is the ``continue`` token."""

    version: int
    exact: bool
    limit: int
    following: str
    timeout: int
    initial_events: bool


def list_options(target: ApiPath, current: int) -> ListOptions:
    """The options of a list or a watch.

    Raises:
        StatusError: 400, 422, 500 or 504.
    """
    limit, timeout = integer(target, "limit") or 0, integer(target, "timeoutSeconds") or 0
    if problems := _list_problems(target):
        raise _invalid("ListOptions", problems)
    match, given = target.option("resourceVersionMatch"), target.option("resourceVersion")
    following = target.option("continue")
    if following and given not in {"", "0"} and target.verb != "watch":
        raise status.bad_request("specifying resource version is not allowed when using continue")
    wanted = version(target, current)
    return ListOptions(
        version=wanted,
        exact=match == EXACT or (limit > 0 and wanted > 0 and not match),
        limit=max(0, limit),
        following=following,
        timeout=timeout,
        initial_events=target.flag("sendInitialEvents"),
    )


def _list_problems(target: ApiPath) -> list[Problem]:
    name, match = "resourceVersionMatch", target.option("resourceVersionMatch")
    given, initial = target.option("resourceVersion"), "sendInitialEvents" in target.query
    known = (NOT_OLDER,) if target.verb == "watch" else (EXACT, NOT_OLDER, "")
    bad = [(name, _unsupported(match, known))] if match and match not in known else []
    if target.verb == "watch":
        wrong = {
            f"sendInitialEvents requires setting {name} to {NOT_OLDER}": initial
            and match != NOT_OLDER,
            f"{name} is forbidden for watch unless sendInitialEvents is provided": match
            and not initial,
        }
    else:
        wrong = {
            f"{name} is forbidden unless resourceVersion is provided": match and not given,
            f"{name} is forbidden when continue is provided": bool(
                match and target.option("continue")
            ),
            f'{name} "exact" is forbidden for resourceVersion "0"': match == EXACT and given == "0",
        }
    problems = [(name, f"Forbidden: {text}") for text, held in wrong.items() if held] + bad
    if initial and target.verb != "watch":
        text = "Forbidden: sendInitialEvents is forbidden for list"
        problems.append(("sendInitialEvents", text))
    return problems


def check_write(target: ApiPath) -> None:
    """Raise StatusError 422 for bad options of a create, update or patch."""
    problems = _dry_run_problems(target.query.get("dryRun", []))
    if len(target.option("fieldManager").encode()) > 128:
        problems.append(("fieldManager", "Too long: may not be more than 128 bytes"))
    validation = target.option("fieldValidation")
    if validation not in _VALIDATIONS:
        problems.append(("fieldValidation", _unsupported(validation, _VALIDATIONS)))
    if target.verb == "patch" and "force" in target.query:
        problems.append(("force", "Forbidden: may not be specified for non-apply patch"))
    if problems:
        raise _invalid(_KINDS[target.verb], problems)


def delete_options(target: ApiPath, body: Object) -> Object:
    """``DeleteOptions``: those of the body, or of the query when there is none.

    Raises:
        StatusError: 400 or 422.
    """
    given: Object = dict(body)
    if not body:
        if (grace := integer(target, "gracePeriodSeconds")) is not None:
            given["gracePeriodSeconds"] = grace
        if wanted := target.option("propagationPolicy"):
            given["propagationPolicy"] = wanted
        if "orphanDependents" in target.query:
            given["orphanDependents"] = target.flag("orphanDependents")
        if "dryRun" in target.query:
            given["dryRun"] = target.query["dryRun"]
    problems = _dry_run_problems(given.get("dryRun") or [])
    policy, name = given.get("propagationPolicy"), "propagationPolicy"
    if policy is not None and "orphanDependents" in given:
        text = "orphanDependents and deletionPropagation cannot be both set"
        problems.append((name, f'Invalid value: "{policy}": {text}'))
    if policy is not None and policy not in _POLICIES:
        problems.append((name, _unsupported(policy, (*_POLICIES, "nil"))))
    if problems:
        raise _invalid("DeleteOptions", problems)
    if policy is None and "orphanDependents" in given:
        given[name] = "Orphan" if given["orphanDependents"] else "Background"
    return given


def _dry_run_problems(values: Sequence[str]) -> list[Problem]:
    if all(value == "All" for value in values):
        return []
    listed = ", ".join(f'"{value}"' for value in values)
    return [("dryRun", f'Unsupported value: [{listed}]: supported values: "All"')]


def _unsupported(value: str, supported: Sequence[str]) -> str:
    listed = ", ".join(f'"{row}"' for row in supported)
    return f'Unsupported value: "{value}": supported values: {listed}'


def _invalid(kind: str, problems: Sequence[Problem]) -> StatusError:
    return status.invalid_fields("meta.k8s.io", kind, "", problems)
