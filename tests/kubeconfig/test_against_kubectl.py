"""The real kubectl as the oracle: same files, same flags, and the server must see the same.

Three tables: where both reach the server, the server must not be able to tell them apart; where
kubectl refuses, so must we, in words that overlap; and where we differ on purpose, both sides
are pinned, so that a change in either shows.
"""

import base64
import os
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..support.certificates import Authority
from .oracle import KUBECTL, Outcome, RecordingServer, World, overrides_of

NAMES = ("127.0.0.1", "localhost", "api.example.test")


@dataclass(frozen=True)
class Case:
    """Files, flags and variables; texts may name ``${port}``, ``${dir}`` and the like."""

    files: dict[str, str]
    flags: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    cwd: str = ""


CLUSTER = '{server: "https://127.0.0.1:${port}", certificate-authority-data: ${ca}}'
ALICE = "client-certificate-data: ${alice_crt}, client-key-data: ${alice_key}"
BOB_FLAGS = ("--client-certificate=${dir}/bob.crt", "--client-key=${dir}/bob.key")


def kube(
    user: str = "{token: abc}",
    cluster: str = CLUSTER,
    context: str = "{cluster: c, user: u}",
    current: str = "x",
    more: str = "",
) -> str:
    return f"""apiVersion: v1
kind: Config
clusters:
- {{name: c, cluster: {cluster}}}
users:
- {{name: u, user: {user}}}
contexts:
- {{name: x, context: {context}}}
current-context: {current}
{more}"""


def one(*flags: str, environ: dict[str, str] | None = None, **parts: str) -> Case:
    """One kubeconfig, named by KUBECONFIG."""
    return Case(files={"config": kube(**parts)}, flags=flags, environ=environ or {})


def raw(text: str, *flags: str) -> Case:
    """One kubeconfig of exactly this text."""
    return Case(files={"config": text}, flags=flags)


def several(*texts: str, flags: tuple[str, ...] = ()) -> Case:
    """A KUBECONFIG list of several files."""
    files = {f"k{i}": text for i, text in enumerate(texts)}
    return Case(
        files=files, flags=flags, environ={"KUBECONFIG": ":".join(f"${{dir}}/{n}" for n in files)}
    )


def parts(**lists: str) -> str:
    """A kubeconfig with only some of its parts."""
    return "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in lists.items())


def plugin(output: str, **settings: str) -> Case:
    """A user with an exec plugin that prints this."""
    extra = "".join(f", {key}: {value}" for key, value in settings.items() if key != "more")
    version = settings.get("apiVersion", "client.authentication.k8s.io/v1")
    user = f"{{exec: {{command: ./plugin, apiVersion: {version}, interactiveMode: Never{extra}}}"
    if "apiVersion" in settings:
        user = f"{{exec: {{command: ./plugin{extra}}}"
    return Case(
        files={
            "config": kube(user=user + settings.get("more", "") + "}"),
            "plugin": f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n",
        }
    )


V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


def answer(status: str, version: str = V1, kind: str = "ExecCredential") -> str:
    return f'{{"kind": "{kind}", "apiVersion": "{version}", "status": {status}}}'


def tokens(*names: str) -> str:
    return "[" + ", ".join(f"{{name: {n}, user: {{token: {n}-token}}}}" for n in names) + "]"


MERGE_CLUSTERS = f"[{{name: c, cluster: {CLUSTER}}}]"
MERGE_CONTEXTS = "[{name: x, context: {cluster: c, user: u}}]"
TWO_USERS = (
    f"clusters: {MERGE_CLUSTERS}\nusers: {tokens('u', 'v')}\n"
    "contexts: [{name: x, context: {cluster: c, user: u}}, {name: z, context: {cluster: c, "
    "user: v}}]\ncurrent-context: x\n"
)
IMPERSONATING = "{token: abc, as: bob, as-groups: [g1, g2], as-uid: u1, as-user-extra: {k: [a, b]}}"

SAME = {
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
    # Exec plugins
    "exec-token": plugin(answer('{"token": "t1"}')),
    "exec-token-v1beta1": plugin(answer('{"token": "t1"}', V1BETA1), apiVersion=V1BETA1),
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
    "insecure": one(
        cluster='{server: "https://127.0.0.1:${port}", insecure-skip-tls-verify: true}'
    ),
    "ca-data-with-line-breaks": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: "${ca_wrapped}"}'
    ),
    "http-sends-no-token": one(cluster='{server: "http://127.0.0.1:${plain}"}'),
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
    # Impersonation
    "impersonation": one(user=IMPERSONATING),
    "impersonation-flags": one(
        "--as=carol", "--as-group=g3", "--as-group=g4", "--as-uid=u2", "--as-user-extra=z=1"
    ),
    "impersonation-user-flag-keeps-the-rest": one("--as=carol", user=IMPERSONATING),
    "impersonation-group-flag-replaces": one("--as-group=g3", user=IMPERSONATING),
    "impersonation-uid-flag": one("--as-uid=u9", user=IMPERSONATING),
    "impersonation-extra-flag-same-key": one("--as-user-extra=k=z", user=IMPERSONATING),
    "impersonation-extra-flag-other-key": one("--as-user-extra=m=z", user=IMPERSONATING),
    "impersonation-extra-repeated": one("--as=a", "--as-user-extra=k=1", "--as-user-extra=k=2=3"),
    "impersonation-odd-keys": one(
        user="{token: abc, as: bob, as-user-extra: {'acme.com/project': [x], 'a%b': ['y'], "
        "'ü': [z], 'UPPER_case': [w], 'a b': [v]}}"
    ),
    "impersonation-not-ascii": one(user="{token: abc, as: zoë, as-groups: ['grüppe']}"),
    "impersonation-service-account": one("--as=system:serviceaccount:ns:sa"),
    # Flags over entries
    "flag-token": one("--token=flag"),
    "flag-token-with-certificate": one("--token=flag", user=f"{{{ALICE}}}"),
    "flag-context": raw(TWO_USERS, "--context=z"),
    "flag-user": raw(TWO_USERS, "--user=v"),
    "flag-user-and-cluster-without-context": raw(
        TWO_USERS.replace("current-context: x", ""), "--user=v", "--cluster=c"
    ),
    "flag-server": one(
        "--server=https://localhost:${port}",
        cluster='{server: "https://127.0.0.1:1", certificate-authority-data: ${ca}}',
    ),
    "flag-server-forgets-server-name": one(
        "--server=https://localhost:${port}",
        cluster='{server: "https://127.0.0.1:1", certificate-authority-data: ${ca}, '
        "tls-server-name: api.example.test}",
    ),
    "flag-server-name": one("--tls-server-name=api.example.test"),
    "flag-server-and-server-name": one(
        "--server=https://localhost:${port}",
        "--tls-server-name=api.example.test",
        cluster='{server: "https://127.0.0.1:1", certificate-authority-data: ${ca}}',
    ),
    "flag-ca-replaces-data": one(
        "--certificate-authority=${dir}/ca.crt",
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: ${other}}',
    ),
    "flag-ca-replaces-insecure": one(
        "--certificate-authority=${dir}/ca.crt",
        cluster='{server: "https://127.0.0.1:${port}", insecure-skip-tls-verify: true}',
    ),
    "flag-ca-relative-to-working-directory": Case(
        files={"sub/config": kube(cluster='{server: "https://127.0.0.1:${port}"}')},
        flags=("--kubeconfig=sub/config", "--certificate-authority=ca.crt"),
    ),
    "flag-insecure-drops-ca": one(
        "--insecure-skip-tls-verify",
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: ${other}}',
    ),
    "flag-certificate-over-data": one(*BOB_FLAGS, user=f"{{{ALICE}}}"),
    "flag-certificate-over-files": one(
        *BOB_FLAGS, user="{client-certificate: alice.crt, client-key: alice.key}"
    ),
    "flag-certificate-over-exec": Case(files=plugin("never run").files, flags=BOB_FLAGS),
    "flag-password": one("--username=me", "--password=pw", user="{}"),
    "flag-username-over-password": one("--username=other", user="{username: me, password: pw}"),
    "flag-kubeconfig-beats-variable": Case(
        files={"config": kube(user="{token: a}"), "b": kube(user="{token: b}")},
        flags=("--kubeconfig=${dir}/b",),
    ),
    "flags-only": Case(
        files={},
        flags=("--server=https://127.0.0.1:${port}", "--token=t", "--certificate-authority=ca.crt"),
        environ={"KUBECONFIG": ""},
    ),
    "flag-request-timeout": one("--request-timeout=1m30s"),
    "flag-request-timeout-seconds": one("--request-timeout=30"),
    "flag-disable-compression": one("--disable-compression"),
    # Finding and merging
    "home-file": Case(
        files={"home/.kube/config": kube(user="{token: home}")}, environ={"KUBECONFIG": ""}
    ),
    "merge-first-user-wins": several(
        parts(users=tokens("u")),
        parts(
            users="[{name: u, user: {token: other}}]",
            clusters=MERGE_CLUSTERS,
            contexts=MERGE_CONTEXTS,
            current_context="x",
        ),
    ),
    "merge-entries-are-whole": several(
        parts(users="[{name: u, user: {username: me}}]"),
        kube(user="{token: other}"),
    ),
    "merge-first-current-context-wins": several("current-context: z\n", TWO_USERS),
    "merge-empty-current-context-does-not-count": several("current-context: ''\n", TWO_USERS),
    "merge-missing-files-are-skipped": Case(
        files={"config": kube()},
        environ={"KUBECONFIG": "${dir}/nowhere::${dir}/config:${dir}/config"},
    ),
    "merge-relative-list": Case(files={"config": kube()}, environ={"KUBECONFIG": "config"}),
    "merge-relative-paths-by-origin": Case(
        files={
            "a/k": parts(users="[{name: u, user: {tokenFile: ../token}}]"),
            "b/k": kube(user="{token: other}").replace(
                "certificate-authority-data: ${ca}", "certificate-authority: ../ca.crt"
            ),
        },
        environ={"KUBECONFIG": "${dir}/a/k:${dir}/b/k"},
    ),
    "merge-empty-file": several("", kube()),
    "merge-comments-only": several("# nothing\n", kube()),
    "merge-context-across-files": several(
        parts(contexts=MERGE_CONTEXTS, current_context="x"),
        parts(clusters=MERGE_CLUSTERS),
        parts(users=tokens("u")),
    ),
    "relative-exec-command": Case(
        files={
            "sub/config": kube(
                user="{exec: {command: ../plugin, apiVersion: client.authentication.k8s.io/v1, "
                "interactiveMode: Never}}"
            ),
            "plugin": plugin(answer('{"token": "t1"}')).files["plugin"],
        },
        environ={"KUBECONFIG": "${dir}/sub/config"},
    ),
    # Decoding
    "json": raw(
        '{"apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [{"name": "c",'
        ' "cluster": {"server": "https://127.0.0.1:${port}", "certificate-authority-data": '
        '"${ca}"}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],\n\t'
        '"users": [{"name": "u", "user": {"token": "abc"}}]}'
    ),
    "no-api-version-and-kind": raw(TWO_USERS),
    "unknown-keys": raw(TWO_USERS + "colour: red\nusers2: [1]\n"),
    "keys-are-case-sensitive": one(user="{token: abc, Token: other, TOKEN: other}"),
    "duplicate-keys-last-wins": one(user="{token: first, token: second}"),
    "token-like-a-time": one(user="{token: 1:30}"),
    "token-like-a-date": one(user="{token: 2024-01-01}"),
    "token-like-a-timestamp": one(user="{token: 2001-12-14t21:59:43.10-05:00}"),
    "token-equals": one(user="{token: =}"),
    "token-quoted-number": one(user="{token: '0123'}"),
    "token-octal-like": one(user="{token: 0o9}"),
    "token-folded": raw(
        kube(user="TOKEN").replace(
            "- {name: u, user: TOKEN}", "- name: u\n  user:\n    token: >-\n      abc\n"
        )
    ),
    "token-null-is-none": one(user=f"{{token: null, {ALICE}}}"),
    "token-tilde-is-none": one(user=f"{{token: ~, {ALICE}}}"),
    "name-like-a-date": raw(
        TWO_USERS.replace("name: x", "name: 2024-01-01").replace(
            "context: x", "context: 2024-01-01"
        )
    ),
    "anchors-and-merge-keys": raw(
        "base: &base {token: abc, as: bob}\n" + kube(user="{<<: *base, as: carol}")
    ),
    "anchor-as-alias": raw("base: &base {token: abc}\n" + kube(user="*base")),
    "byte-order-mark": raw("\ufeff" + kube()),
    "second-document-is-ignored": raw(kube() + "---\nkind: Pod\n"),
    "explicit-string-tag": one(user="{token: !!str 123}"),
    "boolean-as-yes": one(
        cluster='{server: "https://127.0.0.1:${port}", insecure-skip-tls-verify: yes}'
    ),
    "boolean-as-on": one(
        cluster='{server: "https://127.0.0.1:${port}", insecure-skip-tls-verify: On}'
    ),
    "lists-null": raw(TWO_USERS + "extensions: null\npreferences: null\n"),
    "extensions": one(
        cluster='{server: "https://127.0.0.1:${port}", certificate-authority-data: ${ca}, '
        "extensions: [{name: a, extension: {b: 1}}, {name: c, extension: null}]}"
    ),
    "unused-entries-may-be-broken": raw(
        kube(more="").replace(
            "users:\n", "users:\n- {name: bad, user: {client-certificate: nowhere, token: t}}\n"
        )
    ),
    "server-from-variable": Case(
        files={"config": kube(cluster="{certificate-authority-data: ${ca}}")},
        environ={"KUBERNETES_MASTER": "https://127.0.0.1:${port}"},
    ),
}

# What both refuse, and a piece of what both say.
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
                    user=f"{{exec: {{command: no-such-plugin, apiVersion: {V1}, interactiveMode: Never, "
                    "installHint: Buy one.}}"
                )
            }
        ),
        "exec: executable no-such-plugin not found",
    ),
    "exec-hint": (
        Case(
            files={
                "config": kube(
                    user=f"{{exec: {{command: no-such-plugin, apiVersion: {V1}, interactiveMode: Never, "
                    "installHint: Buy one.}}"
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

# Where we differ on purpose: what kubectl does, what we do.
REACHES = "reaches the server"
DIFFERENT = {
    "token-a-number": (one(user="{token: 12345}"), "cannot unmarshal number", REACHES),
    "token-a-boolean": (one(user="{token: y}"), "cannot unmarshal bool", REACHES),
    "exec-env-a-number": (
        plugin(answer('{"token": "t1"}'), env="[{name: A, value: 1}]"),
        "cannot unmarshal number",
        REACHES,
    ),
    "token-with-line-break": (
        one(user='{token: "abc\\n"}'),
        "invalid header field value",
        REACHES,
    ),
    "exec-token-with-line-break": (
        plugin(answer('{"token": "t1\\n"}')),
        "invalid header field value",
        REACHES,
    ),
    "token-flag-over-token-file": (
        one("--token=flag", user="{tokenFile: token}"),
        REACHES,
        REACHES,
    ),
    "anonymous": (one(user="{}"), "Please enter Username", REACHES),
    "password-alone": (one(user="{password: pw}"), "Please enter Username", REACHES),
    "key-alone": (one(user="{client-key: alice.key}"), "Please enter Username", REACHES),
    "user-absent": (
        one(context="{cluster: c, user: nope}"),
        "Please enter Username",
        'user "nope" was not found for context "x"',
    ),
    "token-file-empty": (
        one(user="{tokenFile: empty}"),
        "Please enter Username",
        'read empty token from file "${dir}/empty"',
    ),
    "cluster-absent": (
        one(context="{cluster: nope, user: u}"),
        "localhost:8080",
        'cluster "nope" was not found for context "x"',
    ),
    "no-kubeconfig": (
        Case(files={}, environ={"KUBECONFIG": "${dir}/nowhere"}),
        "localhost:8080",
        "no cluster configured: there is no kubeconfig at ${dir}/nowhere",
    ),
    "no-current-context": (
        one(current="''"),
        "localhost:8080",
        "Choose one with --context: x.",
    ),
    "no-server": (one(cluster="{}"), "localhost:8080", 'no server found for cluster "c"'),
    "extra-without-value": (one("--as=a", "--as-user-extra=k"), REACHES, "key=value"),
    "token-with-control-character": (
        one(user='{token: "a\\u0001b"}'),
        "invalid header field value",
        "holds a character that no HTTP header may hold",
    ),
}


@pytest.fixture(scope="module")
def other_authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[RecordingServer]:
    server = RecordingServer(authority, NAMES)
    yield server
    server.close()


@pytest.fixture(scope="module")
def plain_server(authority: Authority) -> Iterator[RecordingServer]:
    server = RecordingServer(authority, NAMES, tls=False)
    yield server
    server.close()


@pytest.fixture(scope="module")
def words(
    authority: Authority,
    other_authority: Authority,
    server: RecordingServer,
    plain_server: RecordingServer,
) -> dict[str, str]:
    """What the texts may name, and the content of the files that all cases find."""
    alice, bob = authority.client("alice"), authority.client("bob")

    def quoted(text: str) -> str:
        return '"' + text.replace("\n", "\\n") + '"'

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    wrapped = base64.encodebytes(authority.pem.encode()).decode().replace("\n", "\\r\\n")
    claims = base64.urlsafe_b64encode(b'{"exp": 32503680000}').rstrip(b"=").decode()
    return {
        "port": str(server.port),
        "plain": str(plain_server.port),
        "ca": encoded(authority.pem),
        "ca_wrapped": wrapped,
        "other": encoded(other_authority.pem),
        "jwt": f"e30.{claims}.e30",
        "alice_crt": encoded(alice.certificate),
        "alice_key": encoded(alice.key),
        "alice_crt_json": quoted(alice.certificate),
        "alice_key_json": quoted(alice.key),
        "file:ca.crt": authority.pem,
        "file:commented.crt": f"# Größe\nsubject=x\n{authority.pem}",
        "file:bundle.crt": other_authority.pem + authority.pem,
        "file:alice.crt": alice.certificate,
        "file:alice.key": alice.key,
        "file:alice.both": alice.key + alice.certificate,
        "file:bob.crt": bob.certificate,
        "file:bob.key": bob.key,
        "file:locked.key": _locked(alice.key),
        "file:token": "from-file\n",
        "file:empty": "",
    }


def _locked(key: str) -> str:
    done = subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:secret"],
        input=key,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def world(
    tmp_path: Path,
    words: dict[str, str],
    server: RecordingServer,
    plain_server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    for name, content in words.items():
        if name.startswith("file:"):
            (tmp_path / name.removeprefix("file:")).write_text(content)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, server, plain_server)


def fill(text: str, world: World, words: dict[str, str]) -> str:
    return string.Template(text).substitute(words, dir=world.directory)


async def ask_both(case: Case, world: World, words: dict[str, str]) -> tuple[Outcome, Outcome]:
    """Lay out the case's files, then let kubectl go first."""
    for name, text in case.files.items():
        path = world.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            text if name == "plugin" and "$COLOUR" in text else fill(text, world, words)
        )
        if text.startswith("#!"):
            path.chmod(0o755)
    environ = {"HOME": "${dir}/home", "KUBECONFIG": "${dir}/config", **case.environ}
    world.environ = {key: fill(value, world, words) for key, value in environ.items()}
    flags = [fill(flag, world, words) for flag in case.flags]
    return world.ask_kubectl(flags), await world.ask_us(overrides_of(flags))


def test_kubectl_is_there() -> None:
    assert KUBECTL, "the oracle is part of the test dependencies"
    assert os.access(KUBECTL, os.X_OK)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in SAME.items()])
async def test_the_server_sees_the_same(case: Case, world: World, words: dict[str, str]) -> None:
    theirs, ours = await ask_both(case, world, words)

    assert theirs.seen is not None, theirs.said
    assert ours.seen is not None, ours.said
    assert ours.seen == theirs.seen


@pytest.mark.parametrize(
    ("case", "said"), [pytest.param(*pair, id=name) for name, pair in REFUSED.items()]
)
async def test_both_refuse_in_like_words(
    case: Case, said: str, world: World, words: dict[str, str]
) -> None:
    theirs, ours = await ask_both(case, world, words)

    wanted = fill(said, world, words)
    assert theirs.seen is None
    assert ours.seen is None
    assert wanted in theirs.said
    assert wanted in ours.said


@pytest.mark.parametrize(
    ("case", "kubectl", "proxy"), [pytest.param(*row, id=name) for name, row in DIFFERENT.items()]
)
async def test_differences_are_these(
    case: Case, kubectl: str, proxy: str, world: World, words: dict[str, str]
) -> None:
    theirs, ours = await ask_both(case, world, words)

    for outcome, expected in ((theirs, kubectl), (ours, proxy)):
        if expected == REACHES:
            assert outcome.seen is not None, outcome.said
        else:
            assert outcome.seen is None
            assert fill(expected, world, words) in outcome.said
    assert theirs != ours
