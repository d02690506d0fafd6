"""The demo's kubeconfig as a file, and its certificate authority beside it.

The kubeconfig holds keys: its mode is 0600. Neither file ever replaces one of another's.
"""

import os
import tempfile
from pathlib import Path

import yaml

from .access import DemoAccess
from .errors import DemoError


def write(access: DemoAccess, file: str) -> Path:
    """Write both files, and return the path of the authority's.

    Args:
        access: what the kubeconfig is of.
        file: the kubeconfig's; the other has the same name and the suffix ``.ca.crt``.

    Raises:
        DemoError: a file cannot be written, or is not a demo's.
    """
    config = Path(file)
    authority = config.with_suffix(".ca.crt")
    if not _is_ours(config):
        for path in (config, authority):
            if path.exists():
                text = "it is there, and not a demo's: remove it, or choose another name"
                raise DemoError(f"{path}: {text}")
    text = yaml.safe_dump(access.kubeconfig(), sort_keys=False)
    _replace(authority, access.ca_pem, 0o644)
    _replace(config, text, 0o600)
    return authority


def _is_ours(path: Path) -> bool:
    """Whether a kubeconfig has a demo's cluster and no other, whatever was chosen in it since."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [row["name"] for row in config["clusters"]] == ["demo"]
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError):
        return False


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a file as a whole; it has its mode before it has its content."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            os.fchmod(descriptor, mode)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DemoError(f"{path}: {error.strerror}") from error
