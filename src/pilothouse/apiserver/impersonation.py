"""Acting as somebody else: `Impersonate-User` and its kin, for those who may (authentication docs, "User impersonation").

There are five ways to be allowed to, tried in this order, first the one by which this user was last allowed to: as the node that the
asking service account runs on, as any node, as a service account, as any other user, each only for some verbs ("constrained
impersonation", KEP-5284), and the old way: the verb `impersonate` on each thing that is claimed, for all verbs. Where none allows
it, the refusal is that of the first that was looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from ..api import names
from ..api.errors import ApiError, bad_request
from ..api.fielderrors import quoted
from .authentication import Bounded
from .authorization import SUPERUSERS, Attributes, Authorizer, refusal
from .request import AUTHENTICATED, Request, User
from .routes import RequestInfo, authorized_name

AUTHENTICATION = "authentication.k8s.io"
UNAUTHENTICATED = "system:unauthenticated"
NODE_NAME = "authentication.kubernetes.io/node-name"
MANY = 4  # so many groups or extra values are first asked about as "*"


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    groups: tuple[str, ...]
    uid: str
    extra: dict[str, list[str]]

    @property
    def only_name(self) -> bool:
        return not (self.groups or self.uid or self.extra)

    @property
    def node(self) -> str:
        name = self.name.removeprefix("system:node:")
        return name if name != self.name and not names.dns1123_subdomain(name) else ""

    @property
    def account(self) -> tuple[str, str] | None:
        return _account(self.name)


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name."""
    parts = name.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        return None
    return (
        None if names.dns1123_label(parts[2]) or names.dns1123_subdomain(parts[3]) else (parts[2], parts[3])
    )


def _of_own_node(wanted: _Wanted, user: User) -> bool:
    runs_on = user.extra.get(NODE_NAME)
    return bool(wanted.only_name and wanted.node and _account(user.name) and runs_on == [wanted.node])


# constrained mode -> whether it is for this; what none is for is left to the old way ("")
_MODES: tuple[tuple[str, Callable[[_Wanted, User], bool]], ...] = (
    ("associated-node", _of_own_node),
    ("arbitrary-node", lambda wanted, user: wanted.only_name and bool(wanted.node)),
    ("serviceaccount", lambda wanted, user: wanted.only_name and wanted.account is not None),
    ("user-info", lambda wanted, user: not wanted.node and wanted.account is None),
    ("", lambda wanted, user: True),
)


class Impersonation:
    def __init__(self, authorizer: Authorizer):
        self._authorizer = authorizer
        self._last: Bounded[str, int] = Bounded(10_000)  # the mode that last allowed it, by who asked

    def user_of(self, request: Request, user: User, info: RequestInfo) -> User:
        """Who the request is to be taken for: `user` itself without the headers. Raises 400 and 403."""
        wanted = _wanted(request.headers)
        if wanted is None:
            return user
        name = authorized_name(info, request.parameters)
        asked = Attributes.of(user, info, name, request.parameter("fieldSelector"))
        last = self._last.get(user.name)
        order = [*([last] if last is not None else []), *(i for i in range(len(_MODES)) if i != last)]
        first: ApiError | None = None
        for index in order:
            mode, is_for = _MODES[index]
            if not is_for(wanted, user):
                continue
            try:
                found = self._try(mode, wanted, asked)
            except ApiError as error:
                first = first or error
            else:
                self._last.remember(user.name, index)
                if request.audit is not None:
                    request.audit.impersonates(found, f"impersonate:{mode}" if mode else "")
                return found
        assert first is not None  # the last mode is for all
        raise first

    def _try(self, mode: str, wanted: _Wanted, asked: Attributes) -> User:
        """Raises 403."""
        check = self._authorizer.check
        if mode:
            check(replace(asked, verb=f"impersonate-on:{mode}:{asked.verb}"))
        verb, group = (f"impersonate:{mode}", AUTHENTICATION) if mode else ("impersonate", "")
        question = Attributes(asked.user, verb, group, "v1")
        more = replace(question, group=AUTHENTICATION)
        groups, account = wanted.groups, wanted.account
        if account is not None:
            check(replace(question, resource="serviceaccounts", namespace=account[0], name=account[1]))
            groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
        elif mode and wanted.node:
            check(replace(question, resource="nodes", name="*" if mode == "associated-node" else wanted.node))
            groups = ("system:nodes",)
        else:
            check(replace(question, resource="users", name=wanted.name))
        if wanted.uid:
            check(replace(more, resource="uids", name=wanted.uid))
        if wanted.groups:
            self._check_groups(replace(question, resource="groups"), wanted.groups, bool(mode))
        if wanted.extra:
            self._check_extra(replace(more, resource="userextras"), wanted.extra, bool(mode))
        added = AUTHENTICATED
        if wanted.name == "system:anonymous" or UNAUTHENTICATED in groups:
            added = UNAUTHENTICATED
        groups = groups if added in groups else (*groups, added)
        return User(wanted.name, groups, wanted.uid, wanted.extra)

    def _check_groups(self, question: Attributes, groups: tuple[str, ...], constrained: bool) -> None:
        if constrained:
            if "" in groups:
                raise refusal(question, "impersonating the empty string group is not allowed")
            if SUPERUSERS in groups:
                why = "impersonating the system:masters group is not allowed"
                raise refusal(replace(question, name=SUPERUSERS), why)
            if len(groups) >= MANY and self._authorizer.allows(replace(question, name="*"))[0]:
                return
        for group in groups:
            self._authorizer.check(replace(question, name=group))

    def _check_extra(self, question: Attributes, extra: dict[str, list[str]], constrained: bool) -> None:
        if constrained:
            for key, values in extra.items():
                if why := _bad_extra(key, values):
                    raise refusal(question, why)
            many = len(extra) >= MANY or sum(map(len, extra.values())) >= MANY
            if many and self._authorizer.allows(replace(question, subresource="*", name="*"))[0]:
                return
        for key, values in extra.items():
            for value in values:
                self._authorizer.check(replace(question, subresource=key, name=value))


def _bad_extra(key: str, values: list[str]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    domain, _, path = key.partition("/")
    if not domain or not path:
        why = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return f"impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {quoted(key)}: {why}"
    if key != key.lower():
        return f"impersonating a non-lowercase key in extra is not allowed: {quoted(key)}"
    return "impersonating the empty string value in extra is not allowed" if "" in values else ""


def _wanted(headers: dict[str, str]) -> _Wanted | None:
    """None: nobody is impersonated."""
    name = headers.get("impersonate-user", "")
    groups = _values(headers.get("impersonate-group", ""))
    uid = headers.get("impersonate-uid", "")
    prefix = "impersonate-extra-"
    extra = {
        unquote(key.removeprefix(prefix)): _values(headers[key])
        for key in sorted(headers)
        if key.startswith(prefix)
    }
    if name:
        return _Wanted(name, tuple(groups), uid, extra)
    if not (groups or uid or extra):
        return None
    shown_extra = "(nil)"
    if extra:
        listed = (f"{quoted(key)}:{_go_strings(values)}" for key, values in sorted(extra.items()))
        shown_extra = "{" + ", ".join(listed) + "}"
    shown = (
        f'&user.DefaultInfo{{Name:"", UID:{quoted(uid)}, Groups:{_go_strings(groups)}, '
        f"Extra:map[string][]string{shown_extra}}}"
    )
    raise bad_request(f"requested {shown} without impersonating a user name")


def _values(header: str) -> list[str]:
    return [value.strip() for value in header.split(",") if value.strip()]


def _go_strings(values: list[str]) -> str:
    return "[]string{" + ", ".join(map(quoted, values)) + "}" if values else "[]string(nil)"
