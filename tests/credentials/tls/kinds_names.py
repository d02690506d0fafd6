"""Names of servers, and the constraints that CAs are under."""

from cryptography import x509

from tests.support.pki import (
    CA,
    CLIENT,
    ODD,
    Ca,
    all_but,
    names,
    only,
)

from .kinds import HERE, bad, common_ca, good

SERVERS = (
    ("*.my_cluster.example", "a.my_cluster.example", True),
    ("*.example.test", "a_b.example.test", True),
    ("a_b.example.test", "a_b.example.test", True),
    ("*.example.test", "b.a.example.test", False),
    ("*.example.test", "example.test", False),
    ("*.my_cluster.example", "my_cluster.example", False),
    ("*.my_cluster.example", "b.a.my_cluster.example", False),
    ("a*.my_cluster.example", "ab.my_cluster.example", False),
    ("a.*.my_cluster", "a.b.my_cluster", False),
    ("*", "localhost", False),
    ("*.*.my_cluster", "a.b.my_cluster", False),
    ("API.My_Cluster.Example", "api.my_cluster.example", True),
    ("*.My_Cluster.Example", "API.my_cluster.EXAMPLE", True),
    ("api.lab.test", "api.lab.test.", True),
    ("*.my_lab.test", "api.my_lab.test.", True),
    ("api.lab.test.", "api.lab.test.", True),
    ("api.lab.test.", "api.lab.test", False),
    ("xn--bcher-kva.test", "xn--bcher-kva.test", True),
    ("*.bucher_.test", "xn--bcher-kva.bucher_.test", True),
    ("my_api.test", "my-api.test", False),
    ("127.0.0.1.nip_.io", "127.0.0.2.nip_.io", False),
    ("192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.8", False),
    ("2001:db8::7", "2001:db8::7", True),
    ("2001:db8::7", "[2001:db8:0::7]", True),
    ("2001:db8::7", "2001:db8::8", False),
    ("192.0.2.7", "::ffff:192.0.2.7", True),
)

CONSTRAINTS = (
    ("permitted", only("localhost"), names("localhost"), True),
    ("permitted above", only("lab.test"), names("localhost", "a.lab.test"), False),
    ("permitted, several", only("lab.test", "localhost"), names("localhost", "x.lab.test"), True),
    ("upper case", only("LOCALHOST"), names("localhost"), True),
    ("not permitted", only("lab.test"), names("localhost"), False),
    ("not permitted, not critical", only("lab.test", critical=False), names("localhost"), False),
    ("half a label", only("host"), names("localhost"), False),
    ("below a dot", only(".lab.test", "localhost"), names("localhost", "a.lab.test"), True),
    ("not below a dot", only(".lab.test", "localhost"), names("localhost", "lab.test"), False),
    ("anything", only(""), names("localhost"), True),
    ("excluded", all_but("localhost"), names("localhost"), False),
    ("excluded, another name", all_but("lab.test"), names("localhost", "a.lab.test"), False),
    ("not excluded", all_but("lab.test"), names("localhost"), True),
    ("everything excluded", all_but(""), names("localhost"), False),
    (
        "a wildcard for what is excluded",
        all_but("secret.lab.test"),
        names("localhost", "*.lab.test"),
        False,
    ),
    (
        "a wildcard beside what is excluded",
        all_but("a.secret.lab.test"),
        names("localhost", "*.lab.test"),
        True,
    ),
    (
        "a wildcard that is permitted",
        only("lab.test", "localhost"),
        names("localhost", "*.lab.test"),
        True,
    ),
    (
        "a wildcard wider than what is permitted",
        only("a.lab.test", "localhost"),
        names("localhost", "*.lab.test"),
        False,
    ),
    ("address permitted", only("127.0.0.0/8"), HERE, True),
    ("address not permitted", only("10.0.0.0/8"), HERE, False),
    ("address excluded", all_but("127.0.0.0/8"), HERE, False),
    ("address not excluded", all_but("10.0.0.0/8", "::/0"), HERE, True),
    ("address of the other family", only("::/0"), HERE, False),
    ("address of IPv6", only("2001:db8::/32"), names("localhost", "2001:db8::1"), True),
    ("only addresses are limited", only("10.0.0.0/8"), names("localhost"), True),
    ("mailbox permitted", only("mail:lab.test"), names("localhost", "mail:a@lab.test"), True),
    (
        "mailbox of a host below",
        only("mail:.lab.test"),
        names("localhost", "mail:a@b.lab.test"),
        True,
    ),
    ("mailbox not permitted", only("mail:lab.test"), names("localhost", "mail:a@x.test"), False),
    ("one mailbox permitted", only("mail:a@lab.test"), names("localhost", "mail:a@LAB.test"), True),
    (
        "one mailbox, another asked",
        only("mail:a@lab.test"),
        names("localhost", "mail:A@lab.test"),
        False,
    ),
    ("mailbox excluded", all_but("mail:lab.test"), names("localhost", "mail:a@lab.test"), False),
    ("mailbox not excluded", all_but("mail:lab.test"), names("localhost", "mail:a@x.test"), True),
    ("URI permitted", only("uri:lab.test"), names("localhost", "uri:https://lab.test/x"), True),
    (
        "URI below a dot",
        only("uri:.lab.test"),
        names("localhost", "uri:spiffe://a.lab.test:8/x"),
        True,
    ),
    ("URI not permitted", only("uri:lab.test"), names("localhost", "uri:https://x.test/"), False),
    ("URI excluded", all_but("uri:lab.test"), names("localhost", "uri:https://lab.test/"), False),
    ("URI not excluded", all_but("uri:lab.test"), names("localhost", "uri:https://x.test/"), True),
    (
        "URI with an address",
        all_but("uri:lab.test"),
        names("localhost", "uri:https://192.0.2.7/"),
        False,
    ),
    ("URI without a host", all_but("uri:lab.test"), names("localhost", "uri:urn:x"), False),
    ("directory names, critical", only("dir:x", critical=True), names("localhost"), False),
    ("directory names", only("dir:kube-apiserver", critical=False), names("localhost"), True),
)


def server_names() -> None:
    """Names, by subjectAltName alone."""
    for pattern, server, fine in SERVERS:
        add = good if fine else bad
        add(f"{pattern} for {server}", names(pattern), ODD, server=server)
        if fine and server != pattern:
            add(f"{pattern} for {server}, without more", names(pattern), server=server)
    bad(
        "an address as a DNS name",
        (x509.SubjectAlternativeName([x509.DNSName("192.0.2.7")]), False),
        ODD,
        server="192.0.2.7",
    )
    bad("a common name alone", ODD, subject="localhost")
    bad("a common name, and other names", names("other.test"), ODD, subject="localhost")
    bad("no names of ours", names("mail:me@localhost", "uri:https://localhost/"), ODD)


def constraints() -> None:
    """What a CA may vouch for."""
    for number, (title, limits, claimed, fine) in enumerate(CONSTRAINTS):
        (good if fine else bad)(f"names {title}", claimed, ODD, ca=Ca(f"c{number}", CA, limits))
    limited = Ca("limited", CA, only("lab.test"), issuer=common_ca())
    bad(
        "names limited on the way",
        HERE,
        ODD,
        ca=limited,
        trusted=(common_ca().certificate,),
        between=(limited.certificate,),
    )
    free = Ca("free", CA, issuer=limited)
    bad(
        "names limited two above",
        HERE,
        ODD,
        ca=free,
        trusted=(common_ca().certificate,),
        between=(free.certificate, limited.certificate),
    )
    top = Ca("top", CA, only("localhost", "127.0.0.0/8"))
    claiming = Ca("claiming", CA, names("x.test"), issuer=top)
    bad(
        "names of an intermediate that are not permitted",
        names("localhost"),
        ODD,
        ca=claiming,
        trusted=(top.certificate,),
        between=(claiming.certificate,),
    )
    bad("its own limits when it is trusted itself are none of its business", CLIENT, HERE)


server_names()
constraints()
