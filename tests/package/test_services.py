"""The page on services by name prints what it says, on the demo."""

import asyncio
import shutil
from pathlib import Path

import pytest
import yaml

from kubelatch.services.errors import PERMISSIONS
from tests.support.proxies import proxy_process

from .conftest import ROOT
from .test_tour import differences
from .transcripts import run, steps

PAGE = ROOT / "docs/services.md"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl: apt-get install curl")
async def test_services_by_name_are_as_the_page_says(tmp_path: Path) -> None:
    expected = list(steps(PAGE))
    assert len(expected) == 3
    async with proxy_process("--port=0", "--demo", "--service-hosts") as proxy:
        port = proxy.address.rpartition(":")[2]
        commands = [step.command.replace("8001", port) for step in expected]
        environment = {"HOME": str(tmp_path)}
        printed = await asyncio.to_thread(run, commands, tmp_path, environment)
    assert differences(expected, printed) == []


def test_the_printed_role_is_the_one_that_errors_name() -> None:
    text = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(text)["rules"] == list(PERMISSIONS)
