"""In what a kind differs from the general: one table, from resource to `Strategy`.

A kind that is not here has no status of its own kind, no generation, and may be updated without a resourceVersion. The functions named in
the table live in files of their own (`pods.py`, `services.py`, …); they change the new object in place, or raise an ApiError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...api.kinds import Kind
from ...api.object import Object

if TYPE_CHECKING:
    from ..options import DeleteOptions
    from .generic import Registry
    from .operation import Operation

Hook = Callable[["Registry", "Operation"], None]


def spec_changed(new: Object, old: Object) -> bool:
    return new.get("spec") != old.get("spec")


def spec_or_annotations_changed(new: Object, old: Object) -> bool:
    return new.get("spec") != old.get("spec") or (new["metadata"].get("annotations") or {}) != (
        old["metadata"].get("annotations") or {}
    )


def anything_or_labels_changed(new: Object, old: Object) -> bool:
    """EndpointSlice: everything outside the metadata, and the labels."""
    return _body(new) != _body(old) or new["metadata"].get("labels") != old["metadata"].get("labels")


def body_changed(new: Object, old: Object) -> bool:
    return _body(new) != _body(old)


def _body(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind", "status")}


def never(new: Object, old: Object) -> bool:
    return False


METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


@dataclass(frozen=True)
class Strategy:
    generation: Callable[[Object, Object], bool] | None = (
        None  # bumps when it says so; None: the kind has none
    )
    initial_status: Object | None = (
        None  # what a new object's status is, whatever the client sent; None: it has none
    )
    status_keeps: tuple[str, ...] = ()  # which metadata a write to /status cannot change
    unconditional_update: bool = True  # a PUT needs no resourceVersion
    create_on_update: bool = False  # a PUT to an absent name creates
    returns_deleted: bool = False  # DELETE answers with the object instead of a Status
    orphans_by_default: bool = False
    graceful: bool = False  # pods
    prepare_create: Hook | None = None
    prepare_update: Hook | None = None
    validate_create: Hook | None = None
    validate_update: Hook | None = None
    commit_create: Hook | None = None  # adds to the transaction
    commit_update: Hook | None = None
    commit_delete: Hook | None = None
    deleting: Callable[[Registry, Object, DeleteOptions], Object | None] | None = (
        None  # what the first DELETE makes of the object, which then waits for its controller; None: it waits already
    )
    finalizing: Callable[[Object], bool] | None = (
        None  # what else than metadata.finalizers holds a deleted object back
    )


DEFAULT = Strategy()


def _table() -> dict[str, Strategy]:
    from .. import custom_resources
    from . import (
        device_rules,
        kinds_rules,
        namespaces,
        pods,
        policy_params,
        rbac,
        service_allocation,
        services,
    )

    spec: dict[str, Any] = {"generation": spec_changed}
    workload: dict[str, Any] = {**spec}
    policy_binding = Strategy(
        generation=spec_changed,
        unconditional_update=False,
        validate_create=policy_params.check_binding,
        validate_update=policy_params.check_binding,
    )
    table = {
        "pods": Strategy(
            generation=pods.generation_changed,
            initial_status={"phase": "Pending"},
            graceful=True,
            returns_deleted=True,
            prepare_create=pods.prepare_create,
            prepare_update=pods.prepare_update,
        ),
        "podtemplates": Strategy(generation=body_changed, returns_deleted=True),
        "services": Strategy(
            initial_status={"loadBalancer": {}},
            create_on_update=True,
            returns_deleted=True,
            prepare_create=services.prepare_create,
            prepare_update=services.prepare_update,
            commit_create=service_allocation.commit_create,
            commit_update=service_allocation.commit_update,
            commit_delete=service_allocation.commit_delete,
        ),
        "namespaces": Strategy(
            initial_status={"phase": "Active"},
            prepare_create=namespaces.prepare_create,
            prepare_update=namespaces.prepare_update,
            finalizing=namespaces.finalizing,
            deleting=namespaces.mark,
        ),
        "nodes": Strategy(
            prepare_create=kinds_rules.node_prepare_create, prepare_update=kinds_rules.node_prepare_update
        ),
        "persistentvolumes": Strategy(
            initial_status={"phase": "Pending"},
            returns_deleted=True,
            prepare_create=kinds_rules.volume_prepare_create,
            prepare_update=kinds_rules.volume_prepare_update,
        ),
        "persistentvolumeclaims": Strategy(
            initial_status={"phase": "Pending"},
            returns_deleted=True,
            prepare_create=kinds_rules.claim_prepare,
            prepare_update=kinds_rules.claim_prepare,
        ),
        "replicationcontrollers": Strategy(**spec, initial_status={"replicas": 0}, orphans_by_default=True),
        "resourcequotas": Strategy(initial_status={}, returns_deleted=True),
        "limitranges": Strategy(create_on_update=True, prepare_create=kinds_rules.limit_range_prepare_create),
        "serviceaccounts": Strategy(
            returns_deleted=True,
            prepare_create=kinds_rules.service_account_prepare,
            prepare_update=kinds_rules.service_account_prepare,
        ),
        "secrets": Strategy(prepare_update=kinds_rules.secret_prepare_update),
        "configmaps": Strategy(),
        "endpoints": Strategy(create_on_update=True),
        "events": Strategy(create_on_update=True),
        "deployments.apps": Strategy(
            generation=spec_or_annotations_changed,
            initial_status={},
            status_keeps=("labels",),
        ),
        "replicasets.apps": Strategy(**workload, initial_status={"replicas": 0}),
        "statefulsets.apps": Strategy(
            **workload,
            initial_status={"replicas": 0, "availableReplicas": 0},
            prepare_create=kinds_rules.stateful_set_prepare,
            prepare_update=kinds_rules.stateful_set_prepare,
        ),
        "daemonsets.apps": Strategy(
            **workload,
            initial_status={
                "currentNumberScheduled": 0,
                "desiredNumberScheduled": 0,
                "numberMisscheduled": 0,
                "numberReady": 0,
            },
            prepare_create=kinds_rules.daemon_set_prepare_create,
            prepare_update=kinds_rules.daemon_set_prepare_update,
        ),
        "jobs.batch": Strategy(
            **spec,
            initial_status={},
            orphans_by_default=True,
            prepare_create=kinds_rules.job_prepare_create,
            commit_create=kinds_rules.job_commit_create,
        ),
        "cronjobs.batch": Strategy(**spec, initial_status={}),
        "controllerrevisions.apps": Strategy(),
        "horizontalpodautoscalers.autoscaling": Strategy(
            initial_status={"currentMetrics": None, "desiredReplicas": 0}
        ),
        "poddisruptionbudgets.policy": Strategy(
            **spec,
            unconditional_update=False,
            initial_status={
                "currentHealthy": 0,
                "desiredHealthy": 0,
                "disruptionsAllowed": 0,
                "expectedPods": 0,
            },
        ),
        "ingresses.networking.k8s.io": Strategy(**spec, initial_status={"loadBalancer": {}}),
        "ingressclasses.networking.k8s.io": Strategy(**spec),
        "networkpolicies.networking.k8s.io": Strategy(**spec),
        "servicecidrs.networking.k8s.io": Strategy(initial_status={}, status_keeps=METADATA),
        "endpointslices.discovery.k8s.io": Strategy(
            generation=anything_or_labels_changed,
            prepare_create=kinds_rules.slice_prepare,
            prepare_update=kinds_rules.slice_prepare,
        ),
        "leases.coordination.k8s.io": Strategy(
            create_on_update=True,
            unconditional_update=False,
            prepare_create=kinds_rules.lease_prepare,
            prepare_update=kinds_rules.lease_prepare,
        ),
        "priorityclasses.scheduling.k8s.io": Strategy(
            generation=never, commit_delete=kinds_rules.priority_class_commit_delete
        ),
        "runtimeclasses.node.k8s.io": Strategy(unconditional_update=False, create_on_update=True),
        "volumeattributesclasses.storage.k8s.io": Strategy(returns_deleted=True),
        "storageclasses.storage.k8s.io": Strategy(returns_deleted=True),
        "csidrivers.storage.k8s.io": Strategy(
            unconditional_update=False,
            returns_deleted=True,
            prepare_create=kinds_rules.csi_driver_prepare_create,
            prepare_update=kinds_rules.csi_driver_prepare_update,
        ),
        "csinodes.storage.k8s.io": Strategy(unconditional_update=False, returns_deleted=True),
        "csistoragecapacities.storage.k8s.io": Strategy(unconditional_update=False),
        "volumeattachments.storage.k8s.io": Strategy(
            initial_status={"attached": False},
            unconditional_update=False,
            returns_deleted=True,
            status_keeps=METADATA,
        ),
        "certificatesigningrequests.certificates.k8s.io": Strategy(
            initial_status={},
            prepare_create=kinds_rules.csr_prepare_create,
            prepare_update=kinds_rules.csr_prepare_update,
        ),
        "roles.rbac.authorization.k8s.io": Strategy(
            create_on_update=True, validate_create=rbac.check_role, validate_update=rbac.check_role
        ),
        "rolebindings.rbac.authorization.k8s.io": Strategy(
            create_on_update=True, validate_create=rbac.check_binding, validate_update=rbac.check_binding
        ),
        "clusterroles.rbac.authorization.k8s.io": Strategy(
            create_on_update=True, validate_create=rbac.check_role, validate_update=rbac.check_role
        ),
        "clusterrolebindings.rbac.authorization.k8s.io": Strategy(
            create_on_update=True, validate_create=rbac.check_binding, validate_update=rbac.check_binding
        ),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io": Strategy(
            generation=body_changed, unconditional_update=False
        ),
        "validatingwebhookconfigurations.admissionregistration.k8s.io": Strategy(
            generation=body_changed, unconditional_update=False
        ),
        "validatingadmissionpolicies.admissionregistration.k8s.io": Strategy(
            generation=spec_changed,
            initial_status={},
            unconditional_update=False,
            status_keeps=METADATA,
            validate_create=policy_params.check_policy,
            validate_update=policy_params.check_policy,
        ),
        "mutatingadmissionpolicies.admissionregistration.k8s.io": Strategy(
            generation=spec_changed,
            unconditional_update=False,
            validate_create=policy_params.check_policy,
            validate_update=policy_params.check_policy,
        ),
        "validatingadmissionpolicybindings.admissionregistration.k8s.io": policy_binding,
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io": policy_binding,
        "flowschemas.flowcontrol.apiserver.k8s.io": Strategy(
            generation=spec_changed, initial_status={}, status_keeps=METADATA
        ),
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Strategy(
            generation=spec_changed, initial_status={}, status_keeps=METADATA
        ),
        "customresourcedefinitions.apiextensions.k8s.io": Strategy(
            generation=spec_changed,
            unconditional_update=False,
            prepare_create=custom_resources.prepare_create,
            prepare_update=custom_resources.prepare_update,
            validate_create=custom_resources.warn,
            validate_update=custom_resources.warn,
            deleting=custom_resources.deleting,
        ),
        "apiservices.apiregistration.k8s.io": Strategy(
            unconditional_update=False,
            initial_status={},
            status_keeps=METADATA,
            prepare_create=kinds_rules.api_service_prepare_create,
        ),
        "resourceclaims.resource.k8s.io": Strategy(
            initial_status={},
            status_keeps=METADATA,
            returns_deleted=True,
            prepare_update=device_rules.claim_prepare_update,
            validate_create=device_rules.check_admin_access,
            validate_update=device_rules.check_admin_access,
        ),
        "resourceclaimtemplates.resource.k8s.io": Strategy(
            returns_deleted=True, validate_create=device_rules.check_admin_access
        ),
        "resourceslices.resource.k8s.io": Strategy(
            generation=spec_changed,
            returns_deleted=True,
            prepare_create=device_rules.slice_prepare,
            prepare_update=device_rules.slice_prepare,
        ),
        "deviceclasses.resource.k8s.io": Strategy(generation=spec_changed, returns_deleted=True),
    }
    return table


_strategies: dict[str, Strategy] = {}


def strategy_of(resource: str, custom: Kind | None = None) -> Strategy:
    """`custom`: the kind, of custom resources."""
    if custom is not None:
        from ..custom_resources import strategy_of as of_custom

        return of_custom(custom)
    if not _strategies:
        _strategies.update(_table())
    return _strategies.get(resource, DEFAULT)
