"""What of a foreign text is shown, in errors, in the log, by ``check`` and for plugins."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.errors import ConfigError, KubelatchError
from kubelatch.redact import looks_like_path, printable, redact, sanitize, without_userinfo

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(f"a {KEY}\nb", "a ***\nb", id="PEM"),
        pytest.param(f"a {KEY[:40]}", "a ***", id="PEM without an end"),
        pytest.param(f"a {KEY!r} b", "a '***' b", id="PEM in a literal"),
        pytest.param(f"got {JWT}, bad", "got ***, bad", id="JWT"),
        pytest.param("Authorization: Bearer abc", "Authorization: Bearer ***", id="bearer"),
        pytest.param(
            "bearer token may be set", "bearer token may be set", id="bearer in a sentence"
        ),
        pytest.param("token: hunter2", "token: ***", id="named"),
        pytest.param('{"id_token": "a b"}', '{"id_token": "***"}', id="JSON"),
        pytest.param("x --password=a", "x --password=***", id="flag"),
        pytest.param("x --client-secret a1 y", "x --client-secret *** y", id="flag and value"),
        pytest.param("use --token to log in", "use --token to log in", id="flag in a sentence"),
        pytest.param(
            "failed to refresh token: connection refused",
            "failed to refresh token: connection refused",
            id="a sentence goes on",
        ),
        pytest.param("http://u:p@h/", "http://***@h/", id="password in a URL"),
        pytest.param("key 07401b.f395accd246ae52d", "key ***", id="bootstrap token"),
        pytest.param("ghp_16C7e42F292c6912E771", "***", id="a prefix that is known"),
        pytest.param("id 02b50b05283e98dd0fd71db496ef01e8", "id ***", id="hexadecimal"),
        pytest.param(
            "audit 31ada4fd-adec-460c-809a-9e56ceb75269",
            "audit 31ada4fd-adec-460c-809a-9e56ceb75269",
            id="UUID",
        ),
    ],
)
def test_secrets_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "clusterUser_MyResourceGroupProduction01_myAKSClusterProduction02",
        "gke_my-project-123456_europe-west1-b_my-cluster-name-prod",
        "gke-cluster-1-default-pool-1a2b3c4d-x5y6",
        "arn:aws:eks:us-east-1:123456789012:cluster/a-cluster-with-a-long-name-in-prod-1",
        "ABCDEF0123456789ABCDEF0123456789.gr7.us-east-1.eks.amazonaws.com",
        "/home/u/go/pkg/mod/github.com/Azure/kubelogin@v0.1.2/cmd/kubelogin/main.go",
        "open https://a.example/auth?client_id=x&user_code=AB-CD&code_challenge="
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "To sign in, open https://microsoft.com/devicelogin and enter the code ABCD1EFGH.",
    ],
)
def test_names_paths_and_pages_to_open_are_left_whole(text: str) -> None:
    assert sanitize(text) == text


def test_random_keys_are_redacted_in_whatever_encoding() -> None:
    random = Random(1)
    found = 0
    for _ in range(500):
        key = random.randbytes(random.choice((24, 32, 48, 256)))
        for text in (base64.b64encode(key), base64.urlsafe_b64encode(key), key.hex().encode()):
            found += redact(f"got {text.decode()} here") == "got *** here"
    # It goes by how often letters and digits change, so a few look like names.
    assert found > 0.98 * 1500


@given(st.text())
def test_nothing_that_is_shown_can_act_on_a_terminal(text: str) -> None:
    shown = sanitize(text)
    assert shown.isprintable()
    assert sanitize(shown) == shown


@pytest.mark.parametrize("piece", ['token:"', "eyJ.", "-----BEGIN ", "--", "a", "https://", '"'])
def test_a_long_text_is_cut_and_takes_no_time(piece: str) -> None:
    text = piece * 200_000
    assert len(sanitize(text)) < 2100


def test_errors_are_sanitized_wherever_they_come_from() -> None:
    error = ConfigError(f'user "a\x1b[31m\n\u202eb" {KEY}', hint=f"token={JWT}\r\n")
    assert str(error) == r'user "a\x1b[31m\x0a\u202eb" ***. Token=***\x0d\x0a.'
    assert "MHc" not in repr(error)
    assert KubelatchError("x" * 9000).message == "x" * 2000 + "...(9000)"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:1/a", "http://h:1/a"),
        ("http://u:p/a#?@h:1", "http://h:1"),
        ("http://u:p@q@h", "http://h"),
        ("u:p@h:1", "h:1"),
        ("http:u:p@h", "h"),
        ("//u:p@h", "//h"),
        ("http://h:1/a", "http://h:1/a"),
    ],
)
def test_user_and_password_of_a_url(url: str, shown: str) -> None:
    assert without_userinfo(url) == shown


@pytest.mark.parametrize(
    "path",
    [
        "/home/u/.kube/config2",
        "client.key",
        "/etc/kubernetes/pki/apiserver-kubelet-client.key",
        "/var/lib/kubelet/pki/kubelet-client-2024-01-01-12-00-00.pem",
        "/run/secrets/kubernetes.io/serviceaccount/token",
        "~/.minikube/profiles/minikube-2/client.key",
    ],
)
def test_what_can_be_a_path(path: str) -> None:
    assert looks_like_path(path)
    assert looks_like_path(path, secret=True) is not path.endswith("config2")


@pytest.mark.parametrize(
    "text",
    [KEY, KEY.replace("\n", " "), JWT, base64.b64encode(KEY.encode()).decode(), "a\nb", "\0"],
)
def test_what_cannot_be_a_path(text: str) -> None:
    assert not looks_like_path(text)
    assert not looks_like_path(f"/home/u/.kube/{text}")


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "07401b.f395accd246ae52d",
        "s3cr3t-t0ken",
        "glpat-abc123defGHI",
        "aB3dE6gH9jK2mN5p",
    ],
)
def test_what_may_be_the_secret_itself(text: str) -> None:
    assert not looks_like_path(f"/home/u/.kube/{text}", secret=True)


def test_what_is_no_text() -> None:
    assert printable("a\udcffb\U000e0001\u0085") == r"a\xffb\U000e0001\x85"
