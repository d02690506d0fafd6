"""From flags, environment and files to one configuration: what kubectl cannot be asked."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from kubelatch.errors import ConfigError
from kubelatch.kubeconfig import (
    ExecRule,
    Impersonation,
    MemoryFiles,
    Overrides,
    load,
    load_mapping,
    signatures,
)
from kubelatch.kubeconfig.in_cluster import CA_FILE, NAMESPACE_FILE, TOKEN_FILE
from kubelatch.secret import Secret

from .cases import V1

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/h"}
MOUNTED = {TOKEN_FILE: "sa-token\n", CA_FILE: "ca", NAMESPACE_FILE: "apps\n"}
SERVER = "https://c.example.test"
KUBECONFIG = """
clusters: [{name: c, cluster: {server: "https://c.example.test"}}]
users: [{name: u, user: {token: abc}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: ns}}]
current-context: x
"""


def mapping(
    user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, server: str = SERVER
) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "abc"} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


class TestInAPod:
    def test_the_service_account_is_used_without_any_argument(self) -> None:
        config = load(Overrides(), environ=POD, files=MemoryFiles(MOUNTED))

        assert config.source == "in-cluster"
        assert config.server.url == "https://10.0.0.1:443"
        assert config.user.token_file == TOKEN_FILE
        assert config.tls.ca_file == CA_FILE
        assert config.namespace == "apps"

    def test_an_ipv6_service_host(self) -> None:
        environ = {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}
        config = load(Overrides(), environ=environ, files=MemoryFiles(MOUNTED))

        assert config.server.authority == "[fd00::1]:443"
        assert config.server.host == "fd00::1"

    @pytest.mark.parametrize(
        "overrides",
        [
            Overrides(impersonate_user="bob"),
            Overrides(request_timeout="5s"),
            Overrides(disable_compression=True),
            Overrides(token=Secret("mine")),
            Overrides(insecure_skip_tls_verify=True),
            Overrides(certificate_authority=NAMESPACE_FILE),
            Overrides(tls_server_name="kubernetes"),
            Overrides(server="https://other.example.test"),
        ],
    )
    def test_every_flag_composes_with_it(self, overrides: Overrides) -> None:
        config = load(overrides, environ=POD, files=MemoryFiles(MOUNTED))

        assert config.source == "in-cluster"
        assert config.impersonation == (
            Impersonation(user="bob") if overrides.impersonate_user else None
        )
        assert config.user.token == overrides.token
        assert config.user.token_file == ("" if overrides.token else TOKEN_FILE)
        assert config.server.url == (overrides.server or "https://10.0.0.1:443")
        assert config.tls.insecure == bool(overrides.insecure_skip_tls_verify)
        ca_file = "" if config.tls.insecure else overrides.certificate_authority or CA_FILE
        assert config.tls.ca_file == ca_file
        assert config.tls.server_name == overrides.tls_server_name
        assert config.request_timeout == (5 if overrides.request_timeout else 0)

    def test_a_kubeconfig_beats_it(self) -> None:
        files = MemoryFiles({**MOUNTED, "/h/.kube/config": KUBECONFIG})
        assert load(Overrides(), environ=POD, files=files).context == "x"

    def test_a_kubeconfig_without_a_current_context_does_not(self) -> None:
        text = KUBECONFIG.replace("current-context: x", "")
        files = MemoryFiles({**MOUNTED, "/h/.kube/config": text})
        assert load(Overrides(), environ=POD, files=files).source == "in-cluster"

    def test_in_cluster_overrides_a_kubeconfig(self) -> None:
        files = MemoryFiles({**MOUNTED, "/h/.kube/config": KUBECONFIG})
        config = load(Overrides(in_cluster=True), environ=POD, files=files)
        assert config.source == "in-cluster"

    def test_it_can_be_refused(self) -> None:
        with pytest.raises(ConfigError, match="no cluster configured"):
            load(Overrides(in_cluster=False), environ=POD, files=MemoryFiles(MOUNTED))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[", 'error loading config file "/h/.kube/config"'),
            ("current-context: x", "context was not found for specified context: x"),
            (KUBECONFIG.replace("name: c,", "name: d,"), 'cluster "c" was not found'),
        ],
    )
    def test_a_broken_kubeconfig_is_not_passed_over(self, text: str, message: str) -> None:
        files = MemoryFiles({**MOUNTED, "/h/.kube/config": text})
        with pytest.raises(ConfigError) as caught:
            load(Overrides(), environ=POD, files=files)
        assert message in caught.value.message

    def test_a_missing_ca_is_an_error_and_not_the_systems_trust(self) -> None:
        files = MemoryFiles({TOKEN_FILE: "sa-token"})
        with pytest.raises(ConfigError, match="unable to read certificate-authority"):
            load(Overrides(), environ=POD, files=files)

    def test_asked_for_outside_a_pod(self) -> None:
        with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_P"):
            load(Overrides(in_cluster=True), environ={}, files=MemoryFiles({}))

    def test_asked_for_without_a_token(self) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            load(Overrides(in_cluster=True), environ=POD, files=MemoryFiles({}))

    def test_it_cannot_be_combined_with_a_context(self) -> None:
        with pytest.raises(ConfigError, match="--in-cluster cannot be combined with --context"):
            load(Overrides(in_cluster=True, context="x"), environ=POD, files=MemoryFiles(MOUNTED))

    def test_the_pods_own_namespace_variable(self) -> None:
        environ = {**POD, "POD_NAMESPACE": "mine"}
        assert load(Overrides(), environ=environ, files=MemoryFiles(MOUNTED)).namespace == "mine"


class TestFilesToWatch:
    def test_all_that_were_looked_for_existing_or_not(self) -> None:
        files = MemoryFiles({"/b": KUBECONFIG})
        config = load(Overrides(), environ={"KUBECONFIG": "/a:/b"}, files=files)
        assert config.files == ("/a", "/b")

    def test_the_ca_but_not_the_credentials(self) -> None:
        config = load(Overrides(), environ=POD, files=MemoryFiles(MOUNTED))
        assert config.files == ("/h/.kube/config", CA_FILE)

    def test_the_kuberc_where_a_plugin_is_used(self) -> None:
        text = KUBECONFIG.replace(
            "token: abc", f"exec: {{command: p, apiVersion: {V1}, interactiveMode: Never}}"
        )
        files = MemoryFiles({"/h/.kube/config": text})
        config = load(Overrides(), environ={"HOME": "/h"}, files=files)
        assert config.files == ("/h/.kube/config", "/h/.kube/kuberc")

    def test_signatures_change_with_replacement_appearance_and_disappearance(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "f"
        seen = [signatures([str(path)])]
        path.write_text("one")
        seen.append(signatures([str(path)]))
        path.write_text("three")
        seen.append(signatures([str(path)]))
        (tmp_path / "g").write_text("three")
        (tmp_path / "g").replace(path)
        seen.append(signatures([str(path)]))
        assert seen[-1] == signatures([str(path)])
        path.unlink()
        seen.append(signatures([str(path)]))

        assert all(a != b for a, b in itertools.pairwise(seen))
        assert seen[0] == seen[-1] == (None,)

    def test_signatures_follow_links_as_projected_volumes_have_them(self, tmp_path: Path) -> None:
        for name in ("v1", "v2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "token").write_text(name)
        data, token = tmp_path / "..data", tmp_path / "token"
        data.symlink_to("v1")
        token.symlink_to("..data/token")
        before = signatures([str(token)])
        data.unlink()
        data.symlink_to("v2")
        assert signatures([str(token)]) != before


class TestInMemory:
    def test_a_mapping_is_a_kubeconfig(self) -> None:
        config = load_mapping(mapping(), Overrides(impersonate_user="bob"))

        assert (config.source, config.context, config.files) == ("memory", "x", ())
        assert config.user.token == Secret("abc")
        assert config.impersonation == Impersonation(user="bob")

    def test_what_no_kubeconfig_can_hold(self) -> None:
        with pytest.raises(ConfigError, match="a object cannot be part of a kubeconfig"):
            load_mapping({"users": object()})


@pytest.mark.parametrize(
    ("config", "warning"),
    [
        (mapping(server="http://c.example.test"), "sends no credentials of its own"),
        (mapping(server="c.example.test:80"), "has no scheme"),
        (mapping(server="https://me:pw@c.example.test"), "user and password in the server URL"),
        (mapping({"token": " abc\n"}), "white space"),
        (mapping({}), 'user "u" has no credentials'),
        (mapping({"password": "pw"}), "has a password but no username"),
        (mapping({"client-key-data": "YQ=="}), "has a client key but no client certificate"),
        (
            mapping(
                {
                    "token": "abc",
                    "exec": {"command": "p", "apiVersion": V1, "interactiveMode": "Never"},
                }
            ),
            "the exec plugin of user",
        ),
        (mapping(cluster={"insecure-skip-tls-verify": True}), "is not verified"),
    ],
)
def test_what_works_but_should_be_known(config: dict[str, Any], warning: str) -> None:
    warnings = load_mapping(config).warnings
    assert [text for text in warnings if warning in text]
    assert "pw" not in " ".join(warnings)


def test_an_ordinary_user_causes_no_warning() -> None:
    assert load_mapping(mapping()).warnings == ()


@pytest.mark.parametrize(
    ("text", "authority", "host", "port", "path"),
    [
        ("https://h", "h", "h", 443, ""),
        ("https://h:443", "h:443", "h", 443, ""),
        ("https://h:", "h", "h", 443, ""),
        ("https://h:6443/", "h:6443", "h", 6443, ""),
        ("https://h/k8s/clusters/c-1/", "h", "h", 443, "/k8s/clusters/c-1"),
        ("https://[::1]:6443", "[::1]:6443", "::1", 6443, ""),
        ("http://H.Example", "H.Example", "h.example", 80, ""),
        ("https://bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example", 443, ""),
        ("https://u:p@h:1", "h:1", "h", 1, ""),
        ("https://h/größe%2F/", "h", "h", 443, "/gr%C3%B6%C3%9Fe%2F"),
    ],
)
def test_the_parts_of_a_server(text: str, authority: str, host: str, port: int, path: str) -> None:
    server = load_mapping(mapping(server=text)).server
    assert (server.authority, server.host, server.port, server.path) == (
        authority,
        host,
        port,
        path,
    )


@pytest.mark.parametrize(
    ("server", "cluster", "name"),
    [
        ("https://api.example.test.:6443", {}, "api.example.test."),
        ("https://api.example.test", {"tls-server-name": "other"}, "other"),
        ("https://[::1]:6443", {}, "::1"),
    ],
)
def test_the_name_to_verify(server: str, cluster: dict[str, Any], name: str) -> None:
    assert load_mapping(mapping(server=server, cluster=cluster)).tls_name == name


def test_a_server_that_cannot_be_used_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        load_mapping(mapping(server="ftp://me:hunter2@h"))
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("said", [True, False])
def test_verification_can_be_switched_back_on_by_flag(said: bool) -> None:
    insecure = {"insecure-skip-tls-verify": True}
    config = load_mapping(mapping(cluster=insecure), Overrides(insecure_skip_tls_verify=said))
    assert config.tls.insecure is said


def test_compression_can_be_switched_back_on_by_flag() -> None:
    config = load_mapping(
        mapping(cluster={"disable-compression": True}), Overrides(disable_compression=False)
    )
    assert not config.disable_compression


@pytest.mark.parametrize("char", ["\n", "\r", "\0", "\x7f"])
def test_impersonation_cannot_break_out_of_its_header(char: str) -> None:
    for overrides in (
        Overrides(impersonate_user=f"a{char}b"),
        Overrides(impersonate_user="a", impersonate_groups=(f"a{char}b",)),
        Overrides(impersonate_user="a", impersonate_uid=f"a{char}b"),
        Overrides(impersonate_user="a", impersonate_user_extra=(f"k=a{char}b",)),
    ):
        with pytest.raises(ConfigError, match="no HTTP header may hold"):
            load_mapping(mapping(), overrides)


def test_several_problems_are_reported_together_with_their_file() -> None:
    text = KUBECONFIG.replace("token: abc", "token: abc, username: me, as-uid: x")
    with pytest.raises(ConfigError) as caught:
        load(Overrides(kubeconfig="/k"), environ={}, files=MemoryFiles({"/k": text}))
    assert "more than one authentication method found for u" in caught.value.message
    assert "without impersonating a user" in caught.value.message
    assert "(in /k)" in caught.value.message


def test_no_cluster_points_to_the_demo_and_names_the_files() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Overrides(), environ={"HOME": "/h"}, files=MemoryFiles({}))
    assert "/h/.kube/config" in caught.value.message
    assert "kubelatch --demo" in caught.value.hint


PLUGIN = {"exec": {"command": "p", "apiVersion": V1, "interactiveMode": "Never"}}
PREFERENCE = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"


class TestPluginPolicy:
    def rules(
        self,
        kuberc: str | None,
        overrides: Overrides | None = None,
        environ: dict[str, str] | None = None,
    ) -> Any:
        files = MemoryFiles({} if kuberc is None else {"/h/.kube/kuberc": kuberc})
        overrides = overrides or Overrides()
        environ = {"HOME": "/h", **(environ or {})}
        return load_mapping(mapping(PLUGIN), overrides, environ=environ, files=files).exec_rules

    def test_without_rules_every_plugin_may_run(self) -> None:
        assert self.rules(None) == ()
        assert self.rules(PREFERENCE) == ()
        assert self.rules(PREFERENCE + "credentialPluginPolicy: AllowAll") == ()

    def test_a_flag_and_a_kuberc_both_count(self) -> None:
        kuberc = PREFERENCE + (
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: q}]"
        )
        assert self.rules(kuberc, Overrides(exec_allow=("p",))) == (
            ExecRule(source="--exec-allow", allowed=("p",)),
            ExecRule(source="/h/.kube/kuberc", allowed=("q",)),
        )

    def test_no_plugin_at_all(self) -> None:
        assert self.rules(None, Overrides(no_exec=True)) == (ExecRule(source="--no-exec"),)

    def test_the_second_document_counts_if_the_first_is_something_else(self) -> None:
        kuberc = f"kind: Pod\n---\n{PREFERENCE}credentialPluginPolicy: DenyAll"
        assert self.rules(kuberc) == (ExecRule(source="/h/.kube/kuberc"),)

    @pytest.mark.parametrize("environ", [{"KUBERC": "off"}, {"KUBECTL_KUBERC": "false"}])
    def test_it_can_be_switched_off(self, environ: dict[str, str]) -> None:
        assert self.rules("}{", environ=environ) == ()

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("credentialPluginPolicy: denyall", 'unknown plugin policy: "denyall"'),
            (
                "credentialPluginPolicy: Allowlist",
                'credential plugin policy set to "Allowlist", but allowlist is unspecified',
            ),
            (
                "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: []",
                'but allowlist is empty; use "DenyAll" policy instead',
            ),
            (
                "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{name: ''}]",
                "misconfigured credential plugin allowlist: empty allowlist entry #1",
            ),
            (
                "credentialPluginPolicy: AllowAll\ncredentialPluginAllowlist: [{name: a}]",
                'plugin policy is "AllowAll" but allowlist is non-nil',
            ),
            (
                "credentialPluginAllowlist: [{name: a}]",
                'plugin policy is "" but allowlist is non-nil',
            ),
            ("credentialPluginPolicy: 3", "must be a string"),
        ],
    )
    def test_what_is_not_clear_is_an_error(self, body: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            self.rules(PREFERENCE + body)
        assert message in caught.value.message

    @pytest.mark.parametrize("text", ["}{", "", "kind: Preference", "[1]"])
    def test_an_invalid_kuberc_is_an_error(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"/h/\.kube/kuberc"):
            self.rules(text)

    def test_users_without_a_plugin_do_not_care(self) -> None:
        files = MemoryFiles({"/h/.kube/kuberc": "}{"})
        assert load_mapping(mapping(), environ={"HOME": "/h"}, files=files).exec_rules == ()
