"""What a handler returns to aiohttp when the answer is on its way already."""

from typing import Final

from aiohttp import web


class Sent(web.StreamResponse):
    """Nothing is left to send; says whether the connection goes on."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._goes_on = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._goes_on

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to prepare."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


GO_ON: Final = Sent(keep_alive=True)
CLOSE: Final = Sent(keep_alive=False)
