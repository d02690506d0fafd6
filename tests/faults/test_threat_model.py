"""THREAT_MODEL.md names what there is."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "THREAT_MODEL.md").read_text()


def named() -> set[str]:
    """Paths in backquotes."""
    return set(re.findall(r"`((?:proxy|tests|deploy)(?:/[\w./-]+)?)`", TEXT))


def test_every_file_it_names_exists() -> None:
    assert len(named()) > 30
    missing = {path for path in named() if not (ROOT / path).exists()}
    assert not missing


def test_every_attacker_meets_a_module_and_a_test() -> None:
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for who, _, _, where, tested in rows:
        assert "`proxy/kubelatch/" in where, who
        assert "`tests/" in tested, who


def test_every_flag_it_names_exists() -> None:
    from kubelatch.config.settings import FLAGS

    ours = {f"--{flag.name}" for flag in FLAGS}
    assert set(re.findall(r"`(--[a-z-]+)[=`]", TEXT)) <= ours


def test_readme_and_security_policy_lead_to_it() -> None:
    for page in ("README.md", "SECURITY.md"):
        assert "](THREAT_MODEL.md)" in (ROOT / page).read_text()
    assert "](docs/failure-modes.md)" in (ROOT / "SECURITY.md").read_text()
    assert "](failure-modes.md)" in (ROOT / "docs/README.md").read_text()
