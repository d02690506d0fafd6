"""Credentials, plugins and servers with which both reach the server."""

from .cases import ALICE, IMPERSONATING, V1, V1BETA1, Case, answer, kube, one, plugin

ACCESS = {
    # Credentials
    "token": one(),
    "token-and-certificate": one(user=f"{{token: abc, {ALICE}}}"),
    "certificate-from-data": one(user=f"{{{ALICE}}}"),
    "certificate-from-files": one(user="{client-certificate: alice.crt, client-key: alice.key}"),
    "certificate-from-data-key-from-file": one(
        user="{client-certificate-data: ${alice_crt}, client-key: alice.key}"
    ),
    "certificate-from-file-key-from-data": one(
        user="{client-certificate: alice.crt, client-key-data: ${alice_key}}"
    ),
    "certificate-and-key-in-one-file": one(
        user="{client-certificate: alice.both, client-key: alice.both}"
    ),
    "certificate-and-password": one(user=f"{{username: me, password: pw, {ALICE}}}"),
    "password": one(user="{username: me, password: 's3:cret'}"),
    "password-empty": one(user="{username: me}"),
    "password-not-ascii": one(user="{username: zoë, password: pä}"),
    "token-file-relative": one(user="{tokenFile: token}"),
    "token-file-absolute": one(user="{tokenFile: '${dir}/token'}"),
    "token-file-beats-token": one(user="{token: inline, tokenFile: token}"),
    "token-file-missing-token-serves": one(user="{token: inline, tokenFile: nowhere}"),
    "token-file-empty-token-serves": one(user="{token: inline, tokenFile: empty}"),
    "token-over-exec": plugin("never run", more=", token: abc"),
    "certificate-over-exec": plugin("never run", more=f", {ALICE}"),
    "password-over-exec": plugin("never run", more=", username: me, password: pw"),
    "token-file-over-exec": plugin("never run", more=", tokenFile: token"),
    "token-over-oidc": one(
        user="{token: abc, auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1"
        ":1', client-id: x}}}"
    ),
    "oidc-valid-id-token": one(
        user="{auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1:1', "
        "client-id: x, id-token: ${jwt}}}}"
    ),
    "oidc-valid-id-token-and-certificate": one(
        user="{auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1:1', "
        f"client-id: x, id-token: ${{jwt}}}}}}, {ALICE}}}"
    ),
    "token-in-binary": one(user="{token: !!binary YWJj}"),
    # Exec plugins
    "exec-token": plugin(answer('{"token": "t1"}')),
    "exec-token-v1beta1": plugin(answer('{"token": "t1"}', V1BETA1), apiVersion=V1BETA1),
    "exec-env-name-with-equals-sign": plugin(
        answer('{"token": "t1"}'), env="[{name: A=B, value: x}, {name: '=C', value: x}]"
    ),
    "exec-yaml": plugin(f"kind: ExecCredential\napiVersion: {V1}\nstatus:\n  token: t1"),
    "exec-null-expiry": plugin(answer('{"token": "t1", "expirationTimestamp": null}')),
    "exec-expiry-with-fraction-and-offset": plugin(
        answer('{"token": "t1", "expirationTimestamp": "2999-01-02T03:04:05.123456789+02:00"}')
    ),
    "exec-expiry-past": plugin(
        answer('{"token": "t1", "expirationTimestamp": "2001-01-02T03:04:05Z"}')
    ),
    "exec-unknown-fields": plugin(answer('{"token": "t1", "colour": "red"}')),
    "exec-no-kind": plugin(f'{{"apiVersion": "{V1}", "status": {{"token": "t"}}}}'),
    "exec-certificate": plugin(
        answer('{"clientCertificateData": ${alice_crt_json}, "clientKeyData": ${alice_key_json}}')
    ),
    "exec-certificate-and-token": plugin(
        answer(
            '{"token": "t1", "clientCertificateData": ${alice_crt_json}, '
            '"clientKeyData": ${alice_key_json}}'
        )
    ),
    "exec-byte-order-mark": plugin("\ufeff" + answer('{"token": "t1"}')),
    "exec-args-and-env-null": plugin(answer('{"token": "t1"}'), args="null", env="null"),
    "exec-env": Case(
        files={
            "config": kube(
                user="{exec: {command: ./plugin, apiVersion: client.authentication.k8s.io/v1, "
                "interactiveMode: Never, args: [one, 'two words'], env: [{name: COLOUR, value: "
                "red}]}}"
            ),
            "plugin": '#!/bin/sh\necho "{\\"kind\\":\\"ExecCredential\\",\\"apiVersion\\":'
            '\\"client.authentication.k8s.io/v1\\",\\"status\\":{\\"token\\":'
            '\\"$COLOUR-$1-$2-$#\\"}}"\n',
        }
    ),
    "exec-interactive-if-available": plugin(
        answer('{"token": "t1"}', V1BETA1), apiVersion=V1BETA1, interactiveMode="IfAvailable"
    ),
    "exec-by-flag-token": Case(files=plugin("never run").files, flags=("--token=flag",)),
    "kuberc-allows": Case(
        files={
            **plugin(answer('{"token": "t1"}')).files,
            "rc": "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n"
            "- command: ${dir}/plugin\n",
        },
        environ={"KUBERC": "${dir}/rc"},
    ),
    "kuberc-1.35-allows": Case(
        files={
            **plugin(answer('{"token": "t1"}')).files,
            "rc": "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n"
            "- name: ${dir}/plugin\n",
        },
        environ={"KUBERC": "${dir}/rc"},
    ),
    # Servers
    "server-name-from-kubeconfig": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: ${ca}, '
        "tls-server-name: api.example.test}"
    ),
    "server-by-name": one(
        cluster='{server: "https://localhost:${port}", certificate-authority-data: ${ca}}'
    ),
    "server-upper-case": one(
        cluster='{server: "HTTPS://LOCALHOST:${port}", certificate-authority-data: ${ca}}'
    ),
    "server-trailing-slash": one(
        cluster='{server: "https://127.0.0.1:${port}/", certificate-authority-data: ${ca}}'
    ),
    "server-with-query": one(
        cluster='{server: "https://127.0.0.1:${port}/p?a=b#c", certificate-authority-data: ${ca}}'
    ),
    "ca-from-file": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority: ca.crt}'
    ),
    "ca-file-with-comments": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority: commented.crt}'
    ),
    "ca-bundle": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority: bundle.crt}'
    ),
    "ca-bundle-with-damaged-certificates": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority: damaged.crt}'
    ),
    "insecure": one(
        cluster='{server: "https://127.0.0.1:${port}", insecure-skip-tls-verify: true}'
    ),
    "ca-data-with-line-breaks": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: "${ca_wrapped}"}'
    ),
    "http-sends-no-token": one(cluster='{server: "http://127.0.0.1:${plain}"}'),
    "http-with-an-absent-user": one(
        context="{cluster: c, user: nope}", cluster='{server: "http://127.0.0.1:${plain}"}'
    ),
    "token-flag-for-an-absent-user": one("--token=flag", context="{cluster: c, user: nope}"),
    "server-flag-for-an-absent-cluster": one(
        "--server=https://127.0.0.1:${port}",
        "--certificate-authority=ca.crt",
        context="{cluster: nope, user: u}",
    ),
    "http-sends-no-password": one(
        user="{username: a, password: b}", cluster='{server: "http://127.0.0.1:${plain}"}'
    ),
    "http-sends-impersonation": one(
        user=IMPERSONATING, cluster='{server: "http://127.0.0.1:${plain}"}'
    ),
    "http-runs-no-plugin": Case(
        files={
            "config": kube(
                user="{exec: {command: ./plugin, apiVersion: client.authentication.k8s.io/v1, "
                "interactiveMode: Never}}",
                cluster='{server: "http://127.0.0.1:${plain}"}',
            ),
            "plugin": "#!/bin/sh\nexit 1\n",
        }
    ),
    "no-scheme-is-http": one(cluster='{server: "127.0.0.1:${plain}"}'),
    "no-scheme-is-http-in-spite-of-a-ca": one(
        cluster='{server: "127.0.0.1:${plain}", certificate-authority-data: ${ca}}'
    ),
}
