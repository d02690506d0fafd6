"""Traffic as records, and the rules that are written for it as the gate reads them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from kubelatch.gate import Allowed, Decision, Gate, GateSettings
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet
from kubelatch.observe.access_log.request_view import RequestViews
from kubelatch.observe.written_rules.collector import PermissionCollector
from kubelatch.observe.written_rules.grouping import roles_of
from kubelatch.observe.written_rules.manifest import UNCOMMENT, manifest
from kubelatch.relay.record import Record

Manifest = dict[str, Any]


def request(
    method: str, target: str, *headers: tuple[str, str], status: int = 200, body: str = ""
) -> Record:
    """The record of a request that the API server has responded to."""
    lines = [("Host", "localhost"), *headers]
    record = Record(
        method,
        target,
        "127.0.0.1",
        1000.0,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in lines],
        status=status,
    )
    record.first_byte, record.ended = 1000.01, 1000.02
    record.error_body = body.encode()
    return record


def collect(records: Iterable[Record], *, names: bool = False) -> PermissionCollector:
    """What is learned of records."""
    collector = PermissionCollector(RequestViews(), with_names=names)
    collector.take(records)
    return collector


def written(collector: PermissionCollector, *, names: bool = False) -> str:
    """The file."""
    roles = roles_of(collector.counts)
    return manifest(roles, collector.outcomes, name="learned", context="test", with_names=names)


def uncommented(text: str) -> str:
    """The file with its dangerous rules, as the command that it names makes it."""
    _, pattern, replacement, _ = UNCOMMENT.split("/")
    return re.sub(pattern, replacement, text, flags=re.MULTILINE)


def manifests(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def gate(documents: Sequence[Manifest]) -> Gate:
    """A gate with these rules, and no filter."""
    rules = tuple(parse_rules(yaml.safe_dump_all(documents), "rules.yaml"))
    return Gate(GateSettings(allow_rules=RuleSet(rules), reject_paths=()))


def decide(judge: Gate, record: Record) -> Decision:
    return judge.decide(record.method, record.target, record.headers)


def passes(judge: Gate, record: Record) -> bool:
    return isinstance(decide(judge, record), Allowed)


def without_a_verb(documents: Sequence[Manifest]) -> Iterator[tuple[str, list[Manifest]]]:
    """The manifests without one verb of one rule, for each; and which one."""
    for at, document in enumerate(documents):
        for number, rule in enumerate(document["rules"] or []):
            for verb in rule["verbs"]:
                left = [each for each in rule["verbs"] if each != verb]
                rules = list(document["rules"])
                rules[number : number + 1] = [{**rule, "verbs": left}] if left else []
                changed: Mapping[str, Any] = {**document, "rules": rules}
                yield f"{verb} of {rule}", [*documents[:at], dict(changed), *documents[at + 1 :]]
