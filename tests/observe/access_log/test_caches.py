"""What is kept of one line for the next: it is bounded, and nothing of it is shown of another."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.observe.access_log import JsonFormat, LineFormat, RequestViews, TextFormat
from kubelatch.observe.access_log.formats import CACHE_SIZE, as_duration
from kubelatch.relay.record import Memo
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig
from tests.support.upstream import ScriptedUpstream, answering, ok

from .support import OFFSET, line, logging_proxy, record

FORMATS = [pytest.param(TextFormat, id="text"), pytest.param(JsonFormat, id="json")]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "more",
    [
        {"credential": "exec"},
        {"context": "prod"},
        {"status": 404},
        {"sent": 0},
        {"first_byte": 0.0},
        {"reused": False},
        {"ended": 1001.5},
        {"audit_id": b""},
        {"audit_id": b"6F1C 0a1e"},
        {"cause": "truncated", "server": b"10.0.0.1:6443"},
        {"retries": 1, "received": 12},
        {"connect_wait": 0.004, "credential_wait": 0.002},
    ],
    ids=repr,
)
def test_a_repeated_request_has_a_line_of_its_own(
    form: type[TextFormat | JsonFormat], more: dict[str, Any]
) -> None:
    memo, one, views = Memo(), form(), RequestViews()
    for values in ({}, more, {}):
        shown = record(memo=memo, **values)
        assert one.line(shown, views.read(shown), OFFSET) == line(form(), record(**values))


@given(st.floats(0, 0.02))
def test_short_durations_are_those_of_the_table(seconds: float) -> None:
    parts = line(TextFormat(), record(started=0.0, ended=seconds or 1e-9, first_byte=0.0))
    assert parts.split()[2] == as_duration(seconds)


def test_sizes_of_responses_do_not_fill_memory() -> None:
    form, views = TextFormat(), RequestViews()
    for sent in range(3 * CACHE_SIZE):
        shown = record(sent=sent)
        assert f" {sent} " in form.line(shown, views.read(shown), OFFSET) or sent > 999
    assert len(form._outcomes) <= CACHE_SIZE


@pytest.mark.parametrize("form", [TextFormat(), JsonFormat()], ids=["text", "json"])
def test_a_clock_that_is_set_back_is_followed(form: LineFormat) -> None:
    shown, views = record(), RequestViews()
    for offset, wanted in ((0.0, "30:00.012Z"), (5.0, "30:05.012Z"), (-5.0, "29:55.012Z")):
        assert wanted in form.line(shown, views.read(shown), OFFSET + offset)


async def test_what_changes_on_a_connection_changes_in_the_log(
    tmp_path: Path, authority: Authority
) -> None:
    """The head that is repeated, and the plan made for it, serve no other one."""
    requests = [
        ("/api/v1/pods?limit=1", "User-Agent: one"),
        ("/api/v1/pods?limit=1", "User-Agent: one"),
        ("/api/v1/pods?limit=1", "User-Agent: two"),
        ("/api/v1/pods?limit=1", "User-Agent: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ.c2lnbm"),
        ("/api/v1/pods?token=hunter2", "User-Agent: two"),
        ("/api/v1/pods?limit=1", "Accept: */*"),
        ("/api/v1/pods?limit=1", "User-Agent: two"),
    ]
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "x"})
        async with logging_proxy(tmp_path, config, "--log-format=text") as (app, log):
            for _ in range(2):
                async with await Client.connect(app.name) as client:
                    for target, header in requests:
                        await client.get(target, header)
    shown = [(text.split(" GET ")[1].split()[0], text.partition(" ua=")[2]) for text in log.lines]
    assert shown == 2 * [
        ("/api/v1/pods?limit=1", "one"),
        ("/api/v1/pods?limit=1", "one"),
        ("/api/v1/pods?limit=1", "two"),
        ("/api/v1/pods?limit=1", '"Bearer ***"'),
        ("/api/v1/pods?token=***", "two"),
        ("/api/v1/pods?limit=1", ""),
        ("/api/v1/pods?limit=1", "two"),
    ]
    assert all(" cred=token client=127.0.0.1 " in text for text in log.lines)
