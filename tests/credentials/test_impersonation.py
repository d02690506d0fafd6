"""``Impersonate-*`` header fields."""

from kubelatch.credentials import impersonation_headers
from kubelatch.kubeconfig import Impersonation


def test_no_impersonation_no_headers() -> None:
    assert impersonation_headers(None) == ()
    assert impersonation_headers(Impersonation()) == ()


def test_each_group_and_value_has_a_line_of_its_own() -> None:
    wanted = Impersonation(
        user="bob", uid="u1", groups=("g1", "g2"), extra=(("acme.com/x y", ("a", "b")),)
    )
    assert impersonation_headers(wanted) == (
        (b"Impersonate-User", b"bob"),
        (b"Impersonate-Uid", b"u1"),
        (b"Impersonate-Group", b"g1"),
        (b"Impersonate-Group", b"g2"),
        (b"Impersonate-Extra-acme.com%2Fx%20y", b"a"),
        (b"Impersonate-Extra-acme.com%2Fx%20y", b"b"),
    )
