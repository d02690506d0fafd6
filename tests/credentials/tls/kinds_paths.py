"""Who vouches for a server, and the certificates on the way there."""

from typing import Any

from tests.support.pki import (
    CA,
    CLIENT,
    DAY,
    NO_CA,
    NOW,
    ODD,
    Ca,
    altered,
    content,
    der,
    issuer_id,
    key_id,
    new_key,
    path_length,
    raw,
    sign,
    usage,
)

from .kinds import HERE, KINDS, Kind, bad, common_ca, good, negative_serial


def without_version(tbs: bytes) -> bytes:
    return der(0x30, content(tbs).removeprefix(bytes.fromhex("a003020102")))


def version_1(ca: Ca) -> bytes:
    """The CA's certificate in X.509 version 1."""
    bare = sign(ca.name, ca.key, ca.name, ca.key)
    return altered(bare, ca.key, without_version)


def authorities() -> None:
    """Who vouches for it."""
    key = new_key()
    renewed = Ca("kubernetes", CA, key_id(b"n" * 20), key=key, serial=2002)
    old = Ca("kubernetes", CA, key_id(b"o" * 20), key=key, serial=1001)
    forged = Ca("kubernetes", CA, key_id(b"n" * 20), serial=2002)
    for title, identified in (
        ("another key id", issuer_id(b"o" * 20)),
        ("the serial of the old CA", issuer_id(None, "kubernetes", 1001)),
        ("both of the old CA", issuer_id(b"o" * 20, "kubernetes", 1001)),
    ):
        good(f"a renewed CA: {title}", HERE, identified, ca=renewed)
        good(
            f"a renewed CA beside the old one: {title}",
            HERE,
            identified,
            ca=renewed,
            trusted=(renewed.certificate, old.certificate),
        )
        good(
            f"a renewed CA, and the old one is sent: {title}",
            HERE,
            identified,
            ca=renewed,
            between=(old.certificate,),
        )
        bad(
            f"a CA of that name with another key: {title}",
            HERE,
            identified,
            ca=forged,
            trusted=(renewed.certificate,),
        )
    other = Ca()
    for order in ("first", "last"):
        both = (common_ca().certificate, other.certificate)
        both = both if order == "first" else both[::-1]
        good(f"two CAs of one name, ours {order}", HERE, trusted=both)
        good(
            f"two CAs of one name, ours {order}, with identifiers",
            HERE,
            issuer_id(b"x" * 20),
            trusted=both,
        )
    bad("a CA of the same name", HERE, trusted=(other.certificate,))
    bad("another CA", HERE, trusted=(Ca("other").certificate,))
    bad("another CA, and nsCertType client", HERE, ODD, trusted=(Ca("other").certificate,))
    bad(
        "another CA, and ours is sent",
        HERE,
        trusted=(Ca("other").certificate,),
        between=(common_ca().certificate,),
    )
    good("a server of its CA's name", HERE, subject="ca")
    bad("a server of its CA's name, by another", HERE, subject="ca", trusted=(other.certificate,))
    for title, certificate in (
        ("a server that is trusted itself", Ca("kube-apiserver", HERE, ODD)),
        ("a CA that is trusted and serves", Ca("kube-apiserver", CA, HERE, ODD)),
    ):
        KINDS.append(
            Kind(
                title=title,
                trusted=(certificate.certificate,),
                chain=(certificate.certificate,),
                key=certificate.key,
            )
        )
    limits: dict[str, dict[str, Any]] = {
        "an expired server": {"ends": NOW - DAY / 2},
        "one for clients": {},
    }
    for title, limit in limits.items():
        itself = Ca("kube-apiserver", HERE, ODD, *(() if limit else (CLIENT,)), **limit)
        KINDS.append(
            Kind(
                title=f"{title} that is trusted itself",
                trusted=(itself.certificate,),
                chain=(itself.certificate,),
                key=itself.key,
                go=False,
                ours=False,
            )
        )
    strange = Ca("kube-apiserver", HERE, ODD)
    bad("a server that signed itself", HERE, ODD, ca=strange, trusted=(common_ca().certificate,))
    no_ca = Ca("no ca", NO_CA)
    bad("signed by what is no CA", HERE, ODD, ca=no_ca)
    bad("signed by what does not say that it is one", HERE, ODD, ca=Ca("bare", key_id(b"k")))
    bad("signed by what may not sign", HERE, ODD, ca=Ca("no sign", CA, usage("crl_sign")))
    good(
        "a CA with a key usage of no bits",
        HERE,
        ODD,
        ca=Ca("zero", CA, raw("2.5.29.15", "03020000")),
    )
    ancient = Ca("ancient")
    good("a root of X.509 version 1", HERE, ODD, ca=ancient, trusted=(version_1(ancient),))
    middle = altered(
        sign("m", ancient.key, "ca", common_ca().key), common_ca().key, without_version
    )
    bad(
        "an intermediate of X.509 version 1",
        HERE,
        ODD,
        ca=Ca("m", key=ancient.key),
        trusted=(common_ca().certificate,),
        between=(middle,),
    )
    bad("nobody is named so", HERE, ODD, trusted=(Ca("nobody").certificate,))


def paths() -> None:
    """Certificates on the way."""
    root = common_ca()
    first = Ca("first", CA, issuer=root)
    second = Ca("second", CA, issuer=first)
    way = (second.certificate, first.certificate)
    for title, between in (
        ("in order", way),
        ("in another order", way[::-1]),
        ("with the root", (*way, root.certificate)),
        ("with others", (Ca().certificate, Ca("stranger").certificate, *way)),
        ("twice", (*way, *way)),
    ):
        good(
            f"intermediates {title}",
            HERE,
            ODD,
            ca=second,
            trusted=(root.certificate,),
            between=between,
        )
    good(
        "an intermediate is trusted",
        HERE,
        ODD,
        ca=second,
        trusted=(first.certificate,),
        between=(second.certificate,),
    )
    bad(
        "an intermediate is missing",
        HERE,
        ODD,
        ca=second,
        trusted=(root.certificate,),
        between=(second.certificate,),
    )
    bad("no intermediate is sent", HERE, ODD, ca=second, trusted=(root.certificate,))
    one = Ca("one", path_length(0))
    below = Ca("below", CA, issuer=one)
    good("a path of the length that is allowed", HERE, ODD, ca=one)
    bad(
        "a path longer than is allowed",
        HERE,
        ODD,
        ca=below,
        trusted=(one.certificate,),
        between=(below.certificate,),
    )
    two = Ca("two", path_length(1))
    lower = Ca("lower", path_length(0), issuer=two)
    lowest = Ca("lowest", CA, issuer=lower)
    good(
        "two lengths that fit",
        HERE,
        ODD,
        ca=lower,
        trusted=(two.certificate,),
        between=(lower.certificate,),
    )
    bad(
        "two lengths that do not",
        HERE,
        ODD,
        ca=lowest,
        trusted=(two.certificate,),
        between=(lowest.certificate, lower.certificate),
    )
    crossed = Ca("crossed")
    by_root = Ca("crossed", CA, key=crossed.key, issuer=root)
    by_stranger = Ca("crossed", CA, key=crossed.key, issuer=Ca("stranger"))
    good(
        "cross-signed, the right one last",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(by_stranger.certificate, by_root.certificate),
    )
    bad(
        "cross-signed by strangers",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(by_stranger.certificate, crossed.certificate),
    )
    expired = Ca("crossed", CA, key=crossed.key, issuer=root, begins=NOW - 2 * DAY, ends=NOW - DAY)
    good(
        "an expired intermediate beside a good one",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(expired.certificate, by_root.certificate),
    )
    bad(
        "an expired intermediate",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(expired.certificate,),
    )
    bad(
        "an intermediate that is no CA",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(Ca("crossed", NO_CA, key=crossed.key, issuer=root).certificate,),
    )
    bad(
        "an intermediate without a say",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(Ca("crossed", key_id(b"k"), key=crossed.key, issuer=root).certificate,),
    )
    bad(
        "an intermediate that may not sign",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(
            Ca("crossed", CA, usage("digital_signature"), key=crossed.key, issuer=root).certificate,
        ),
    )
    left, right = Ca("left"), Ca("right")
    bad(
        "two that vouch for each other",
        HERE,
        ODD,
        ca=left,
        trusted=(root.certificate,),
        between=(
            Ca("left", CA, key=left.key, issuer=right).certificate,
            Ca("right", CA, key=right.key, issuer=left).certificate,
        ),
    )
    many = tuple(Ca("crossed").certificate for _ in range(60))
    good(
        "sixty of its issuer's name",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(*many, by_root.certificate),
    )
    many += tuple(Ca("crossed").certificate for _ in range(60))
    bad(
        "more of its issuer's name than are tried",
        HERE,
        ODD,
        ca=crossed,
        trusted=(root.certificate,),
        between=(*many, by_root.certificate),
    )
    bad(
        "a certificate on the way that cannot be read",
        HERE,
        ODD,
        ca=second,
        trusted=(root.certificate,),
        between=(
            *way,
            altered(root.sign("n", new_key(), serial=1 << 126), root.key, negative_serial),
        ),
    )
    long_ago: dict[str, Any] = {"begins": NOW - 2 * DAY, "ends": NOW - DAY}
    bad("expired", HERE, ODD, **long_ago)
    bad("not valid yet", HERE, ODD, begins=NOW + DAY / 2)
    bad("an expired CA", HERE, ODD, ca=Ca("late", **long_ago))
    late = Ca("late", **long_ago)
    good(
        "an expired CA, and its renewal",
        HERE,
        ODD,
        ca=late,
        trusted=(late.certificate, Ca("late", key=late.key).certificate),
    )
    bad(
        "an expired CA, and a renewal that is only sent",
        HERE,
        ODD,
        ca=late,
        between=(Ca("late", key=late.key).certificate,),
    )


authorities()
paths()
