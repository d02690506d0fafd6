"""How a case for the oracle is written down: files, flags and variables."""

from dataclasses import dataclass, field


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
