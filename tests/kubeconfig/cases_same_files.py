"""Flags, merging and decoding with which both reach the server."""

from .cases import (
    ALICE,
    BOB_FLAGS,
    CLUSTER,
    IMPERSONATING,
    MERGE_CLUSTERS,
    MERGE_CONTEXTS,
    TWO_USERS,
    Case,
    answer,
    kube,
    one,
    parts,
    plugin,
    raw,
    several,
    tokens,
)

FILES = {
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
    # What stands after the first document
    "rubbish-after-the-first-document": raw(kube() + "---\n: [ }}} %\n\t"),
    "rubbish-after-the-end-of-the-document": raw(kube() + "...\n}}}} [\n"),
    "a-brace-after-json": raw(
        '{"clusters": [{"name": "c", "cluster": '
        + CLUSTER.replace("server", '"server"').replace(
            "certificate-authority-data: ${ca}", '"certificate-authority-data": "${ca}"'
        )
        + '}], "users": [{"name": "u", "user": {"token": "t"}}], "contexts": [{"name": "x", '
        '"context": {"cluster": "c", "user": "u"}}], "current-context": "x"}\n}\n'
    ),
    "an-anchor-named-twice": raw(
        kube(user="*who").replace("apiVersion: v1", "one: &who {token: a}\ntwo: &who {token: b}")
    ),
}
