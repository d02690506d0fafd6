"""Time that a test moves, users, and plugins that are real executables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelatch.kubeconfig import ClientConfig, Overrides, load_mapping

V1 = "client.authentication.k8s.io/v1"


@dataclass
class Clock:
    """Both clocks: seconds since the epoch, and seconds that only grow."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def config_for(
    user: dict[str, Any], overrides: Overrides | None = None, **cluster: Any
) -> ClientConfig:
    """The configuration of one user at one https server."""
    entry = {"server": "https://api.example.test", **cluster}
    return load_mapping(
        {
            "clusters": [{"name": "c", "cluster": entry}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        },
        overrides,
        environ={"KUBERC": "off"},
    )


class Plugin:
    """A shell script that stands for a credential plugin, and counts its runs."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "plugin"
        self._log = directory / "runs"
        self.says("")

    def says(self, body: str) -> None:
        """Replace what it does."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"#!/bin/sh\necho run >> '{self._log}'\n{body}\n")
        fresh.chmod(0o755)
        fresh.replace(self.path)

    def answers(self, status: str, before: str = "") -> None:
        """Let it print a credential."""
        self.says(
            f"{before}\ncat <<'END'\n"
            f'{{"kind":"ExecCredential","apiVersion":"{V1}","status":{status}}}\nEND'
        )

    @property
    def runs(self) -> int:
        return self._log.read_text().count("run") if self._log.exists() else 0

    def user(self, **settings: Any) -> dict[str, Any]:
        """A kubeconfig user with this plugin."""
        plugin = {"command": str(self.path), "apiVersion": V1, "interactiveMode": "Never"}
        return {"exec": {**plugin, **settings}}
