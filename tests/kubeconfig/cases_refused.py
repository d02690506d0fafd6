"""What both refuse, and a piece of what both say."""

from .cases import (
    ALICE,
    CLUSTER,
    MERGE_CLUSTERS,
    TWO_USERS,
    V1,
    V1BETA1,
    Case,
    answer,
    kube,
    one,
    plugin,
    raw,
)

REFUSED = {
    "context-flag-unknown": (one("--context=nope"), 'context "nope" does not exist'),
    "cluster-flag-unknown": (one("--cluster=nope"), 'cluster "nope" does not exist'),
    "user-flag-unknown": (one("--user=nope"), 'auth info "nope" does not exist'),
    "current-context-unknown": (
        one(current="nope"),
        "context was not found for specified context: nope",
    ),
    "kubeconfig-missing": (
        one("--kubeconfig=${dir}/nope"),
        "stat ${dir}/nope: no such file or directory",
    ),
    "kubeconfig-is-a-directory": (
        one("--kubeconfig=${dir}"),
        'error loading config file "${dir}": read ${dir}: is a directory',
    ),
    "kubeconfig-broken": (raw("a: [\n"), 'error loading config file "${dir}/config": yaml: line'),
    "kubeconfig-of-another-kind": (
        raw("kind: Pod\napiVersion: v1\n"),
        'no kind "Pod" is registered for version "v1"',
    ),
    "kubeconfig-of-another-version": (
        raw("kind: Config\napiVersion: v2\n"),
        'no kind "Config" is registered for version "v2"',
    ),
    "kubeconfig-a-list": (raw("[1, 2]\n"), 'error loading config file "${dir}/config"'),
    "kubeconfig-a-text": (raw("hello\n"), 'error loading config file "${dir}/config"'),
    "duplicate-user": (
        raw(TWO_USERS.replace("name: v", "name: u")),
        'duplicate name "u" in',
    ),
    "duplicate-cluster": (
        raw(TWO_USERS.replace(MERGE_CLUSTERS, "[{name: c}, {name: c}]")),
        'duplicate name "c" in',
    ),
    "duplicate-context": (raw(TWO_USERS.replace("name: z", "name: x")), 'duplicate name "x" in'),
    "users-not-a-list": (raw("users: {a: b}\n"), 'error loading config file "${dir}/config"'),
    "server-a-number": (one(cluster="{server: 12345}"), "number"),
    "server-a-boolean": (one(cluster="{server: yes}"), "bool"),
    "insecure-a-string": (
        one(cluster="{server: 'https://127.0.0.1:1', insecure-skip-tls-verify: 'true'}"),
        "string",
    ),
    "ca-data-not-base64": (
        one(cluster="{server: 'https://127.0.0.1:1', certificate-authority-data: '!!!'}"),
        "illegal base64 data",
    ),
    "ca-data-with-spaces": (
        one(cluster="{server: 'https://127.0.0.1:1', certificate-authority-data: 'YQ ='}"),
        "illegal base64 data",
    ),
    "ca-data-without-padding": (
        one(cluster="{server: 'https://127.0.0.1:1', certificate-authority-data: 'YQ'}"),
        "illegal base64 data",
    ),
    "ca-data-no-certificate": (
        one(cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: aGVsbG8=}'),
        "unable to load root certificates",
    ),
    "ca-file-missing": (
        one(cluster='{server: "https://127.0.0.1:${port}", certificate-authority: nowhere}'),
        "unable to read certificate-authority ${dir}/nowhere for c due to open ${dir}/nowhere: no "
        "such file or directory",
    ),
    "ca-file-and-data": (
        one(cluster=CLUSTER.replace("}}", "}, certificate-authority: ca.crt}")),
        "certificate-authority-data and certificate-authority are both specified for c.",
    ),
    "ca-and-insecure": (
        one(cluster=CLUSTER.replace("}}", "}, insecure-skip-tls-verify: true}")),
        "specifying a root certificates file with the insecure flag is not allowed",
    ),
    "ca-and-insecure-flags": (
        one("--insecure-skip-tls-verify", "--certificate-authority=${dir}/ca.crt"),
        "specifying a root certificates file with the insecure flag is not allowed",
    ),
    "ca-of-another-server": (
        one(cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: ${other}}'),
        "certificate",
    ),
    "name-not-in-certificate": (one("--tls-server-name=other.example.test"), "certificate"),
    "token-and-password": (
        one(user="{token: abc, username: me}"),
        "more than one authentication method found for u; found [token basicAuth], only one is "
        "allowed",
    ),
    "token-flag-and-password": (
        one("--token=flag", user="{username: me, password: pw}"),
        "more than one authentication method found for u",
    ),
    "token-file-and-password": (
        one(user="{tokenFile: token, username: me}"),
        "username/password or bearer token may be set, but not both",
    ),
    "token-file-missing": (
        one(user="{tokenFile: nowhere}"),
        "open ${dir}/nowhere: no such file or directory",
    ),
    "certificate-without-key": (
        one(user="{client-certificate-data: ${alice_crt}}"),
        "client-key-data or client-key must be specified for u to use the clientCert "
        "authentication method.",
    ),
    "certificate-file-and-data": (
        one(user=f"{{{ALICE}, client-certificate: alice.crt}}"),
        "client-cert-data and client-cert are both specified for u.",
    ),
    "key-file-and-data": (
        one(user=f"{{{ALICE}, client-key: alice.key}}"),
        "client-key-data and client-key are both specified for u;",
    ),
    "certificate-file-missing": (
        one(user="{client-certificate: nowhere, client-key: alice.key}"),
        "unable to read client-cert ${dir}/nowhere for u due to open ${dir}/nowhere: no such file",
    ),
    "key-file-missing": (
        one(user="{client-certificate: alice.crt, client-key: nowhere}"),
        "unable to read client-key ${dir}/nowhere for u due to open ${dir}/nowhere: no such file",
    ),
    "key-of-another-certificate": (
        one(user="{client-certificate: alice.crt, client-key: bob.key}"),
        "private key does not match public key",
    ),
    "key-encrypted": (one(user="{client-certificate: alice.crt, client-key: locked.key}"), "key"),
    "groups-without-user": (
        one("--as-group=g"),
        "requesting uid, groups or user-extra for u without impersonating a user",
    ),
    "uid-without-user": (
        one(user="{token: abc, as-uid: x}"),
        "requesting uid, groups or user-extra for u without impersonating a user",
    ),
    "exec-without-command": (
        one(user=f"{{exec: {{apiVersion: {V1}, interactiveMode: Never}}}}"),
        "command must be specified for u to use exec authentication plugin",
    ),
    "exec-without-version": (
        one(user="{exec: {command: x, interactiveMode: Never}}"),
        "apiVersion must be specified for u to use exec authentication plugin",
    ),
    "exec-without-mode": (
        one(user=f"{{exec: {{command: x, apiVersion: {V1}}}}}"),
        "interactiveMode must be specified for u to use exec authentication plugin",
    ),
    "exec-of-unknown-mode": (
        one(user=f"{{exec: {{command: x, apiVersion: {V1}, interactiveMode: Maybe}}}}"),
        'invalid interactiveMode for u: "Maybe"',
    ),
    "exec-env-without-name": (
        one(
            user=f"{{exec: {{command: x, apiVersion: {V1}, interactiveMode: Never, "
            "env: [{value: a}]}}"
        ),
        "env variable name must be specified for u to use exec authentication plugin",
    ),
    "exec-and-auth-provider": (
        plugin("", more=", auth-provider: {name: oidc}"),
        "authProvider cannot be provided in combination with an exec plugin for u",
    ),
    "exec-v1alpha1": (
        one(
            user="{exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1, "
            "interactiveMode: Never}}"
        ),
        'exec plugin: invalid apiVersion "client.authentication.k8s.io/v1alpha1"',
    ),
    "exec-not-found": (
        plugin("").__class__(
            files={
                "config": kube(
                    user=f"{{exec: {{command: no-such-plugin, apiVersion: {V1}, "
                    "interactiveMode: Never, installHint: Buy one.}}"
                )
            }
        ),
        "exec: executable no-such-plugin not found",
    ),
    "exec-hint": (
        Case(
            files={
                "config": kube(
                    user=f"{{exec: {{command: no-such-plugin, apiVersion: {V1}, "
                    "interactiveMode: Never, installHint: Buy one.}}"
                )
            }
        ),
        "Buy one.",
    ),
    "exec-always-interactive": (
        one(user=f"{{exec: {{command: x, apiVersion: {V1}, interactiveMode: Always}}}}"),
        "exec plugin cannot support interactive mode: standard input is not a terminal",
    ),
    "exec-fails": (
        Case(files={**plugin("").files, "plugin": "#!/bin/sh\nexit 7\n"}),
        "failed with exit code 7",
    ),
    "exec-not-executable": (
        Case(files={**plugin("").files, "plugin": "no program"}),
        "fork/exec ${dir}/plugin:",
    ),
    "exec-no-json": (plugin("hello: ["), "decoding stdout"),
    "exec-log-lines-before": (plugin("starting\n" + answer('{"token": "t"}')), "decoding stdout"),
    "exec-log-lines-after": (plugin(answer('{"token": "t"}') + "\ndone"), "decoding stdout"),
    "exec-other-kind": (
        plugin(answer('{"token": "t"}', kind="Pod")),
        "decoding stdout",
    ),
    "exec-other-version": (
        plugin(answer('{"token": "t"}', V1BETA1)),
        f"exec plugin is configured to use API version {V1}, plugin returned version {V1BETA1}",
    ),
    "exec-no-version": (
        plugin('{"kind": "ExecCredential", "status": {"token": "t"}}'),
        "plugin returned version client.authentication.k8s.io/__internal",
    ),
    "exec-no-status": (
        plugin(f'{{"kind": "ExecCredential", "apiVersion": "{V1}"}}'),
        "exec plugin didn't return a status field",
    ),
    "exec-empty-status": (
        plugin(answer("{}")),
        "exec plugin didn't return a token or cert/key pair",
    ),
    "exec-certificate-only": (
        plugin(answer('{"clientCertificateData": "x"}')),
        "exec plugin returned only certificate or key, not both",
    ),
    "exec-certificate-broken": (
        plugin(answer('{"clientCertificateData": "x", "clientKeyData": "y"}')),
        "failed parsing client key/certificate",
    ),
    "exec-expiry-broken": (
        plugin(answer('{"token": "t", "expirationTimestamp": "soon"}')),
        "decoding stdout",
    ),
    "exec-expiry-empty": (
        plugin(answer('{"token": "t", "expirationTimestamp": ""}')),
        "decoding stdout",
    ),
    "provider-gcp": (
        one(user="{auth-provider: {name: gcp}}"),
        "The gcp auth plugin has been removed.",
    ),
    "provider-azure": (
        one(user="{auth-provider: {name: azure}}"),
        "The azure auth plugin has been removed.",
    ),
    "provider-unknown": (
        one(user="{auth-provider: {name: x}}"),
        'no Auth Provider found for name "x"',
    ),
    "provider-oidc-without-issuer": (
        one(user="{auth-provider: {name: oidc, config: {client-id: x}}}"),
        "Must provide idp-issuer-url",
    ),
    "provider-oidc-without-client": (
        one(user="{auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1:1'}}}"),
        "Must provide client-id",
    ),
    "provider-oidc-without-tokens": (
        one(
            user="{auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1:1', "
            "client-id: x}}}"
        ),
        "No valid id-token, and cannot refresh without refresh-token",
    ),
    "proxy-url-scheme": (
        one(cluster='{server: "https://127.0.0.1:${port}", proxy-url: "ftp://p"}'),
        'invalid \'proxy-url\' "ftp://p" for cluster "c": unsupported scheme "ftp", must be '
        "http, https, or socks5",
    ),
    "proxy-url-socks5h": (
        one(cluster='{server: "https://127.0.0.1:${port}", proxy-url: "socks5h://p"}'),
        'unsupported scheme "socks5h"',
    ),
    "request-timeout": (one("--request-timeout=soon"), "Invalid timeout value."),
    "request-timeout-without-unit": (one("--request-timeout=-5"), "Invalid timeout value."),
    "server-with-a-space": (
        one(cluster='{server: "https://a b"}'),
        "host must be a URL or a host:port pair",
    ),
    "server-with-a-bad-port": (one(cluster='{server: "https://127.0.0.1:http"}'), "port"),
    "server-of-another-scheme": (one(cluster='{server: "ftp://127.0.0.1"}'), "ftp"),
    "server-path-without-scheme": (
        one(cluster='{server: "127.0.0.1/x"}'),
        "host must be a URL or a host:port pair",
    ),
    "kuberc-denies": (
        Case(
            files={
                **plugin(answer('{"token": "t1"}')).files,
                "rc": "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
                "credentialPluginPolicy: DenyAll\n",
            },
            environ={"KUBERC": "${dir}/rc"},
        ),
        'plugin "${dir}/plugin" not allowed: policy set to "DenyAll"',
    ),
    "kuberc-allows-another": (
        Case(
            files={
                **plugin(answer('{"token": "t1"}')).files,
                "rc": "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
                "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: aws}]\n",
            },
            environ={"KUBERC": "${dir}/rc"},
        ),
        'plugin path "${dir}/plugin" is not permitted by the credential plugin allowlist',
    ),
    "kuberc-missing": (
        Case(files=plugin("").files, environ={"KUBERC": "${dir}/nope"}),
        "open ${dir}/nope: no such file or directory",
    ),
}
