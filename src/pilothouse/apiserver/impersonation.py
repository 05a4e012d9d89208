"""Acting as somebody else: `Impersonate-User` and its kin, for those who may (authentication docs, "User impersonation").

Each thing that is claimed (user or service account, groups, uid, extra) is asked about with the verb `impersonate`. A plain user is
first asked about as in constrained impersonation (KEP-5284), whose refusal is the one that clients see.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from ..api.errors import bad_request
from .authorization import SUPERUSERS, Attributes, Authorizer, refusal
from .request import Request, User
from .routes import RequestInfo

AUTHENTICATION = "authentication.k8s.io"


def impersonated(request: Request, user: User, info: RequestInfo, authorizer: Authorizer) -> User:
    """Who the request is to be taken for: `user` itself without the headers. Raises 400 and 403."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = _values(headers.get("impersonate-group", ""))
    uid = headers.get("impersonate-uid", "")
    extra = {
        unquote(key.removeprefix("impersonate-extra-")).lower(): _values(value)
        for key, value in headers.items()
        if key.startswith("impersonate-extra-")
    }
    if not name:
        if not (groups or uid or extra):
            return user
        shown_groups = "[]string{" + ", ".join(f'"{g}"' for g in groups) + "}" if groups else "[]string(nil)"
        shown = f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{shown_groups}, Extra:map[string][]string(nil)}}'
        raise bad_request(f"requested {shown} without impersonating a user name")
    if SUPERUSERS not in user.groups:
        _check(user, name, groups, uid, extra, info, authorizer)
    return _user(name, groups, uid, extra)


def _values(header: str) -> list[str]:
    return [value.strip() for value in header.split(",") if value.strip()]


def _user(name: str, groups: list[str], uid: str, extra: dict[str, list[str]]) -> User:
    account = _account(name)
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if name == "system:anonymous":
        if "system:unauthenticated" not in groups:
            groups = [*groups, "system:unauthenticated"]
    elif "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups = [*groups, "system:authenticated"]
    return User(name, tuple(groups), uid, extra)


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name."""
    parts = name.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]:
        return parts[2], parts[3]
    return None


def _check(
    user: User,
    name: str,
    groups: list[str],
    uid: str,
    extra: dict[str, list[str]],
    info: RequestInfo,
    authorizer: Authorizer,
) -> None:
    for asked in _questions(user, name, groups, uid, extra):
        allowed, why = authorizer.allows(asked)
        if allowed:
            continue
        if asked.resource == "users":
            constrained = Attributes(
                user, f"impersonate-on:user-info:{info.verb}", info.group, info.version, info.resource, info.subresource,
                info.namespace, info.name, info.path,
            )  # fmt: skip
            raise refusal(constrained, why)
        raise refusal(asked, why)


def _questions(
    user: User, name: str, groups: list[str], uid: str, extra: dict[str, list[str]]
) -> Iterator[Attributes]:
    account = _account(name)
    if account:
        yield Attributes(
            user, "impersonate", "", "v1", "serviceaccounts", namespace=account[0], name=account[1]
        )
    else:
        yield Attributes(user, "impersonate", "", "v1", "users", name=name)
    for group in groups:
        yield Attributes(user, "impersonate", "", "v1", "groups", name=group)
    if uid:
        yield Attributes(user, "impersonate", AUTHENTICATION, "v1", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Attributes(user, "impersonate", AUTHENTICATION, "v1", "userextras", key, name=value)
