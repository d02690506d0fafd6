"""What the handler asks of whoever serves static files."""

from typing import Protocol

from .client import ClientProtocol
from .record import Record
from .registry import Registry
from .request import ClientRequest


class FileServer(Protocol):
    """Serves static files (``--www``)."""

    def begin(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        registry: Registry,
        path: str,
    ) -> None:
        """Begin to respond with the file at *path*, which is percent-decoded and relative."""
