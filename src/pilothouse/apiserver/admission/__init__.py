"""Admission: what may still change or refuse a write after authorization. One plugin a file, in Kubernetes' order.

A plugin is a module-level object with `admit(op, env)` (may change `op.object`) or `validate(op, env)` (may not), either of which raises an
ApiError to refuse. Most look only at what the cache says, so they are plain functions; one that has to wait returns an awaitable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...api.kinds import Kind, find_gvk, kind_of_resource
from ...base.clock import Clock
from ...base.random import Random
from ..authentication import Lister
from ..config import ApiConfig
from ..registry.operation import Operation, Reinvocation

if TYPE_CHECKING:
    from ..authorization import Authorizer
    from ..registry.storage import Storage
    from ..webhook_client import WebhookClient


@dataclass(slots=True)
class Environment:
    """What plugins may ask."""

    lister: Lister
    clock: Clock
    random: Random
    config: ApiConfig
    authorizer: Authorizer
    storage: Storage
    find_kind: Callable[[str, str, str], Kind | None] = find_gvk
    """By group, version and kind; custom ones too."""
    webhooks: WebhookClient | None = None


class Plugin:
    """The do-nothing plugin that real ones refine. `resources`: only these concern it; empty: all."""

    name = ""
    resources: frozenset[str] = frozenset()
    configured_by = ""  # a resource without which there is nothing to do

    def admit(self, op: Operation, env: Environment) -> Awaitable[None] | None:
        return None

    def validate(self, op: Operation, env: Environment) -> Awaitable[None] | None:
        return None

    def charge(self, op: Operation, env: Environment) -> None:
        """The very last: may refuse, and may add to the transaction. Called again when that is tried again."""


Step = tuple[Callable[[Operation, Environment], Awaitable[None] | None], Collection[str]]
RESOURCES_MAX = 1_000


class Admission:
    def __init__(self, environment: Environment, plugins: list[Plugin] | None = None):
        self.environment = environment
        self.plugins = default_plugins() if plugins is None else plugins
        self._admitting = [p for p in self.plugins if type(p).admit is not Plugin.admit]
        self._validating = [p for p in self.plugins if type(p).validate is not Plugin.validate]
        self._steps: dict[str, tuple[list[Step], ...]] = {}
        self._charging = [p for p in self.plugins if type(p).charge is not Plugin.charge]

    def charge(self, op: Operation) -> None:
        for charge, configuration in (self._steps.get(op.resource) or self._steps_for(op.resource))[2]:
            if configuration:
                charge(op, self.environment)

    async def mutate(self, op: Operation) -> None:
        if op.reinvocation.used:
            op.reinvocation = Reinvocation()
        steps = (self._steps.get(op.resource) or self._steps_for(op.resource))[0]
        for op.reinvocation.round in (0, 1):
            for admit, configuration in steps:
                if configuration and (waiting := admit(op, self.environment)) is not None:
                    await waiting
            if not op.reinvocation.wanted:
                break  # else a policy or a webhook changed the object: once more, for who is before it

    def _steps_for(self, resource: str) -> tuple[list[Step], ...]:
        """What concerns a resource: what changes, what refuses, what charges; each with what configures it, which may be empty."""
        if len(self._steps) >= RESOURCES_MAX:
            self._steps.clear()
        found = self._steps[resource] = (
            [(p.admit, self._configuration(p)) for p in self._admitting if _concerns(p, resource)],
            [(p.validate, self._configuration(p)) for p in self._validating if _concerns(p, resource)],
            [(p.charge, self._configuration(p)) for p in self._charging if _concerns(p, resource)],
        )
        return found

    def _configuration(self, plugin: Plugin) -> Collection[str]:
        """Empty while there is nothing that the plugin would do."""
        if not plugin.configured_by:
            return (plugin.name,)
        prefix = kind_of_resource(plugin.configured_by).prefix
        return self.environment.storage.cache.collection(prefix).by_key

    async def validate(self, op: Operation) -> None:
        for validate, configuration in (self._steps.get(op.resource) or self._steps_for(op.resource))[1]:
            if configuration and (waiting := validate(op, self.environment)) is not None:
                await waiting


def _concerns(plugin: Plugin, resource: str) -> bool:
    return not plugin.resources or resource in plugin.resources


def default_plugins() -> list[Plugin]:
    from .certificates import Certificates
    from .claim_resize import PersistentVolumeClaimResize
    from .default_ingress_class import DefaultIngressClass
    from .default_storage_class import DefaultStorageClass
    from .default_toleration_seconds import DefaultTolerationSeconds
    from .limit_ranger import LimitRanger
    from .mutating_policy import MutatingAdmissionPolicy
    from .namespace_lifecycle import NamespaceLifecycle
    from .node_restriction import NodeRestriction
    from .pod_resize import PodResize
    from .pod_security import PodSecurity
    from .pod_topology_labels import PodTopologyLabels
    from .priority import Priority
    from .resource_quota import ResourceQuota
    from .runtime_class import RuntimeClass
    from .service_account import ServiceAccount
    from .storage_object_in_use import StorageObjectInUseProtection
    from .taint_nodes import TaintNodesByCondition
    from .validating_policy import ValidatingAdmissionPolicy
    from .webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook

    return [
        NamespaceLifecycle(),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        TaintNodesByCondition(),
        PodSecurity(),
        Priority(),
        DefaultTolerationSeconds(),
        DefaultStorageClass(),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(),
        RuntimeClass(),
        Certificates(),
        DefaultIngressClass(),
        PodTopologyLabels(),
        PodResize(),
        MutatingAdmissionPolicy(),
        MutatingAdmissionWebhook(),
        ValidatingAdmissionPolicy(),
        ValidatingAdmissionWebhook(),
        ResourceQuota(),
    ]
