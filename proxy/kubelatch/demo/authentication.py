"""Who is asking: client certificate, bearer token, or nobody; and whom they act as.

It names the user and decides nothing; that is :mod:`.rbac`'s part.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ..secret import Secret
from .status import Object, bad_request, unauthorized

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """What the ``Impersonate-*`` headers ask for, and what each part must be allowed as."""

    user: User
    asked: tuple[tuple[str, str, str], ...]
    """(API group, resource, name) triples for the verb ``impersonate``."""


def authenticate(
    peer_certificate: Mapping[str, object] | None,
    authorization: str,
    tokens: Iterable[tuple[Secret, User]],
) -> User:
    """The user behind a request. A certificate comes first, as in the API server's union.

    Raises:
        StatusError: 401 for a bearer token that nobody has.
    """
    if peer_certificate:
        return _certificate_user(peer_certificate)
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return ANONYMOUS
    for secret, user in tokens:
        if hmac.compare_digest(secret.reveal().encode(), token.strip().encode()):
            return user
    raise unauthorized()


def impersonation(headers: Iterable[tuple[str, str]]) -> Impersonation | None:
    """Read the ``Impersonate-*`` headers (apiserver ``filters/impersonation.go``), if any.

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
            raise bad_request("requested impersonation without impersonating a user")
        return None
    identity = "authentication.k8s.io"
    asked = [("", "users", name), *(("", "groups", group) for group in groups)]
    asked += [(identity, "uids", uid)] if uid else []
    asked += [(identity, f"userextras/{key}", v) for key, values in extra.items() for v in values]
    if name != ANONYMOUS.name and AUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    if name == ANONYMOUS.name and not groups:
        groups.extend(ANONYMOUS.groups)
    user = User(
        name=name,
        groups=tuple(groups),
        uid=uid,
        extra={key: tuple(values) for key, values in extra.items()},
    )
    return Impersonation(user=user, asked=tuple(asked))


def common_name(peer_certificate: Mapping[str, object] | None) -> str | None:
    """The subject's common name, or None without a certificate."""
    return next(iter(_subject(peer_certificate, "commonName")), None)


def _certificate_user(peer_certificate: Mapping[str, object]) -> User:
    name = common_name(peer_certificate)
    if not name:
        return ANONYMOUS
    groups = _subject(peer_certificate, "organizationName")
    return User(name=name, groups=(*groups, AUTHENTICATED))


def _subject(peer_certificate: Mapping[str, object] | None, attribute: str) -> list[str]:
    subject = (peer_certificate or {}).get("subject")
    if not isinstance(subject, tuple):
        return []
    return [value for row in subject for key, value in row if key == attribute]
