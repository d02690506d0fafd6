"""Pages of proxied applications, where several clusters share one origin.

The API server writes its own paths into the links of HTML that comes through a ``proxy``
subresource (``apimachinery/pkg/util/proxy/transport.go``), and knows nothing of a prefix here: the
page of one cluster's application would act on the cluster at the root.
"""

from typing import Final

from ..http1.fields import Fields
from .decision import Refusal, forbidden
from .head import Found
from .request_info import RequestInfo

_NAVIGATE: Final = b"navigate"


def is_navigation(found: Found, fields: Fields) -> bool:
    """Whether a browser is going to show the response as a page, or in a frame of one.

    ``Sec-Fetch-Mode`` says so where browsers send it: to loopback addresses and over https. Where
    it is absent, ``Accept`` does: API clients and tools do not ask for HTML.
    """
    modes = found.get("sec-fetch-mode")
    if modes is not None:
        return any(value == _NAVIGATE for _, value in modes)
    return any(
        b"text/html" in fields.pairs[at][1].lower()
        for at in fields.names.positions.get(b"accept", ())
    )


def judge_page(info: RequestInfo) -> Refusal | None:
    """Refuse a page of a proxied application.

    Args:
        info: the request as the API server resolves it.
    """
    if info.verb != "proxy" and info.subresource != "proxy":
        return None
    return forbidden(
        "proxied-page",
        "a page of a proxied application is not shown below /clusters/: the API server writes its "
        "own paths into its links, and they would lead to the cluster at the root",
        "--service-hosts gives services names of their own; or open it through a proxy for this "
        "context alone, with --context",
    )
