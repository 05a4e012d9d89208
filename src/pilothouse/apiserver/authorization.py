"""Who may do what: `system:masters` may do all; everybody else what RBAC's roles and bindings grant.

RBAC rules are gathered once per (user, namespace) and kept until anything of the four RBAC resources changes, so that a decision is a
walk over the rules of one user. The message of a refusal is Kubernetes' own, which clients and people grep for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..api.errors import ApiError, qualified
from ..api.fielderrors import quoted
from ..api.kinds import kind_of_resource
from ..api.object import Object, namespace_of
from .authentication import Bounded, Lister
from .cache import Cache, Collection
from .follower import Follower
from .node_authorizer import NodeAuthorizer, node_of
from .request import User
from .routes import RequestInfo

SUPERUSERS = "system:masters"
RBAC_RESOURCES = (
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
)


@dataclass(slots=True)  # not frozen: that costs a microsecond a request
class Attributes:
    """The question: may this user do `verb` on that. Read-only."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""  # where `resource` is empty
    field_selector: str = ""

    @classmethod
    def of(cls, user: User, info: RequestInfo, name: str, field_selector: str = "") -> Attributes:
        return cls(
            user,
            info.verb,
            info.group,
            info.version,
            info.resource,
            info.subresource,
            info.namespace,
            name,
            info.path,
            field_selector,
        )

    def selects(self, field: str, value: str) -> bool:
        """Whether the field selector admits only objects with that value."""
        for clause in self.field_selector.split(","):
            key, equals, wanted = clause.partition("=")
            if equals and key.strip() == field and wanted.removeprefix("=").strip() == value:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Rule:
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]
    source: str  # for the reason of an allowance
    source_rule: Object

    def covers(self, a: Attributes) -> bool:
        if a.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not a.resource:
            return any(
                url == "*" or url == a.path or (url.endswith("*") and a.path.startswith(url[:-1]))
                for url in self.urls
            )
        if a.group not in self.groups and "*" not in self.groups:
            return False
        combined = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        if not (
            combined in self.resources
            or "*" in self.resources
            or (a.subresource and f"*/{a.subresource}" in self.resources)
        ):
            return False
        return not self.names or a.name in self.names


def rule_of(rule: Object, source: str) -> Rule:
    return Rule(
        frozenset(rule.get("verbs") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("resources") or ()),
        frozenset(rule.get("resourceNames") or ()),
        tuple(rule.get("nonResourceURLs") or ()),
        source,
        rule,
    )


def subject_matches(subject: Object, user: User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return subject.get("name") == user.name
        case "Group":
            return subject.get("name") in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return bool(where) and user.name == f"system:serviceaccount:{where}:{subject.get('name')}"
    return False


def subject_text(subject: Object, namespace: str) -> str:
    if subject.get("kind") == "ServiceAccount":
        return f'ServiceAccount "{subject.get("name")}/{subject.get("namespace") or namespace}"'
    return f'{subject.get("kind")} "{subject.get("name")}"'


class Authorizer:
    """`allows` answers (allowed, reason)."""

    def __init__(self, lister: Lister, cache: Cache, nodes: NodeAuthorizer, enabled: bool = True):
        self._lister, self._nodes, self._enabled = lister, nodes, enabled
        self._cluster_bindings, self._bindings = (
            _Bindings(cache, RBAC_RESOURCES[1]),
            _Bindings(cache, RBAC_RESOURCES[3]),
        )
        self._cache, self._collections = cache, list[Collection]()
        self._version = -1
        self._rules: Bounded[tuple[str, tuple[str, ...], str], tuple[list[Rule], list[str]]] = Bounded(4096)

    def allows(self, a: Attributes) -> tuple[bool, str]:
        if not self._enabled or SUPERUSERS in a.user.groups:
            return True, ""
        why_not = ""
        node = node_of(a.user)
        if node is not None:
            decision = self._nodes.allows(node, a) if a.resource else None
            if decision is None:
                decision = any(rule.covers(a) for rule in self._node_rules), ""
            allowed, why_not = decision
            if allowed:
                return True, ""
        rules, absent = self.resolve(a.user, a.namespace)
        for rule in rules:
            if rule.covers(a):
                return True, f"RBAC: allowed by {rule.source}"
        if absent:
            why_not += ("\n" if why_not else "") + f"RBAC: {aggregate(absent)}"
        return False, why_not

    @functools.cached_property
    def _node_rules(self) -> list[Rule]:
        """Those of the role `system:node` as it is by default: the role itself may be changed, these may not."""
        from .bootstrap_policy import node_rules

        return [rule_of(rule, "") for rule in node_rules()]

    def check(self, a: Attributes) -> None:
        """Raises 403."""
        allowed, why = self.allows(a)
        if not allowed:
            raise refusal(a, why)

    def resolve(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """The rules that count for a user there, and which roles are bound to it that do not exist."""
        if not self._collections:
            prefixes = [kind_of_resource(resource).prefix for resource in RBAC_RESOURCES]
            self._collections = [self._cache.collection(prefix) for prefix in prefixes]
        version = 0
        for collection in self._collections:
            version += collection.version  # they only grow: any change makes it another sum
        if version != self._version:
            self._version = version
            self._cluster_bindings.catch_up()
            self._bindings.catch_up()
            self._rules.clear()
        key = (user.name, user.groups, namespace)
        found = self._rules.get(key)
        if found is None:
            absent: list[str] = []
            found = self._rules.remember(key, (list(self._gather(user, namespace, absent)), absent))
        return found

    def _gather(self, user: User, namespace: str, absent: list[str]) -> Iterator[Rule]:
        for binding in self._cluster_bindings.of(user, ""):
            yield from self._rules_of_binding(binding, "ClusterRoleBinding", user, "", absent)
        if namespace:
            for binding in self._bindings.of(user, namespace):
                yield from self._rules_of_binding(binding, "RoleBinding", user, namespace, absent)

    def _rules_of_binding(
        self, binding: Object, kind: str, user: User, namespace: str, absent: list[str]
    ) -> Iterator[Rule]:
        for subject in binding.get("subjects") or ():
            if subject_matches(subject, user, namespace):
                break
        else:
            return
        reference = binding["roleRef"]
        name = binding["metadata"]["name"]
        shown = f"{name}/{namespace}" if namespace else name
        source = f'{kind} "{shown}" of {reference["kind"]} "{reference["name"]}" to {subject_text(subject, namespace)}'
        role = self.role(reference, namespace)
        if role is None:
            name = f"{reference['kind'].lower()}.rbac.authorization.k8s.io"
            absent.append(f"{name} {quoted(reference['name'])} not found")
            return
        for rule in role.get("rules") or ():
            yield rule_of(rule, source)

    def role(self, reference: Object, namespace: str) -> Object | None:
        """What a roleRef names."""
        if reference["kind"] == "ClusterRole":
            return self._lister.get("clusterroles.rbac.authorization.k8s.io", "", reference["name"])
        return self._lister.get("roles.rbac.authorization.k8s.io", namespace, reference["name"])


class _Bindings(Follower):
    """Bindings by the subjects that they name, so that a decision looks at those of one user, however many there are."""

    def __init__(self, cache: Cache, resource: str):
        super().__init__(cache, resource)
        self.clear()

    def clear(self) -> None:
        self._by_subject: dict[tuple[str, str, str], dict[str, Object]] = {}
        self._subjects: dict[str, list[tuple[str, str, str]]] = {}

    def add(self, key: str, obj: Object) -> None:
        namespace = namespace_of(obj)
        subjects = [(namespace, *_named(subject, namespace)) for subject in obj.get("subjects") or ()]
        self._subjects[key] = subjects
        for subject in subjects:
            self._by_subject.setdefault(subject, {})[key] = obj

    def drop(self, key: str) -> None:
        for subject in self._subjects.pop(key, ()):
            held = self._by_subject.get(subject)
            if held is not None:
                held.pop(key, None)
                if not held:
                    del self._by_subject[subject]

    def of(self, user: User, namespace: str) -> list[Object]:
        """In the order of their names."""
        found: dict[str, Object] = {}
        for kind, name in (("User", user.name), *(("Group", group) for group in user.groups)):
            found.update(self._by_subject.get((namespace, kind, name), {}))
        return [found[key] for key in sorted(found)]


def _named(subject: Object, namespace: str) -> tuple[str, str]:
    """A service account is a user of a certain name."""
    if subject.get("kind") == "ServiceAccount":
        where = subject.get("namespace") or namespace
        return "User", f"system:serviceaccount:{where}:{subject.get('name')}"
    return str(subject.get("kind")), str(subject.get("name"))


def refusal(a: Attributes, why: str = "") -> ApiError:
    """403 in the words of `responsewriters.ForbiddenMessage`, which takes care that they are no HTML."""
    tail = f": {why}" if why else ""
    message = f"User {quoted(a.user.name)} cannot {a.verb} "
    if not a.resource:
        message = escape(f"{message}path {quoted(a.path)}", quote=False)
        return ApiError(403, "Forbidden", f"forbidden: {message}{tail}")
    resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    message += f"resource {quoted(resource)} in API group {quoted(a.group)}"
    message += f" in the namespace {quoted(a.namespace)}" if a.namespace else " at the cluster scope"
    message = escape(message, quote=False)
    what = qualified(a.resource, a.group)
    head = f"{what} {quoted(a.name)} is forbidden" if a.name else f"{what} is forbidden"
    return ApiError(403, "Forbidden", f"{head}: {message}{tail}", kind=a.resource, group=a.group, name=a.name)


def aggregate(errors: Sequence[str]) -> str:
    """Several errors in one, as `utilerrors.NewAggregate` says them."""
    told = list(dict.fromkeys(errors))
    return told[0] if len(told) == 1 else f"[{', '.join(told)}]"
