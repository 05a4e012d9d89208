"""The table of validators: from resource to the functions that check it. A new kind is one line here."""

from __future__ import annotations

from . import (
    apiregistration,
    autoscaling,
    certificates,
    config,
    custom_resources,
    events,
    flowcontrol,
    networking,
    persistent_volumes,
    pods,
    policy,
    quota,
    rbac,
    services,
)
from .validator import Validator

VALIDATORS: dict[str, Validator] = {
    "customresourcedefinitions.apiextensions.k8s.io": custom_resources.DEFINITIONS,
    "pods": pods.VALIDATOR,
    "persistentvolumes": persistent_volumes.VOLUME,
    "persistentvolumeclaims": persistent_volumes.CLAIM,
    "services": services.SERVICE,
    "endpoints": services.ENDPOINTS,
    "endpointslices.discovery.k8s.io": services.ENDPOINT_SLICE,
    "ingresses.networking.k8s.io": networking.INGRESS,
    "ingressclasses.networking.k8s.io": networking.INGRESS_CLASS,
    "networkpolicies.networking.k8s.io": networking.NETWORK_POLICY,
    "ipaddresses.networking.k8s.io": networking.IP_ADDRESS,
    "servicecidrs.networking.k8s.io": networking.SERVICE_CIDR,
    "configmaps": config.CONFIG_MAP,
    "secrets": config.SECRET,
    "serviceaccounts": config.SERVICE_ACCOUNT,
    "resourcequotas": quota.QUOTA,
    "limitranges": quota.LIMIT_RANGE,
    "events": events.OLD,
    "events.events.k8s.io": events.NEW,
    "horizontalpodautoscalers.autoscaling": autoscaling.AUTOSCALER,
    "poddisruptionbudgets.policy": policy.BUDGET,
    "priorityclasses.scheduling.k8s.io": policy.PRIORITY_CLASS,
    "runtimeclasses.node.k8s.io": policy.RUNTIME_CLASS,
    "leases.coordination.k8s.io": policy.LEASE,
    "roles.rbac.authorization.k8s.io": rbac.ROLE,
    "clusterroles.rbac.authorization.k8s.io": rbac.CLUSTER_ROLE,
    "rolebindings.rbac.authorization.k8s.io": rbac.ROLE_BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": rbac.CLUSTER_ROLE_BINDING,
    "certificatesigningrequests.certificates.k8s.io": certificates.SIGNING_REQUEST,
    "flowschemas.flowcontrol.apiserver.k8s.io": flowcontrol.SCHEMA,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": flowcontrol.LEVEL,
    "apiservices.apiregistration.k8s.io": apiregistration.SERVICE,
}
"""`deployments.apps` → its validator."""
