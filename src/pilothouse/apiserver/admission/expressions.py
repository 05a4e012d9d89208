"""What expressions of policies and match conditions get to see at run time: the values behind `object`, `request`, `authorizer`, ….

One `Scope` for a write, one kind and one parameter; everything in it is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...api.cel import CelError, Program
from ...api.cel.errors import NoOverload
from ...api.cel.runtime import Budget, Lazy, LazyMap
from ...api.kinds import Kind
from ...api.names import dns1123_label, dns1123_subdomain
from ...api.object import Object
from ..authorization import Attributes as Question
from ..request import User, service_account
from .attributes import Attributes

if TYPE_CHECKING:
    from ..authorization import Authorizer
    from . import Environment

_NAMESPACE_META = (
    "name generateName namespace uid labels annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation resourceVersion "
    "finalizers"
).split()


RUN_COST_MAX, CONDITIONS_COST_MAX = 10_000_000, 2_500_000  # of all expressions of one kind that see the same


class OutOfBudget(CelError):
    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, no further validation rules will be run"
        )


class Scope:
    """`remaining`: what its expressions may still cost together."""

    def __init__(self, attributes: Attributes, kind: Kind, env: Environment, params: Object | None = None):
        new, old = attributes.objects(kind)
        authorizer = CelAuthorizer(env.authorizer, attributes.op.user, attributes)
        self.names: dict[str, Any] = {
            "object": new,
            "oldObject": old,
            "request": Lazy(lambda: attributes.request(kind)),
            "namespaceObject": Lazy(lambda: _namespace(attributes.namespace_object)),
            "params": params,
            "authorizer": authorizer,
        }
        self.remaining = RUN_COST_MAX
        self._composed = 0  # what variables did cost

    def with_variables(self, variables: Iterable[tuple[str, Program]]) -> None:
        """Not computed yet, whoever asked for them before."""
        found = LazyMap()
        self.names["variables"] = found
        for name, program in variables:
            found[name] = Lazy(self._variable(name, program))

    def _variable(self, name: str, program: Program) -> Any:
        def compute() -> Any:
            budget = Budget()
            try:
                return program.evaluate(self.names, budget)
            except CelError as error:
                raise CelError(f'composited variable "{name}" fails to evaluate: {error}') from None
            finally:
                self._composed += budget.spent

        return compute

    def evaluate(self, program: Program) -> Any:
        """Raises CelError, with the expression in its message."""
        budget, value, failure = Budget(), None, None
        try:
            value = program.evaluate(self.names, budget)
        except CelError as error:
            failure = error
        self.remaining -= budget.spent + self._composed
        self._composed = 0
        if self.remaining < 0:
            raise OutOfBudget
        if failure is not None:
            raise CelError(f"expression '{program.text}' resulted in error: {failure}")
        return value


def conditions_hold(conditions: Iterable[Program], scope: Scope, ignore_errors: bool) -> bool:
    """A condition that is false decides, whatever errors others have. Raises CelError."""
    failed: list[str] = []
    others, namespace = scope.remaining, scope.names["namespaceObject"]
    scope.remaining, scope.names["namespaceObject"] = CONDITIONS_COST_MAX, None
    try:
        results = []
        for program in conditions:
            try:
                results.append(scope.evaluate(program))
            except OutOfBudget as error:
                failed, results = [str(error)], []
                break
            except CelError as error:
                failed.append(str(error))
    finally:
        scope.remaining, scope.names["namespaceObject"] = others, namespace
    if any(result is not True for result in results):
        return False
    if failed and not ignore_errors:
        told = list(dict.fromkeys(failed))
        raise CelError(told[0] if len(told) == 1 else f"[{', '.join(told)}]")
    return not failed


def _namespace(namespace: Object | None) -> Object | None:
    if namespace is None:
        return None
    meta = namespace["metadata"]
    shown = {key: meta[key] for key in _NAMESPACE_META if key in meta}
    return {"metadata": shown, "spec": namespace.get("spec") or {}, "status": namespace.get("status") or {}}


# -- authorizer --------------------------------------------------------------------------------------------------------


class _Receiver:
    """What has functions, and no equal."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise NoOverload

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, eq=False)
class Decision(_Receiver):
    allowed: bool
    why: str

    type_name = "kubernetes.authorization.Decision"

    def cel_allowed(self) -> bool:
        return self.allowed

    def cel_reason(self) -> str:
        return self.why

    def cel_errored(self) -> bool:
        return False

    def cel_error(self) -> str:
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class Check(_Receiver):
    """A path or a resource that is asked about."""

    authorizer: Authorizer
    question: Question

    type_name = "kubernetes.authorization.ResourceCheck"

    def _with(self, **changes: Any) -> Check:
        return replace(self, question=replace(self.question, **changes))

    def cel_resource(self, value: str) -> Check:
        if not value.strip():
            raise CelError("resource must not be empty")
        return self._with(resource=value)

    def cel_subresource(self, value: str) -> Check:
        return self._with(subresource=value)

    def cel_namespace(self, value: str) -> Check:
        return self._with(namespace=value)

    def cel_name(self, value: str) -> Check:
        return self._with(name=value)

    def cel_fieldSelector(self, value: str) -> Check:
        return self._with(field_selector=value)

    def cel_labelSelector(self, value: str) -> Check:
        return self  # none of our authorizers looks at labels

    def cel_check(self, verb: str) -> Decision:
        return Decision(*self.authorizer.allows(replace(self.question, verb=verb)))


class CelAuthorizer(_Receiver):
    type_name = "kubernetes.authorization.Authorizer"

    def __init__(self, authorizer: Authorizer, user: User, attributes: Attributes):
        self._authorizer, self._user, self._attributes = authorizer, user, attributes

    def cel_field(self, name: str) -> Check:
        """`authorizer.requestResource`: what this very request is about."""
        a = self._attributes
        question = Question(
            self._user, "", a.kind.group, a.kind.version, a.kind.plural, a.subresource, a.namespace, a.name
        )
        return Check(self._authorizer, question)

    def cel_path(self, path: str) -> Check:
        if not path.strip():
            raise CelError("path must not be empty")
        return Check(self._authorizer, Question(self._user, "", path=path))

    def cel_group(self, group: str) -> Check:
        return Check(self._authorizer, Question(self._user, "", group, "*"))

    def cel_serviceAccount(self, namespace: str, name: str) -> CelAuthorizer:
        if dns1123_subdomain(name):
            raise CelError("Invalid service account name")
        if dns1123_label(namespace):
            raise CelError("Invalid service account namespace")
        return CelAuthorizer(self._authorizer, service_account(namespace, name), self._attributes)
