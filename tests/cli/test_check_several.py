"""``kubelatch check`` of several contexts: one report for each, and nothing of one in another's."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubelatch.kubeconfig import entries
from tests.support.certificates import Authority
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.kubeconfig import write
from tests.support.upstream import Connection, ScriptedUpstream, ok

from .processes import kubelatch
from .test_check import check

EKS = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"


async def api(connection: Connection) -> None:
    """Responds to what a check asks."""
    while True:
        request = await connection.request()
        if request.line.startswith("POST"):
            body = b'{"status":{"userInfo":{"username":"%b"}}}' % (
                request.values("authorization")[0].removeprefix("Bearer ").encode()
            )
            await connection.send(ok(body).replace(b"200 OK", b"201 Created"))
        else:
            await connection.send(ok(b'{"gitVersion":"v1.37.0"}'))


async def test_several_contexts_are_checked_and_each_for_itself(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    real = entries.parse

    def parse(content: bytes, origin: str) -> entries.Kubeconfig:
        parsed.append(origin)
        return real(content, origin)

    monkeypatch.setattr("kubelatch.kubeconfig.merge.parse", parse)
    async with ScriptedUpstream(api, authority) as upstream:
        clusters = {
            "here": cluster(upstream, authority, user={"token": "mine"}),
            EKS: cluster(upstream, authority, user={"token": "theirs"}),
            "broken": Cluster("https://127.0.0.1:1"),
        }
        path = write(tmp_path / "config", contexts(clusters))
        common = (f"--kubeconfig={path}", "-o", "json")

        async def reports(*words: str) -> tuple[int, list[dict[str, Any]]]:
            code, stdout, stderr = await check(*common, *words)
            assert stderr == ""
            found = json.loads(stdout)
            return code, found if isinstance(found, list) else [found]

        code, named = await reports("here", EKS, "--token=flag")
        assert (code, [each["we_are"] for each in named]) == (0, ["flag", "theirs"])
        assert len(parsed) == 1
        code, every = await reports("--contexts=all")
        assert code == 1
        assert [(each["alias"], each["ok"]) for each in every] == [
            ("broken", False),
            ("here", True),
            ("prod", True),
        ]
        code, one = await reports(EKS)
        assert (code, one[0]["context"], one[0]["we_are"]) == (0, EKS, "theirs")
        code, text, _ = await check(f"--kubeconfig={path}", "here", EKS)
        assert code == 0
        assert [block.splitlines()[-1] for block in text.split("\n\n")] == ["it works"] * 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nosuch", "a@x"), 'context "nosuch" does not exist'),
        (("--contexts=nosuch",), 'context "nosuch" does not exist'),
        (("--contexts=all",), "have the same alias, x"),
        (("--context=a@x", "b@x"), "--context=a@x and the context b@x are two"),
    ],
)
async def test_what_cannot_be_checked_is_an_error(
    tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    clusters = {name: Cluster("https://127.0.0.1:1") for name in ("a@x", "b@x")}
    path = write(tmp_path / "config", contexts(clusters))
    code, _, stderr = await check(f"--kubeconfig={path}", *words)
    assert code == 2
    assert text in stderr


async def test_the_command_takes_several(tmp_path: Path) -> None:
    clusters = {name: Cluster("http://127.0.0.1:1") for name in ("a", "b")}
    path = write(tmp_path / "config", contexts(clusters))
    code, stdout, stderr = await kubelatch("check", f"--kubeconfig={path}", "a", "b")
    assert (code, stderr) == (1, "")
    assert stdout.count("problem:") == 2
