"""The policies of one kind with their bindings, compiled, and kept current: what the two policy plugins share.

Nothing is looked up per write: two numbers are compared, and the hooks made anew only when a policy or a binding has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...api.errors import ApiError
from ...api.kinds import Kind, kind_of_resource
from ...api.object import Object
from ...api.selectors import from_object
from ..conversion import from_storage
from .attributes import Attributes
from .matching import Changes, Criteria, is_exempt

if TYPE_CHECKING:
    from ...api.policies import Policy
    from ..registry.operation import Operation
    from . import Environment


@dataclass(frozen=True, slots=True)
class Binding:
    name: str
    spec: Object
    criteria: Criteria


@dataclass(frozen=True, slots=True)
class Hook:
    name: str
    ignores_errors: bool
    policy: Policy | None
    problem: str  # why there is no policy
    criteria: Criteria
    bindings: tuple[Binding, ...]
    param_kind: Object | None


class Misconfigured(Exception):
    """A policy or binding that cannot be evaluated for a write. `binding`: None if it is the policy itself."""

    def __init__(self, hook: Hook, binding: Binding | None, why: str):
        what = "binding" if binding is not None else "policy"
        super().__init__(f"failed to configure {what}: {why}")
        self.hook, self.binding = hook, binding


class Hooks:
    def __init__(self, policies: str, bindings: str):
        self._policies, self._bindings = (
            kind_of_resource(f"{name}.admissionregistration.k8s.io") for name in (policies, bindings)
        )
        self._changes = Changes(self._policies, self._bindings)
        self._hooks: list[Hook] = []

    def current(self, env: Environment) -> list[Hook]:
        """Those that have bindings, by name."""
        if self._changes.any(env):
            self._hooks = list(self._made(env))
        return self._hooks

    def _made(self, env: Environment) -> Iterator[Hook]:
        bindings: dict[str, list[Binding]] = {}
        for obj in env.storage.list(self._bindings):
            spec = obj.get("spec") or {}
            criteria = Criteria.of_resources(spec.get("matchResources"), binding=True)
            bindings.setdefault(spec.get("policyName") or "", []).append(
                Binding(obj["metadata"]["name"], spec, criteria)
            )
        for obj in env.storage.list(self._policies):
            name, spec = obj["metadata"]["name"], obj.get("spec") or {}
            if name not in bindings:
                continue
            from ...api import policies

            policy, problem = None, ""
            try:
                policy = policies.Policy(obj)
            except policies.ExpressionError as error:
                problem = str(error)
            yield Hook(
                name,
                spec.get("failurePolicy") == "Ignore",
                policy,
                problem,
                Criteria.of_resources(spec.get("matchConstraints")),
                tuple(bindings[name]),
                spec.get("paramKind"),
            )

    def concerning(
        self, attributes: Attributes, env: Environment
    ) -> Iterator[tuple[Hook, Binding, Kind, list[Object | None]] | Misconfigured]:
        """What has to be evaluated: a policy, its binding, the version to see, and the parameters to see one after the other."""
        for hook in self.current(env):
            try:
                kind = hook.criteria.matches(attributes, env)
            except ApiError as error:
                yield Misconfigured(hook, None, error.message)
                continue
            if kind is None:
                continue
            if hook.problem:
                yield Misconfigured(hook, None, hook.problem)
                continue
            if hook.param_kind is not None and _kind_of(hook.param_kind, env) is None:
                group, _, version = (hook.param_kind.get("apiVersion") or "").rpartition("/")
                what = f"'{group}/{version}, Kind={hook.param_kind.get('kind') or ''}'"
                yield Misconfigured(hook, None, f"failed to find resource referenced by paramKind: {what}")
                continue
            for binding in hook.bindings:
                try:
                    if binding.criteria.matches(attributes, env) is None:
                        continue
                    params = _params(hook, binding, attributes, env)
                except ApiError as error:
                    yield Misconfigured(hook, binding, error.message)
                except ValueError as error:
                    yield Misconfigured(hook, binding, str(error))
                else:
                    yield hook, binding, kind, params


def attributes_for(op: Operation, env: Environment, hooks: list[Any]) -> Attributes | None:
    """None: no hook can concern it."""
    if not hooks or is_exempt(op.kind):
        return None
    return Attributes(op, env)


def _kind_of(param_kind: Object, env: Environment) -> Kind | None:
    group, _, version = (param_kind.get("apiVersion") or "").rpartition("/")
    return env.find_kind(group, version, param_kind.get("kind") or "")


def _params(hook: Hook, binding: Binding, attributes: Attributes, env: Environment) -> list[Object | None]:
    """Raises ValueError."""
    reference = binding.spec.get("paramRef")
    if hook.param_kind is None or reference is None:
        return [None]
    kind = _kind_of(hook.param_kind, env)
    assert kind is not None
    namespace = reference.get("namespace") or ""
    if namespace and not kind.namespaced:
        raise ValueError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    if kind.namespaced:
        namespace = namespace or attributes.request_namespace
        if not namespace:
            raise ValueError(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    found: list[Object | None] = []
    if reference.get("name"):
        entry = env.storage.get(kind, namespace, reference["name"])
        found = [] if entry is None else [from_storage(kind, entry.object)]
    else:
        selects = from_object(reference.get("selector") or {})
        for obj in env.storage.list(kind, namespace):
            if selects(obj["metadata"].get("labels") or {}):
                found.append(from_storage(kind, obj))
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise ValueError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found
