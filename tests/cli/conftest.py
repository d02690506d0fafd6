"""A kubeconfig for a scripted upstream."""

from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.upstream import ScriptedUpstream

from .processes import Config


@pytest.fixture
def config(tmp_path: Path, authority: Authority) -> Config:
    def flag(upstream: ScriptedUpstream) -> str:
        content = kubeconfig(upstream.url, authority, user={"token": "t"})
        content["contexts"][0]["context"]["namespace"] = "shop"
        return f"--kubeconfig={write(tmp_path / 'config', content)}"

    return flag
