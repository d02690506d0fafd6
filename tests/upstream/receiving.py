"""Requests for a transport, and what takes their responses."""

from kubelatch.errors import UpstreamError
from kubelatch.http1.headers import ClientFields
from kubelatch.http1.response import ResponseHead
from kubelatch.upstream.dial import Address, Dialer
from kubelatch.upstream.request import UpstreamRequest

Field = tuple[bytes, bytes]


def dialer(port: int) -> Dialer:
    address = Address(host="127.0.0.1", port=port, context=None, server_name="127.0.0.1")
    return Dialer(address, explain_tls=lambda error, name: UpstreamError(str(error)))


class Taker:
    """Takes a response, and writes down what it is notified of."""

    def __init__(self) -> None:
        self.response: ResponseHead | None = None
        self.size = 0
        self.flushed = 0
        self.trailers: list[Field] | None = None
        self.errors: list[UpstreamError] = []
        self.stale: list[bool] = []
        self.interim: list[int] = []

    def on_informational(self, head: ResponseHead) -> None:
        self.interim.append(head.status)

    def on_head(self, head: ResponseHead) -> None:
        assert self.response is None
        self.response = head

    def on_body(self, data: bytes) -> None:
        assert self.response is not None
        self.size += len(data)

    def on_end(self, trailers: list[Field]) -> None:
        assert self.trailers is None
        self.trailers = trailers

    def on_flush(self) -> None:
        self.flushed = self.size

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        raise AssertionError

    def on_tunnel_data(self, data: bytes) -> None:
        raise AssertionError

    def on_tunnel_eof(self) -> bool:
        raise AssertionError

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        self.errors.append(error)
        self.stale.append(stale)

    def on_pause_writing(self) -> None:
        """Nothing is written."""

    def on_resume_writing(self) -> None:
        """The same."""


def a_request(method: str = "GET", *, chunked: bool = False, body: bytes = b"") -> UpstreamRequest:
    return UpstreamRequest(
        method,
        b"/version?x=%2F",
        ClientFields(kept=[(b"X-Mine", b"1")], content_length=b"%d" % len(body) if body else None),
        path_prefix=b"/prefix",
        authority=b"upstream.test:6443",
        identity=((b"Impersonate-User", b"jane"),),
        compression=False,
        peer=b"",
        user_agent=b"test/1",
        own_credential=True,
        chunked=chunked,
    )
