"""Pages of proxied applications, where they would have an origin that is not theirs alone.

Where applications have names of their own (``--service-hosts``), each is an attacker to the others
and to the API. One whose name was typed can redirect to its own page behind ``services/proxy``. To
the browser that is the user's doing still (``Sec-Fetch-Site: none``, Fetch Metadata section 2.3),
and the page's scripts would act on the API as the user.

Where several clusters share one origin, there is another reason: the API server writes its own
paths into the links of HTML that comes through a ``proxy`` subresource
(``apimachinery/pkg/util/proxy/transport.go``), and knows nothing of a prefix here: the page of one
cluster's application would act on the cluster at the root.
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


def is_from_elsewhere(found: Found) -> bool:
    """Whether a request may have begun at another origin, or at the address bar."""
    return [value for _, value in found.get("sec-fetch-site", ())] != [b"same-origin"]


def judge_page(info: RequestInfo, *, shared: bool = True) -> Refusal | None:
    """Refuse a page of a proxied application.

    Args:
        info: the request as the API server resolves it.
        shared: several clusters share the origin; otherwise applications have names of their own.
    """
    if info.verb != "proxy" and info.subresource != "proxy":
        return None
    if not shared:
        return forbidden(
            "proxied-page",
            "with --service-hosts, pages of proxied applications are not opened here: they would "
            "have the API's origin, and any application could lead to its own",
            "open the service by its own name, which http://apps.localhost lists; "
            "--accept-navigation lets pages of a path be opened here",
        )
    return forbidden(
        "proxied-page",
        "a page of a proxied application is not shown below /clusters/: the API server writes its "
        "own paths into its links, and they would lead to the cluster at the root",
        "--service-hosts gives services names of their own; or open it through a proxy for this "
        "context alone, with --context",
    )
