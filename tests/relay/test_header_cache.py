"""What a connection remembers of earlier requests changes nothing.

Any sequence of requests on one connection is answered, and arrives upstream, as it would have been
on as many fresh ones, whatever is reloaded in between.
"""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelatch.gate import Gate, GateSettings
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet
from kubelatch.secret import Secret
from tests.support.client import Client
from tests.support.relay import Relay, Tokens, generation_for, relaying
from tests.support.upstream import answering, ok

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: r}
rules: [{apiGroups: [""], resources: [pods], verbs: [list, delete]}]
"""
GATES = (
    GateSettings(reject_paths=("^/api/v1/secrets",)),
    GateSettings(read_only="on"),
    GateSettings(allow_rules=RuleSet(tuple(parse_rules(ROLE, "rules.yaml")))),
    GateSettings(client_token=Secret("s3cret")),
    GateSettings(accept_origins=(r"http://a\.example",), client_auth="replace"),
)
# What a generation may differ in, beside what never shows.
PREFIXES = (b"", b"/cluster")
LINES = (
    ("Host: localhost",),
    ("Host: localhost", "Authorization: Bearer s3cret"),
    ("Host: localhost", "Authorization: Bearer other", "User-Agent: x"),
    ("Host: localhost", "Origin: http://a.example"),
    ("Host: localhost", "Origin: http://b.example", "Accept: text/html"),
    ("Host: localhost", "Impersonate-User: jane"),
    ("Host: localhost", "Expect: 100-continue"),
    ("Host: evil.example",),
    ("Host: localhost", "Connection: X-Hop", "X-Hop: 1", "X-Forwarded-For: 1.1.1.1"),
    ("Host: localhost", "X-Large: " + "x" * 5000),
)
TARGETS = (
    "/api/v1/pods",
    "/api/v1/pods?watch=true",
    "/api/v1/namespaces/a/secrets",
    "/api/v1/secrets",
    "//api",
    "/api/v1/pods?x=" + "y" * 600,
)
REQUESTS = st.tuples(
    st.sampled_from(("GET", "HEAD", "DELETE", "POST", "OPTIONS")),
    st.sampled_from(TARGETS),
    st.sampled_from(LINES),
)
Request = tuple[str, str, tuple[str, ...]]
Step = tuple[Request, str, int, int]


def steps(few: list[Request]) -> st.SearchStrategy[list[Step]]:
    """The same few requests again and again, as most clients make them: so there is something to
    remember. What may have changed in between are version, gate and generation."""
    step = st.tuples(
        st.sampled_from(few),
        st.sampled_from(("1.1", "1.1", "1.0")),
        st.sampled_from((0, 0, *range(len(GATES)))),
        st.sampled_from(range(len(PREFIXES))),
    )
    return st.lists(step, min_size=2, max_size=12)


async def ask(
    relay: Relay, client: Client, request: Request, version: str
) -> tuple[bytes, bytes, list[bytes]]:
    """The answer, without its date, and what arrived upstream."""
    method, target, lines = request
    lines = (f"{method} {target} HTTP/{version}", *lines, "Connection: keep-alive", "", "")
    before = len(relay.upstream.requests)
    await client.send("\r\n".join(lines).encode())
    answer = await client.answer(head_only=method == "HEAD")
    arrived = [r.head for r in relay.upstream.requests[before:]]
    return re.sub(rb"Date: [^\r]*", b"", answer.head), answer.body, arrived


@given(st.lists(REQUESTS, min_size=1, max_size=3).flatmap(steps))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_one_connection_is_as_good_as_many(sequence: list[Step]) -> None:
    async with relaying(answering(ok(b""))) as relay:
        gates = [Gate(setting) for setting in GATES]
        first = relay.generation
        generations = [
            generation_for(relay.upstream, None, Tokens("t"), path_prefix=prefix)
            for prefix in PREFIXES
        ]
        for generation in generations:
            relay.generation = generation
            await relay.prime()
        async with relay.client() as one:
            for request, version, gate, number in sequence:
                relay.handler.gate = gates[gate]
                relay.generation = generations[number]
                remembered = await ask(relay, one, request, version)
                async with relay.client() as fresh:
                    assert remembered == await ask(relay, fresh, request, version)
                if b"Connection: close" in remembered[0]:
                    break
        relay.generation = first
        for generation in generations:
            await generation.close()
