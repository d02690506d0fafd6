"""Who is asking: client certificate, bearer token, or nobody; and whom they act as.

It names the user and decides nothing; that is :mod:`.rbac`'s part.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from .status import NO_SNIFFING, Object, StatusError, unauthorized

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
ACCOUNT_PREFIX = "system:serviceaccount:"
_IDENTITY = "authentication.k8s.io"
_IMPERSONATE_EXTRA = "impersonate-extra-"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """``authentication.k8s.io/v1`` UserInfo."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def as_object(self) -> Object:
        """As a SelfSubjectReview shows it."""
        info: Object = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


ANONYMOUS = User(name="system:anonymous", groups=(UNAUTHENTICATED,))

TokenUser = Callable[[str], User | None]
"""Finds the user of a bearer token; None if nobody has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpersonatedUser:
    """What the ``Impersonate-*`` headers ask for, and what each part must be allowed as."""

    user: User
    mode: str
    """Which kind of user it is, as the verbs of constrained impersonation name it (KEP-5284)."""
    asked: tuple[tuple[str, str, str, str], ...]
    """API group, resource, namespace and name for the verb ``impersonate``."""


def authenticate(
    peer_certificate: Mapping[str, object] | None,
    der: bytes | None,
    authorization: str,
    token_user: TokenUser,
) -> User:
    """The user of a request. A certificate comes first, as in the API server's union.

    Args:
        peer_certificate: the client's certificate as ``ssl`` decodes it.
        der: the same, encoded.
        authorization: the header's value.
        token_user: finds the user of a bearer token.

    Raises:
        StatusError: 401 for a bearer token that nobody has.
    """
    if peer_certificate:
        return _certificate_user(peer_certificate, der or b"")
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return ANONYMOUS
    user = token_user(token)
    if user is None:
        raise unauthorized()
    return user


def impersonation(headers: Iterable[tuple[str, str]]) -> ImpersonatedUser | None:
    """Read the ``Impersonate-*`` headers (apiserver ``filters/impersonation``), if any.

    Raises:
        StatusError: 400 for a group, uid or extra without a user.
    """
    name, uid = "", ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        key = header.lower()
        if key == "impersonate-user":
            name = value
        elif key == "impersonate-uid":
            uid = value
        elif key == "impersonate-group":
            groups.append(value)
        elif key.startswith(_IMPERSONATE_EXTRA):
            extra.setdefault(unquote(key.removeprefix(_IMPERSONATE_EXTRA)), []).append(value)
    if not name:
        if groups or uid or extra:
            wanted = _go_user(uid, groups, extra)
            text = f"requested {wanted} without impersonating a user name"
            raise StatusError(400, "BadRequest", text, None, NO_SNIFFING)
        return None
    account = bool(account_groups(name))
    if account:
        namespace, _, short = name.removeprefix(ACCOUNT_PREFIX).partition(":")
        asked = [("", "serviceaccounts", namespace, short)]
    else:
        asked = [("", "users", "", name)]
    asked += [("", "groups", "", group) for group in groups]
    asked += [(_IDENTITY, "uids", "", uid)] if uid else []
    asked += [
        (_IDENTITY, f"userextras/{key}", "", value)
        for key, values in extra.items()
        for value in values
    ]
    if not groups:
        groups.extend(account_groups(name))
    known = AUTHENTICATED in groups or UNAUTHENTICATED in groups
    if not known:
        groups.append(UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED)
    user = User(
        name=name,
        groups=tuple(groups),
        uid=uid,
        extra={key: tuple(values) for key, values in extra.items()},
    )
    mode = "serviceaccount" if account else "user-info"
    return ImpersonatedUser(user=user, mode=mode, asked=tuple(asked))


def account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{ACCOUNT_PREFIX}{namespace}:{name}"


def account_groups(username: str) -> tuple[str, ...]:
    """The groups of a service account; none for other users."""
    parts = username.removeprefix(ACCOUNT_PREFIX).split(":")
    if not username.startswith(ACCOUNT_PREFIX) or len(parts) != 2:
        return ()
    return ("system:serviceaccounts", f"system:serviceaccounts:{parts[0]}")


def common_name(peer_certificate: Mapping[str, object] | None) -> str | None:
    """The subject's common name, or None without a certificate."""
    return next(iter(_subject(peer_certificate, "commonName")), None)


def _certificate_user(peer_certificate: Mapping[str, object], der: bytes) -> User:
    name = common_name(peer_certificate)
    if not name:
        return ANONYMOUS
    groups = _subject(peer_certificate, "organizationName")
    digest = hashlib.sha256(der).hexdigest()
    return User(
        name=name,
        groups=(*groups, AUTHENTICATED),
        extra={CREDENTIAL_ID: (f"X509SHA256={digest}",)},
    )


def _subject(peer_certificate: Mapping[str, object] | None, attribute: str) -> list[str]:
    subject = (peer_certificate or {}).get("subject")
    if not isinstance(subject, tuple):
        return []
    return [value for row in subject for key, value in row if key == attribute]


def _go_user(uid: str, groups: list[str], extra: Mapping[str, list[str]]) -> str:
    """A user as Go's ``%#v`` writes it."""

    def strings(values: list[str]) -> str:
        return "{" + ", ".join(json.dumps(value) for value in values) + "}" if values else "(nil)"

    fields = ", ".join(f"{json.dumps(key)}:[]string{strings(row)}" for key, row in extra.items())
    shown = "{" + fields + "}" if extra else "(nil)"
    return (
        f'&user.DefaultInfo{{Name:"", UID:{json.dumps(uid)}, Groups:[]string{strings(groups)}, '
        f"Extra:map[string][]string{shown}}}"
    )
