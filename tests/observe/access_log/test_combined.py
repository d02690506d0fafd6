"""How a record looks in Apache's format; what concerns all formats is in ``test_formats``."""

from kubelatch.observe.access_log import CombinedFormat

from .support import line, record


def test_combined_is_apaches() -> None:
    shown = record(
        version=(1, 0),
        headers=((b"Referer", b"http://x/?token=y"), (b"user-agent", b'a "b" \\')),
    )
    assert line(CombinedFormat(), shown) == (
        "127.0.0.1 - - [14/Nov/2023:22:30:00 +0000] "
        '"GET /api/v1/namespaces/shop/pods?limit=500 HTTP/1.0" 200 1234 '
        '"http://x/?token=***" "a \\"b\\" \\\\"'
    )


def test_combined_of_a_request_that_was_told_nothing() -> None:
    shown = record(client="", status=0, sent=0, headers=(), cause="client-gone", protocol="")
    assert line(CombinedFormat(), shown) == (
        "- - - [14/Nov/2023:22:30:00 +0000] "
        '"GET /api/v1/namespaces/shop/pods?limit=500 HTTP/1.1" 499 - "-" "-"'
    )
