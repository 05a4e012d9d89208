"""What the API server fills in: the defaults of every built-in kind, as 1.36 has them.

One table, `DEFAULTS`, from (group, kind) to the functions that complete an object in place; a file for each family of
kinds. Source: k8s.io/kubernetes pkg/apis/*/v1/defaults.go, and the recordings.
"""

from __future__ import annotations

from collections.abc import Callable

from ..kinds import Kind
from ..object import Object
from . import apps, batch, core, devices, misc, networking, pod

DEFAULTS: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "Pod"): pod.default_pod,
    ("", "PodTemplate"): pod.default_pod_template_object,
    ("", "Service"): core.default_service,
    ("", "ReplicationController"): core.default_replication_controller,
    ("", "Secret"): core.default_secret,
    ("", "ConfigMap"): core.default_nothing,
    ("", "Namespace"): core.default_namespace,
    ("", "Node"): core.default_node,
    ("", "PersistentVolume"): core.default_persistent_volume,
    ("", "PersistentVolumeClaim"): core.default_persistent_volume_claim,
    ("", "Endpoints"): core.default_endpoints,
    ("", "ResourceQuota"): core.default_resource_quota,
    ("", "LimitRange"): core.default_limit_range,
    ("apps", "Deployment"): apps.default_deployment,
    ("apps", "ReplicaSet"): apps.default_replica_set,
    ("apps", "StatefulSet"): apps.default_stateful_set,
    ("apps", "DaemonSet"): apps.default_daemon_set,
    ("batch", "Job"): batch.default_job,
    ("batch", "CronJob"): batch.default_cron_job,
    ("discovery.k8s.io", "EndpointSlice"): networking.default_endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): networking.default_network_policy,
    ("networking.k8s.io", "Ingress"): networking.default_ingress,
    ("networking.k8s.io", "IngressClass"): networking.default_ingress_class,
    ("autoscaling", "HorizontalPodAutoscaler"): misc.default_autoscaler,
    ("policy", "PodDisruptionBudget"): misc.default_disruption_budget,
    ("scheduling.k8s.io", "PriorityClass"): misc.default_priority_class,
    ("storage.k8s.io", "StorageClass"): misc.default_storage_class,
    ("storage.k8s.io", "CSIDriver"): misc.default_csi_driver,
    ("storage.k8s.io", "CSIStorageCapacity"): misc.default_storage_capacity,
    ("storage.k8s.io", "VolumeAttachment"): core.default_nothing,
    ("rbac.authorization.k8s.io", "RoleBinding"): misc.default_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): misc.default_binding,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): misc.default_webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): misc.default_webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): misc.default_admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): misc.default_admission_policy,
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
    ): misc.default_admission_policy_binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): misc.default_admission_policy_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): misc.default_crd,
    ("apiregistration.k8s.io", "APIService"): misc.default_api_service,
    ("resource.k8s.io", "ResourceClaim"): devices.default_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): devices.default_claim_template,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): misc.default_flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): misc.default_priority_level,
}


def apply_defaults(kind: Kind, obj: Object) -> None:
    """Completes an object in place. It must be the caller's own: nothing here copies."""
    function = DEFAULTS.get((kind.group, kind.kind))
    if function is not None:
        function(obj)
