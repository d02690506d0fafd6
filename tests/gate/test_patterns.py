"""kubectl's filter: patterns, defaults, hosts, warnings."""

import re
import sys
from typing import Any

import pytest
import re2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kubelatch.errors import UsageError
from kubelatch.gate import (
    DEFAULT_ACCEPT_HOSTS,
    Allowed,
    Gate,
    GateSettings,
    split_patterns,
)
from kubelatch.gate.patterns import PatternList
from kubelatch.secret import Secret

from .support import allowed, decide, refused


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        ("", ()),
        ("^/a", ("^/a",)),
        ("^/a,^/b", ("^/a", "^/b")),
        ("^/a{1,3}$", ("^/a{1", "3}$")),
        ("a,", ("a", "")),
    ],
)
def test_a_flag_is_split_at_every_comma(value: str, patterns: tuple[str, ...]) -> None:
    assert split_patterns(value) == patterns


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/", None),
        ("/api/v1/namespaces/d/pods/p", None),
        ("/api/v1/namespaces/d/pods/p/exec?command=ls", "reject-paths"),
        ("/api/v1/namespaces/d/pods/p/attach", "reject-paths"),
        pytest.param(
            "/api/v1/namespaces/pods/services/x/executor", "reject-paths", id="kubectl's mistake"
        ),
        ("/api/v1/namespaces/d/pods/p/portforward", None),
        ("/apis/x/pods/p/exec", None),
        pytest.param("/api/v1/namespaces/%ff/pods/p/exec", "reject-paths", id="not UTF-8"),
    ],
)
def test_the_defaults_are_kubectls(target: str, rule: str | None) -> None:
    decision = decide("GET", target)
    if rule is None:
        allowed(decision)
    else:
        hint = refused(decision, rule).hint
        assert "--reject-paths=''" in hint


@pytest.mark.parametrize(
    ("settings", "method", "target", "rule"),
    [
        pytest.param({"accept_paths": ("/api",)}, "GET", "/foo/api", None, id="unanchored"),
        ({"accept_paths": ("^/api$",)}, "GET", "/api/v1", "accept-paths"),
        pytest.param({"accept_paths": ("^/.*",)}, "GET", "/", None, id="the root path is /"),
        pytest.param(
            {"reject_paths": ("^/api/.*/(secrets|exec)$",)},
            "GET",
            "/api/%ff/secrets",
            "reject-paths",
            id="not UTF-8 is no way around",
        ),
        ({"reject_paths": (r"^/a.{2}\z",)}, "GET", "/a%e2%82", "reject-paths"),
        pytest.param({"accept_paths": ("^/api",)}, "GET", "/api?x=^/b", None, id="query unseen"),
        ({"accept_paths": ()}, "GET", "/", "accept-paths"),
        ({"accept_hosts": ()}, "GET", "/", "accept-hosts"),
        ({"reject_paths": ()}, "GET", "/api/v1/pods/p/exec", None),
        ({"reject_methods": ("POST",)}, "XPOSTX", "/", "reject-methods"),
        ({"reject_methods": ("POST",)}, "GET", "/", None),
        ({"reject_methods": ()}, "POST", "/", None),
        pytest.param(
            {"reject_paths": ("^/x",), "reject_methods": ("^PUT$",), "accept_paths": ()},
            "PUT",
            "/x",
            "reject-paths",
            id="first reject-paths",
        ),
        pytest.param(
            {"reject_methods": ("^PUT$",), "accept_paths": ()},
            "PUT",
            "/x",
            "reject-methods",
            id="then reject-methods",
        ),
        ({"reject_paths": ("(?i)^/API/.*/SECRETS",)}, "GET", "/api/v1/secrets", "reject-paths"),
        ({"reject_paths": ("/[[:lower:]]+$",)}, "GET", "/1/abc", "reject-paths"),
        ({"reject_paths": (r"\.php\z",)}, "GET", "/x.php", "reject-paths"),
        ({"disable_filter": True, "accept_paths": ()}, "GET", "/api/v1/pods/p/exec", None),
    ],
)
def test_patterns(settings: dict[str, Any], method: str, target: str, rule: str | None) -> None:
    decision = decide(method, target, **settings)
    if rule is None:
        allowed(decision)
    else:
        refused(decision, rule)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8001",
        "LOCALHOST:1",
        "localhost.",
        "LocalHost.:8001",
        "127.0.0.1:",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8001",
    ],
)
def test_the_proxys_own_names_are_accepted(host: str) -> None:
    allowed(decide("GET", "/api", host=host))


@pytest.mark.parametrize(
    ("host", "rule", "status"),
    [
        ("evil.example", "accept-hosts", 403),
        ("localhost.evil.example", "accept-hosts", 403),
        ("evil-localhost", "accept-hosts", 403),
        ("127.0.0.1.nip.io:8001", "accept-hosts", 403),
        ("127x0x0x1", "accept-hosts", 403),
        ("localhost..", "accept-hosts", 403),
        ("::1", "host", 400),
        ("[::1", "host", 400),
        ("localhost:evil", "host", 400),
        ("localhost:80:80", "host", 400),
        ("user@localhost", "host", 400),
        ("localhost, evil.example", "host", 400),
        ("localhost/evil", "host", 400),
        ("localh\u00f6st", "host", 400),
        ("", "accept-hosts", 403),
    ],
)
def test_other_names_are_not(host: str, rule: str, status: int) -> None:
    refused(decide("GET", "/api", host=host), rule, status)
    refused(decide("GET", "/api", host=host, unix_socket=True), rule, status)


def test_http_1_0_without_a_host_is_refused() -> None:
    refused(decide("GET", "/api", host=None, version=(1, 0)), "accept-hosts")


def test_patterns_written_around_kubectls_bracket_fault_still_match() -> None:
    allowed(decide("GET", "/api", host="[::1]:8001", accept_hosts=("^::1$",)))
    allowed(decide("GET", "/api", host="MyHost:1", accept_hosts=("^MyHost$",)))
    allowed(decide("GET", "/api", host="myhost", accept_hosts=("^MyHost$",)))


def test_hosts_are_judged_anew_when_many_have_been_seen() -> None:
    gate = Gate(GateSettings(accept_hosts=("^ok",)))
    for number in range(600):
        for host in (f"ok{number}", f"no{number}"):
            for _ in range(2):
                decision = gate.decide("GET", "/", [(b"Host", host.encode())])
                assert isinstance(decision, Allowed) == host.startswith("ok")


@pytest.mark.parametrize(
    ("flag", "pattern"),
    [
        ("accept_paths", "("),
        ("reject_paths", "(?!x)"),
        ("accept_hosts", "[a"),
        ("reject_methods", "*"),
        ("accept_origins", "a)|(b"),
    ],
)
def test_a_bad_pattern_fails_the_start_and_is_named(flag: str, pattern: str) -> None:
    settings: dict[str, Any] = {flag: (pattern,)}
    with pytest.raises(UsageError) as caught:
        Gate(GateSettings(**settings))
    assert "--" + flag.replace("_", "-") in caught.value.message
    assert pattern in caught.value.message
    assert "Error compiling re" in caught.value.message
    assert "error parsing regexp: " in caught.value.message


DISABLED = "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious"
RELAXED = (
    "Request filter has been relaxed, your proxy may be vulnerable to attacks, please be cautious"
)


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        ({}, ()),
        ({"disable_filter": True, "client_token": Secret("s")}, (DISABLED,)),
        ({"disable_filter": True, "unix_socket": True}, ()),
        ({"reject_paths": ()}, (RELAXED,)),
        ({"reject_methods": (), "unix_socket": True}, (RELAXED,)),
        ({"accept_paths": ("a", "b{2}")}, ()),
    ],
)
def test_warnings_are_kubectls(settings: dict[str, Any], warnings: tuple[str, ...]) -> None:
    assert Gate(GateSettings(**settings)).warnings == warnings


@pytest.mark.parametrize("more", [{}, {"reject_paths": ()}, {"accept_hosts": (".*",)}])
def test_without_the_filter_the_start_warns_of_rebinding(more: dict[str, Any]) -> None:
    first, second = Gate(GateSettings(disable_filter=True, **more)).warnings
    assert first == DISABLED
    assert "DNS rebinding" in second
    assert "--client-token-file" in second
    assert len(f"WARNING: {second}") < 100


@pytest.mark.parametrize(
    "pattern",
    ["", ".*", "localhost", r"^127\.", "^127.0.0.1$", r"^localhost$|evil", r"^a|b\.localhost$",
     r"^(evil|.*\.localhost)$", "^.localhost$", r"^evil(a\.)?localhost$", r"^localhost\.evil$",
     r"^dash\.corp\.example$", r"^192\.168\.1\.7$", r"(?i)^dash$", "::1"],
)  # fmt: skip
def test_names_that_browsers_do_not_trust_are_warned_about(pattern: str) -> None:
    hosts = (r"^localhost$", pattern)
    warnings = Gate(GateSettings(accept_hosts=hosts)).warnings
    warning = next(warning for warning in warnings if "any web page" in warning)
    assert f"={pattern}:" in warning
    assert len(f"WARNING: {warning}") < 100
    with_token = Gate(GateSettings(accept_hosts=hosts, client_token=Secret("s")))
    assert not any("any web page" in warning for warning in with_token.warnings)


@pytest.mark.parametrize(
    "pattern",
    [*DEFAULT_ACCEPT_HOSTS.split(","), "^::1$", r"^127\.\d+\.\d+\.\d+$", r"^127\.0\.0\.[0-9]+$",
     r"^.*\.localhost$", r"^[a-z-]+\.localhost$", r"^([^.]+\.)?localhost$",
     r"^(?:[a-z]+\.)*localhost\.?$", r"(?i)^localhost$"],
)  # fmt: skip
def test_names_of_loopback_are_not_warned_about(pattern: str) -> None:
    assert Gate(GateSettings(accept_hosts=(pattern,))).warnings == ()


def test_a_pattern_cut_by_a_comma_is_warned_about() -> None:
    (warning,) = Gate(GateSettings(accept_paths=split_patterns("^/a{1,3}$"))).warnings
    assert "--accept-paths" in warning
    assert "'^/a{1'" in warning
    (warning,) = Gate(GateSettings(reject_paths=split_patterns("^/a,"))).warnings
    assert "--reject-paths" in warning
    assert "everything" in warning


PIECES = st.sampled_from(
    ["^", "$", ".*", "a", "b", "/", "-", r"\.", r"\[", r"\/", "ab", ":", r"\(", r"\+", "%", "#"]
)
LETTERS = st.sampled_from(["k", "S", "Ik", "ss"])
FOLDS = st.fixed_dictionaries({"ignore_case": st.booleans(), "whole": st.booleans()})


@example("^ab.*b$", "ab", {"ignore_case": False, "whole": False})
@example("a.*ab", "ab", {"ignore_case": False, "whole": False})
@example("i", "\u0130", {"ignore_case": True, "whole": False})
@example("^ks$", "\u212a\u017f", {"ignore_case": True, "whole": False})
@example("a.*a", "a", {"ignore_case": False, "whole": True})
@given(
    st.lists(PIECES | LETTERS, max_size=6).map("".join),
    st.text(st.sampled_from("abAB/-.[(+:%#kKsSI\u212a\u017f\u0130\u0131\u00df"), max_size=8),
    FOLDS,
)
def test_patterns_without_an_engine_match_as_re2_does(
    pattern: str, text: str, folds: dict[str, bool]
) -> None:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not folds["ignore_case"]
    try:
        re2.compile(pattern, options)
        searched = rf"\A(?:{pattern})\z" if folds["whole"] else pattern
        expected = re2.compile(searched, options).search(text) is not None
    except re2.error:
        assume(False)
    patterns = PatternList("--flag", (pattern,), **folds)
    assert (patterns.first_match(text) == pattern) == expected
    assert expected or not patterns.matches_all


def test_the_defaults_need_no_re2_and_other_patterns_report_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a Python for which google-re2 has no wheel."""
    monkeypatch.setitem(sys.modules, "re2", None)
    Gate(GateSettings(accept_origins=(r"http://app\.example",)))
    with pytest.raises(UsageError, match=r"--accept-paths.*needs RE2.*google-re2") as caught:
        Gate(GateSettings(accept_paths=("^/(a|b)",)))
    assert caught.value.exit_code == 2


@given(st.lists(PIECES | st.sampled_from(["[ab]", "(b|/)", "a+"]), max_size=4).map("".join))
def test_several_patterns_match_when_one_of_them_does(pattern: str) -> None:
    try:
        re2.compile(pattern)
    except re2.error:
        assume(False)
    patterns = PatternList("--flag", ("^never$", pattern, "^nor[t]his$"))
    for text in ("", "a", "/ab", "b-/", "[."):
        expected = re2.compile(pattern).search(text) is not None
        assert patterns.first_match(text) == (pattern if expected else None)


def test_hostile_paths_cost_linear_time() -> None:
    refused(decide("GET", "/" + "a" * 8000 + "!", accept_paths=("^/(a+)+$",)), "accept-paths")


def test_a_refusal_names_what_it_refused() -> None:
    refusal = refused(decide("GET", "/api", accept_paths=("^/x",)), "accept-paths")
    assert "'/api'" in refusal.message
    assert re.search("--accept-paths", refusal.hint)
