"""Service accounts as users: the tokens they get, and who a token says is asking.

Claims as k8s.io/kubernetes ``pkg/serviceaccount`` writes them (``claims.go``, ``legacy.go``). A
token holds for as long as its account, and the pod, Secret or node that it is bound to, is there
with the same uid.
"""

import base64
import datetime as dt
import hmac
from collections.abc import Iterable
from typing import Any

from ..secret import Secret
from .authentication import (
    AUTHENTICATED,
    CREDENTIAL_ID,
    User,
    account_groups,
    account_name,
)
from .identifiers import Identifiers
from .ownership import Writer, recorded
from .resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from .status import Object, bad_request, conflict, invalid_fields, not_found
from .store import Store, timestamp
from .tokens import Claims, Signer

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
TOKEN_SECRET = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secret
MOUNTED_SECONDS = 3607
"""What a pod's token volume asks for; such a token is good for a year (KEP-1205)."""
_YEAR = 365 * 24 * 3600
_MIN_SECONDS, _MAX_SECONDS = 600, 1 << 32
Extra = dict[str, tuple[str, ...]]
Found = tuple[User, list[str]]
"""A user, and the audiences that a token of his is for."""
_TOKEN_REQUESTS = Resource(
    group="authentication.k8s.io", plural="tokenrequests", kind="TokenRequest", verbs=("create",)
)
_BOUND: dict[str, tuple[str, Resource]] = {
    "Pod": ("pod", PODS),
    "Secret": ("secret", SECRETS),
    "Node": ("node", NODES),
}


class Accounts:
    """Gives tokens to service accounts and reads them.

    Args:
        store: has the accounts and what tokens are bound to.
        signer: signs.
        identifiers: make the tokens' ids.
    """

    def __init__(self, store: Store, signer: Signer, identifiers: Identifiers) -> None:
        self._store = store
        self._signer = signer
        self._identifiers = identifiers

    async def request(self, namespace: str, name: str, wanted: Object, writer: Writer) -> Object:
        """Respond to a TokenRequest, ``wanted``, which ``writer`` makes.

        Raises:
            StatusError: 404, 409 or 422.
        """
        await self._signer.prepare()
        account = self._account(namespace, name)
        spec = wanted.get("spec") or {}
        audiences = spec.get("audiences") or [ISSUER]
        seconds = spec.get("expirationSeconds", 3600)
        _check_seconds(seconds)
        reference = spec.get("boundObjectRef")
        token, expires = self._issue(account, audiences, seconds, reference)
        metadata = account["metadata"]
        sent = recorded(_TOKEN_REQUESTS, {}, {"metadata": {}, "spec": spec}, writer)
        return {
            "kind": _TOKEN_REQUESTS.kind,
            "apiVersion": _TOKEN_REQUESTS.api_version,
            "metadata": sent["metadata"]
            | {
                "name": name,
                "namespace": namespace,
                "uid": metadata["uid"],
                "creationTimestamp": timestamp(self._store.clock()),
            },
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": reference,
            },
            "status": {"token": token, "expirationTimestamp": timestamp(expires)},
        }

    async def key_set(self) -> Claims:
        """The keys that tokens are signed with (RFC 7517)."""
        await self._signer.prepare()
        return self._signer.key_set()

    async def mount(self, pod: Object, audience: str, seconds: int) -> str:
        """The token of a pod's volume.

        Raises:
            StatusError: 404 without the account.
        """
        await self._signer.prepare()
        metadata = pod["metadata"]
        account = self._account(metadata["namespace"], pod["spec"]["serviceAccountName"])
        reference = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        return self._issue(account, [audience or ISSUER], seconds, reference)[0]

    async def fill_secrets(self, ca_pem: str) -> None:
        """Put tokens into Secrets of the type for them; delete those of accounts that are gone."""
        if any(self._is_empty(secret) for secret in self._store.list(SECRETS)):
            await self._signer.prepare()
        for secret in self._store.list(SECRETS):
            account = self._account_of(secret)
            if account is None:
                if secret.get("type") == TOKEN_SECRET:
                    self._store.remove(SECRETS, secret)
            elif self._is_empty(secret):
                self._fill(secret, account, ca_pem)

    def user(self, token: str, audiences: list[str] | None = None) -> Found | None:
        """Who has a token, and which of ``audiences`` it is for; None if it is no good.

        Args:
            token: the text of an Authorization header or a TokenReview.
            audiences: for whom the token must be; by default the API server.
        """
        claims = self._signer.read(token)
        if claims is None:
            return None
        if claims.get("iss") == LEGACY_ISSUER:
            return self._legacy_user(token, claims, audiences)
        common = [name for name in audiences or [ISSUER] if name in claims["aud"]]
        now = self._store.clock().timestamp()
        if not common or not claims["nbf"] <= now < claims["exp"]:
            return None
        about = claims["kubernetes.io"]
        namespace, account = about["namespace"], about["serviceaccount"]
        if not self._is_there(SERVICE_ACCOUNTS, namespace, account):
            return None
        extra: Extra = {CREDENTIAL_ID: (f"JTI={claims['jti']}",)}
        for kind, resource in _BOUND.values():
            if kind not in about:
                continue
            scope = namespace if resource.namespaced else ""
            only_named = kind == "node" and "pod" in about
            if not only_named and not self._is_there(resource, scope, about[kind]):
                return None
            if kind in {"pod", "node"}:
                extra[f"authentication.kubernetes.io/{kind}-name"] = (about[kind]["name"],)
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (about[kind]["uid"],)
        return _user(namespace, account["name"], account["uid"], extra), common

    def _issue(
        self, account: Object, audiences: list[str], seconds: int, reference: Object | None
    ) -> tuple[str, dt.datetime]:
        now = int(self._store.clock().timestamp())
        metadata = account["metadata"]
        about: Claims = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        expires = now + seconds
        if reference is not None:
            about |= self._bind(account, reference)
            if reference["kind"] == "Pod" and seconds == MOUNTED_SECONDS and audiences == [ISSUER]:
                about["warnafter"] = expires
                expires = now + _YEAR
        claims = {
            "aud": audiences,
            "exp": expires,
            "iat": now,
            "iss": ISSUER,
            "jti": self._identifiers.uid(),
            "kubernetes.io": dict(sorted(about.items())),
            "nbf": now,
            "sub": account_name(metadata["namespace"], metadata["name"]),
        }
        return self._signer.sign(claims), dt.datetime.fromtimestamp(expires, dt.UTC)

    def _bind(self, account: Object, reference: Object) -> Claims:
        """The claims of a token that is bound to a pod, a Secret or a node.

        Raises:
            StatusError: 404 without the object, 409 for another uid or account, 422 for a kind
                that tokens cannot be bound to.
        """
        kind = reference.get("kind", "")
        if kind not in _BOUND:
            version = reference.get("apiVersion", "")
            raise bad_request(f"cannot bind token for object of type {version}, Kind={kind}")
        claim, resource = _BOUND[kind]
        namespace = account["metadata"]["namespace"] if resource.namespaced else ""
        name, uid = str(reference.get("name", "")), reference.get("uid", "")
        obj = self._store.get(resource, namespace, name)
        if obj is None:
            raise not_found(resource, name)
        metadata = obj["metadata"]
        if uid and uid != metadata["uid"]:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise conflict(resource, name, why)
        claims: Claims = {claim: {"name": name, "uid": metadata["uid"]}}
        if resource == PODS:
            wanted = account["metadata"]["name"]
            if obj["spec"].get("serviceAccountName") != wanted:
                raise bad_request(
                    f'cannot bind token for serviceaccount "{wanted}" to pod running with '
                    f"different serviceaccount name: {obj['spec'].get('serviceAccountName')}"
                )
            node = self._store.get(NODES, "", obj["spec"].get("nodeName", ""))
            if node is not None:
                found = node["metadata"]
                claims["node"] = {"name": found["name"], "uid": found["uid"]}
        return claims

    def _legacy_user(self, token: str, claims: Claims, audiences: list[str] | None) -> Found | None:
        """Who has the token of a Secret; it holds for as long as the Secret has it."""
        common = [name for name in audiences or [ISSUER] if name == ISSUER]
        about = {
            key.removeprefix(f"{LEGACY_ISSUER}/"): value
            for key, value in claims.items()
            if key.startswith(f"{LEGACY_ISSUER}/")
        }
        namespace = about["namespace"]
        secret = self._store.get(SECRETS, namespace, about["secret.name"])
        account = {"name": about["service-account.name"], "uid": about["service-account.uid"]}
        if secret is None or _decoded(secret, "token") != token or not common:
            return None
        if not self._is_there(SERVICE_ACCOUNTS, namespace, account):
            return None
        return _user(namespace, account["name"], account["uid"], {}), common

    def _fill(self, secret: Object, account: Object, ca_pem: str) -> None:
        metadata, owner = secret["metadata"], account["metadata"]
        namespace = metadata["namespace"]
        token = self._signer.sign(
            {
                "iss": LEGACY_ISSUER,
                f"{LEGACY_ISSUER}/namespace": namespace,
                f"{LEGACY_ISSUER}/secret.name": metadata["name"],
                f"{LEGACY_ISSUER}/service-account.name": owner["name"],
                f"{LEGACY_ISSUER}/service-account.uid": owner["uid"],
                "sub": account_name(namespace, owner["name"]),
            }
        )
        values = {"ca.crt": ca_pem, "namespace": namespace, "token": token}
        annotations = metadata["annotations"] | {ACCOUNT_UID: owner["uid"]}
        data = {key: _encoded(text) for key, text in values.items()}
        filled = secret | {
            "metadata": metadata | {"annotations": annotations},
            "data": (secret.get("data") or {}) | data,
        }
        writer = Writer(manager="kube-controller-manager", now=self._store.now())
        self._store.replace(SECRETS, recorded(SECRETS, secret, filled, writer))

    def _is_empty(self, secret: Object) -> bool:
        return self._account_of(secret) is not None and "token" not in (secret.get("data") or {})

    def _account_of(self, secret: Object) -> Object | None:
        """The account that a token Secret is for, if it is still the one it was made for."""
        annotations = secret["metadata"].get("annotations") or {}
        if secret.get("type") != TOKEN_SECRET:
            return None
        namespace = secret["metadata"]["namespace"]
        account = self._store.get(SERVICE_ACCOUNTS, namespace, annotations.get(ACCOUNT_NAME, ""))
        uid = annotations.get(ACCOUNT_UID)
        return account if account and uid in {None, account["metadata"]["uid"]} else None

    def _account(self, namespace: str, name: str) -> Object:
        account = self._store.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise not_found(SERVICE_ACCOUNTS, name)
        return account

    def _is_there(self, resource: Resource, namespace: str, claim: Any) -> bool:
        obj = self._store.get(resource, namespace, claim["name"])
        return obj is not None and obj["metadata"]["uid"] == claim["uid"]


def _user(namespace: str, name: str, uid: str, extra: Extra) -> User:
    username = account_name(namespace, name)
    groups = (*account_groups(username), AUTHENTICATED)
    return User(name=username, groups=groups, uid=uid, extra=extra)


def _check_seconds(seconds: Any) -> None:
    problem = ""
    if not isinstance(seconds, int) or seconds < _MIN_SECONDS:
        problem = "less than 10 minutes"
    elif seconds > _MAX_SECONDS:
        problem = "larger than 2^32 seconds"
    if problem:
        text = f"Invalid value: {seconds}: may not specify a duration {problem}"
        field = ("spec.expirationSeconds", text)
        raise invalid_fields(_TOKEN_REQUESTS.group, _TOKEN_REQUESTS.kind, "", [field])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(secret: Object, key: str) -> str:
    return base64.b64decode((secret.get("data") or {}).get(key, "")).decode("utf-8", "replace")


class Tokens:
    """All bearer tokens: those known from the start, and service accounts'.

    Args:
        static: tokens and whose they are.
        accounts: know the others.
    """

    def __init__(self, static: Iterable[tuple[Secret, User]], accounts: Accounts) -> None:
        self._static = tuple(static)
        self.accounts = accounts

    def user(self, token: str) -> User | None:
        """Whose token it is, among those for the API server."""
        found = self.review(token)
        return None if found is None else found[0]

    def review(self, token: str, audiences: list[str] | None = None) -> Found | None:
        """Who has a token, and which of ``audiences`` it is for, as :meth:`Accounts.user`."""
        for secret, user in self._static:
            if hmac.compare_digest(secret.reveal().encode(), token.encode()):
                return user, audiences or [ISSUER]
        return self.accounts.user(token, audiences)
