"""Where we differ on purpose: what kubectl says or does, and what we do."""

from .cases import Case, answer, one, plugin

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
    # What kubectl config view writes where it leaves something out.
    "token-redacted": (one(user="{token: REDACTED}"), REACHES, "token is REDACTED"),
    "password-redacted": (
        one(user="{username: u, password: REDACTED}"),
        REACHES,
        "password is REDACTED",
    ),
    "ca-omitted": (
        one(
            cluster='{server: "https://127.0.0.1:${port}", '
            "certificate-authority-data: DATA+OMITTED}"
        ),
        "unable to load root certificates",
        "the kubeconfig was redacted when it was written: certificate-authority-data is "
        "DATA+OMITTED",
    ),
    "key-omitted": (
        one(user="{client-certificate-data: DATA+OMITTED, client-key-data: REDACTED}"),
        "failed to find any PEM data",
        "client-certificate-data is DATA+OMITTED, client-key-data is REDACTED",
    ),
    # Found out at each request there, and at the start here.
    "host-with-an-empty-label": (
        one("--server=https://a..example.test:${port}"),
        "no such host",
        "its host name has an empty label",
    ),
    "host-with-an-overlong-label": (
        one(f"--server=https://{'a' * 64}.example.test:${{port}}"),
        "no such host",
        "its host name has a label of more than 63 characters",
    ),
    "overlong-host": (
        one(f"--server=https://{'a.' * 127}example.test:${{port}}"),
        "no such host",
        "its host name has more than 253 characters",
    ),
    "token-with-control-character": (
        one(user='{token: "a\\u0001b"}'),
        "invalid header field value",
        "holds a character that no HTTP header may hold",
    ),
}
