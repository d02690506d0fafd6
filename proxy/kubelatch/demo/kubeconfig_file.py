"""The demo's kubeconfig as a file, and its certificate authority beside it.

The kubeconfig holds keys: its mode is 0600. Neither file ever replaces one of another's.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from .access import DemoAccess
from .certificates import AUTHORITY_NAME
from .errors import DemoError


def write(access: DemoAccess, path: str) -> Path:
    """Write both files, and return the path of the authority's.

    Args:
        access: what the kubeconfig is of.
        path: the kubeconfig's; the other has the same name and the suffix ``.ca.crt``.

    Raises:
        DemoError: a file cannot be written, or is not a demo's.
    """
    config = Path(path)
    authority = config.with_suffix(".ca.crt")
    _check(config, _is_ours)
    _check(authority, _is_our_authority)
    text = yaml.safe_dump(access.kubeconfig(), sort_keys=False)
    _replace(authority, access.ca_pem, 0o644)
    _replace(config, text, 0o600)
    return authority


def _check(path: Path, is_ours: Callable[[str], bool]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is there, and no text"
        raise DemoError(f"{path}: {why}") from error
    if text and not is_ours(text):
        raise DemoError(f"{path}: it is there, and not a demo's: remove it, or choose another name")


def _is_ours(text: str) -> bool:
    """Whether a kubeconfig has a demo's cluster and no other, whatever was chosen in it since."""
    try:
        config = yaml.safe_load(text)
        return [row["name"] for row in config["clusters"]] == ["demo"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError):
        return False


def _is_our_authority(text: str) -> bool:
    try:
        subject = x509.load_pem_x509_certificate(text.encode()).subject
    except ValueError:
        return False
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [row.value for row in names] == [AUTHORITY_NAME]


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
