"""What certificates may be used for, and with which keys and signatures."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.pki import (
    ANY,
    CA,
    CLIENT,
    NO_CA,
    ODD,
    SERVER,
    Ca,
    LargeKey,
    key_id,
    new_key,
    raw,
    usage,
)

from .kinds import HERE, bad, common_ca, good, negative_serial, shared_key, stricter


def purposes() -> None:
    """What a certificate may be used for."""
    good("nothing odd")
    good("nsCertType client", HERE, ODD)
    good("nsCertType client, and usages", HERE, NO_CA, SERVER, usage("digital_signature"), ODD)
    good("usage any", HERE, ANY)
    good(
        "usage any and others",
        HERE,
        (
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
            ),
            False,
        ),
    )
    good("keyCertSign alone", HERE, usage("key_cert_sign"))
    good("cRLSign alone", HERE, usage("crl_sign"))
    good("keyAgreement alone with RSA", HERE, usage("key_agreement"), key=shared_key("2048"))
    good("a server that is a CA", HERE, CA, usage("key_cert_sign"))
    good("usage any, critical", HERE, (ANY[0], True))
    bad("usage clientAuth alone", HERE, CLIENT)
    bad("usage clientAuth alone, and nsCertType client", HERE, CLIENT, ODD)
    bad(
        "an unknown usage alone",
        HERE,
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.2.3.4.5")]), False),
    )
    bad(
        "server gated crypto for a usage",
        HERE,
        ODD,
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.16.840.1.113730.4.1")]), False),
    )
    bad("nsCertType, critical", HERE, raw(ODD[0].oid.dotted_string, "03020780", critical=True))
    bad("an unknown critical extension", HERE, ODD, raw("1.2.3.4", "0500", critical=True))
    good("an unknown extension", HERE, ODD, raw("1.2.3.4", "0500"))
    bad("a critical key identifier", HERE, ODD, (key_id(b"x")[0], True))
    for title, ours, restricted in (
        ("clientAuth", False, CLIENT), ("any", True, ANY), ("serverAuth", True, SERVER),
    ):  # fmt: skip
        ca = Ca("restricted", CA, restricted)
        (good if ours else bad)(f"a CA for {title}", HERE, ODD, ca=ca)
        below = Ca("below", CA, restricted, issuer=common_ca())
        (good if ours else bad)(
            f"an intermediate for {title}",
            HERE,
            ODD,
            ca=below,
            trusted=(common_ca().certificate,),
            between=(below.certificate,),
        )
    # Policies: RFC 5280, 4.2.1.4 and 4.2.1.11.
    policy = (
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]),
        False,
    )
    demand = (x509.PolicyConstraints(0, None), True)
    root = Ca("root")
    for title, add, limits, own in (
        ("demanded and had", stricter, (policy, demand), (policy,)),
        ("demanded and not had", bad, (policy, demand), ()),
        ("neither demanded nor had by all", good, (policy,), ()),
    ):
        middle = Ca("middle", CA, *limits, issuer=root)
        add(
            f"a policy that is {title}",
            HERE,
            ODD,
            *own,
            ca=middle,
            trusted=(root.certificate,),
            between=(middle.certificate,),
        )
    mapping = Ca("mapping", CA, raw("2.5.29.33", "300c300a06032a030406032a0305"), issuer=root)
    stricter(
        "policies that are mapped",
        HERE,
        ODD,
        ca=mapping,
        trusted=(root.certificate,),
        between=(mapping.certificate,),
    )
    stricter(
        "an issuer's serial number without its name",
        HERE,
        ODD,
        raw("2.5.29.35", "3003820105"),
    )
    stricter("no CA, and a path length", HERE, ODD, raw("2.5.29.19", "3003020100"))


def algorithms() -> None:
    """Keys and signatures."""
    for kind in ("p224", "p256", "p384", "p521", "ed25519", "2048"):
        ca = Ca(f"by {kind}", key=shared_key(kind))
        good(f"a CA with a key of {kind}", HERE, ODD, ca=ca)
    for kind in ("p384", "ed25519", "2048", "1024"):
        good(f"a key of {kind}", HERE, ODD, key=shared_key(kind))
    good("a key of RSA 1024, and nothing else", HERE, key=shared_key("1024"))
    small = Ca("small", key=shared_key("1024"))
    good("a CA with a key of RSA 1024", HERE, ca=small)
    bad("a CA with a key on secp256k1", HERE, ODD, ca=Ca("k", key=new_key("k256")))
    large = Ca("rsa", key=shared_key("2048"))
    for algorithm in (hashes.SHA384(), hashes.SHA512()):
        good(f"signed with {algorithm.name}", HERE, ODD, ca=large, algorithm=algorithm)
        good(f"signed with {algorithm.name} and ECDSA", HERE, ODD, algorithm=algorithm)
    bad("signed with sha224", HERE, ODD, ca=large, algorithm=hashes.SHA224())
    bad("signed with sha224 and ECDSA", HERE, ODD, algorithm=hashes.SHA224())
    bad("a key of ed448", HERE, ODD, key=new_key("ed448"))
    huge = common_ca().sign("huge", LargeKey())
    bad("a key of RSA 8200 among what is sent", HERE, ODD, between=(huge,))
    for digest, length, fine in (
        (hashes.SHA256(), 32, True), (hashes.SHA384(), 48, True), (hashes.SHA256(), 20, False),
    ):  # fmt: skip
        pss = padding.PSS(padding.MGF1(digest), length)
        (good if fine else bad)(
            f"PSS with {digest.name}, {length}", HERE, ODD, ca=large, algorithm=digest, pss=pss
        )
    bad(
        "PSS with two hashes",
        HERE,
        ODD,
        ca=large,
        algorithm=hashes.SHA256(),
        pss=padding.PSS(padding.MGF1(hashes.SHA384()), 32),
    )
    bad("a negative serial number", HERE, ODD, serial=1 << 126, change=negative_serial)
    bad(
        "two algorithms named",
        HERE,
        ODD,
        change=lambda tbs: tbs.replace(
            bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040303"), 1
        ),
    )


purposes()
algorithms()
