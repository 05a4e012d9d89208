"""Which writes a webhook, a policy or a binding is for: rules, selectors and match conditions, compiled once.

(apiserver/pkg/admission/plugin/webhook/predicates and plugin/policy/matching)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...api.errors import not_found
from ...api.kinds import Kind
from ...api.object import Object
from ...api.selectors import Matcher, everything, from_object
from .attributes import Attributes

if TYPE_CHECKING:
    from ..cache import Collection
    from . import Environment

_EXEMPT = frozenset(
    """validatingwebhookconfigurations mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings
    mutatingadmissionpolicies mutatingadmissionpolicybindings""".split()
)


def is_exempt(kind: Kind) -> bool:
    """Nothing that configures admission is subject to it, so that mistakes can be undone."""
    return kind.group == "admissionregistration.k8s.io" and kind.plural in _EXEMPT


class Changes:
    """Whether any object of some kinds has changed since the last look: a comparison of numbers."""

    def __init__(self, *kinds: Kind):
        self._kinds = kinds
        self._collections: list[Collection] = []
        self._seen = -1

    def any(self, env: Environment) -> bool:
        if not self._collections:
            self._collections = [env.storage.cache.collection(kind.prefix) for kind in self._kinds]
        newest = 0
        for collection in self._collections:
            newest += collection.version
        if newest == self._seen:
            return False
        self._seen = newest
        return True


@dataclass(frozen=True, slots=True)
class Rule:
    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]

    @classmethod
    def of(cls, rule: Object) -> Rule:
        resources = []
        for resource in rule.get("resources") or ():
            plural, _, subresource = resource.partition("/")
            resources.append((plural, subresource))
        operations, groups, versions, names = (
            frozenset(rule.get(key) or ())
            for key in ("operations", "apiGroups", "apiVersions", "resourceNames")
        )
        return cls(operations, groups, versions, tuple(resources), rule.get("scope") or "*", names)

    def covers(self, kind: Kind, attributes: Attributes) -> bool:
        if not _in(attributes.verb, self.operations):
            return False
        if not _in(kind.group, self.groups) or not _in(kind.version, self.versions):
            return False
        if self.scope != "*" and (self.scope == "Namespaced") != bool(attributes.namespace):
            return False
        if self.names and attributes.name not in self.names:
            return False
        subresource = attributes.subresource
        return any(p in ("*", kind.plural) and s in ("*", subresource) for p, s in self.resources)


def _in(value: str, allowed: frozenset[str]) -> bool:
    return value in allowed or "*" in allowed


class Criteria:
    """`matches` gives the version of the kind that a rule covers; None: not for this write."""

    def __init__(
        self,
        rules: Iterable[Object] | None,
        excluded: Iterable[Object] = (),
        namespace_selector: Object | None = None,
        object_selector: Object | None = None,
        equivalent: bool = True,
    ):
        """`rules` None: everything."""
        self._rules = None if rules is None else [Rule.of(rule) for rule in rules]
        self._excluded = [Rule.of(rule) for rule in excluded]
        self._namespaces = _selector(namespace_selector)
        self._objects = _selector(object_selector)
        self._equivalent = equivalent

    @classmethod
    def of_resources(cls, resources: Object | None, *, binding: bool = False) -> Criteria:
        """Of `MatchResources`. A binding without rules takes what its policy takes."""
        found = resources or {}
        rules = found.get("resourceRules") or (None if binding else ())
        return cls(
            rules,
            found.get("excludeResourceRules") or (),
            found.get("namespaceSelector"),
            found.get("objectSelector"),
            found.get("matchPolicy") != "Exact",
        )

    def matches(self, attributes: Attributes, env: Environment) -> Kind | None:
        kind = attributes.kind
        if any(rule.covers(kind, attributes) for rule in self._excluded):
            return None
        found: Kind | None = kind
        if self._rules is not None:
            found = self._covered(attributes)
        if (
            found is None
            or not self._selects_namespace(attributes, env)
            or not self._selects_object(attributes, found)
        ):
            return None
        return found

    def _covered(self, attributes: Attributes) -> Kind | None:
        rules = self._rules or ()
        if any(rule.covers(attributes.kind, attributes) for rule in rules):
            return attributes.kind
        if self._equivalent:
            for kind in attributes.equivalents:
                if any(rule.covers(kind, attributes) for rule in rules):
                    return kind
        return None

    def _selects_namespace(self, attributes: Attributes, env: Environment) -> bool:
        if self._namespaces is everything:
            return True
        if attributes.kind.resource == "namespaces":
            new, old = attributes.objects(attributes.kind)
            return self._namespaces(_labels(new or old))
        if not attributes.namespace:
            return True
        namespace = attributes.namespace_object
        if namespace is None:
            raise not_found("namespaces", "", attributes.namespace)
        return self._namespaces(_labels(namespace))

    def _selects_object(self, attributes: Attributes, kind: Kind) -> bool:
        if self._objects is everything:
            return True
        return any(obj is not None and self._objects(_labels(obj)) for obj in attributes.objects(kind))


def _selector(selector: Object | None) -> Matcher:
    return everything if not selector else from_object(selector)


def _labels(obj: Object | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}
