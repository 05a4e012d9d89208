"""What the columns of tables mean: the documentation of the field that a column shows, or a few words of its own.

A line of `_MEANINGS` has one entry for each column of the kind, without those that mean the same everywhere: a path from the
object's root (lower case, no spaces), or text. What is not there has no description.
"""

from __future__ import annotations

from .kinds import Kind
from .openapi_descriptions import describe
from .schema import field_at, has_schema, schema_of

_EVERYWHERE = {
    "Name": "metadata.name",
    "Age": "metadata.creationTimestamp",
    "Created At": "metadata.creationTimestamp",
    "Containers": "Names of each container in the template.",
    "Images": "Images referenced by each container in the template.",
}
_READY = "Number of the pod with ready state"
_HOOKS = "Webhooks indicates the number of webhooks registered in this configuration"
_POLICY = (
    "{0} indicates the number of {1} rules defined in this configuration|"
    "ParamKind specifies the kind of resources used to parameterize this policy"
)
_POLICY_BINDING = (
    "PolicyName indicates the policy definition which the policy binding binded to|"
    "ParamRef indicates the param resource which sets the configuration param"
)
_REPLICAS = "spec.replicas|status.replicas|status.readyReplicas|spec.selector"
_UNRESOLVED = "If the RoleRef cannot be resolved, the Authorizer must return an error."
_BINDING = "{1}|Users in the {0}|Groups in the {0}|ServiceAccounts in the {0}"
_EVENT = (
    "lastTimestamp|type|reason|involvedObject|involvedObject.fieldPath|source|message|firstTimestamp|count"
)

_MEANINGS = {
    "pods": "The aggregate readiness state of this pod for accepting traffic.|"
    "The aggregate status of the containers in this pod.|"
    "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.|"
    "status.podIP|spec.nodeName|status.nominatedNodeName|spec.readinessGates",
    "Scale": "spec.replicas|status.replicas",
    "deployments.apps": f"{_READY}|status.updatedReplicas|status.availableReplicas|spec.selector",
    "replicasets.apps": _REPLICAS,
    "replicationcontrollers": _REPLICAS,
    "statefulsets.apps": _READY,
    "daemonsets.apps": "status.desiredNumberScheduled|status.currentNumberScheduled|status.numberReady|"
    "status.updatedNumberScheduled|status.numberAvailable|spec.template.spec.nodeSelector|spec.selector",
    "jobs.batch": "Status of the job.|status.succeeded|Time required to complete the job.|spec.selector",
    "cronjobs.batch": "spec.schedule|spec.timeZone|spec.suspend|status.active|status.lastScheduleTime|spec.jobTemplate.spec.selector",
    "horizontalpodautoscalers.autoscaling": "spec.scaleTargetRef|spec.metrics|spec.minReplicas|spec.maxReplicas|status.currentReplicas",
    "poddisruptionbudgets.policy": "The minimum number of pods that must be available.|"
    "The maximum number of pods that may be unavailable.|Calculated number of pods that may be disrupted at this time.",
    "services": "spec.type|spec.clusterIP|spec.externalIPs|spec.ports|spec.selector",
    "endpoints": "subsets",
    "endpointslices.discovery.k8s.io": "addressType|ports|endpoints",
    "ingresses.networking.k8s.io": "The name of the IngressClass resource that should be used for additional configuration|"
    "Hosts that incoming requests are matched against before the ingress rule|"
    "Address is a list containing ingress points for the load-balancer|Ports of TLS configurations that open",
    "ingressclasses.networking.k8s.io": "Controller that is responsible for handling this class|"
    "A reference to a resource with additional parameters",
    "networkpolicies.networking.k8s.io": "spec.podSelector",
    "servicecidrs.networking.k8s.io": "spec.cidrs",
    "ipaddresses.networking.k8s.io": "spec.parentRef",
    "namespaces": "The status of the namespace",
    "nodes": "The status of the node|The roles of the node|status.nodeInfo.kubeletVersion|status.addresses|status.addresses|"
    "status.nodeInfo.osImage|status.nodeInfo.kernelVersion|status.nodeInfo.containerRuntimeVersion",
    "persistentvolumes": "spec.capacity|spec.accessModes|spec.persistentVolumeReclaimPolicy|status.phase|spec.claimRef|"
    "StorageClass of the pv|VolumeAttributesClass of the pv|status.reason|spec.volumeMode",
    "persistentvolumeclaims": "status.phase|spec.volumeName|status.capacity|status.accessModes|StorageClass of the pvc|"
    "VolumeAttributesClass of the pvc|spec.volumeMode",
    "storageclasses.storage.k8s.io": "provisioner|reclaimPolicy|volumeBindingMode|allowVolumeExpansion",
    "csidrivers.storage.k8s.io": "spec.attachRequired|spec.podInfoOnMount|spec.storageCapacity|spec.tokenRequests|"
    "spec.requiresRepublish|spec.volumeLifecycleModes",
    "csinodes.storage.k8s.io": "Drivers indicates the number of CSI drivers registered on the node",
    "volumeattachments.storage.k8s.io": "spec.attacher|spec.source.persistentVolumeName|spec.nodeName|status.attached",
    "configmaps": "data",
    "secrets": "type|data",
    "rolebindings.rbac.authorization.k8s.io": _BINDING.format(
        "roleBinding",
        f"RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. {_UNRESOLVED}",
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING.format(
        "clusterRoleBinding",
        f"RoleRef can only reference a ClusterRole in the global namespace. {_UNRESOLVED}",
    ),
    "events": _EVENT,
    "podtemplates": "The labels for the pod template.",
    "events.events.k8s.io": _EVENT,
    "controllerrevisions.apps": "Controller of the object|revision",
    "leases.coordination.k8s.io": "spec.holderIdentity",
    "certificatesigningrequests.certificates.k8s.io": "spec.signerName|Base64-encoded PKCS#10 CSR data|"
    "spec.expirationSeconds|Conditions applied to the request, such as approval or denial.",
    "priorityclasses.scheduling.k8s.io": "value|globalDefault|preemptionPolicy",
    "flowschemas.flowcontrol.apiserver.k8s.io": "spec.priorityLevelConfiguration.name|spec.matchingPrecedence|"
    "spec.distinguisherMethod|references a broken or non-existent PriorityLevelConfiguration",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": "spec.type|spec.limited.nominalConcurrencyShares|"
    "spec.limited.limitResponse.queuing.queues|spec.limited.limitResponse.queuing.handSize|"
    "spec.limited.limitResponse.queuing.queueLengthLimit",
    "componentstatuses": "Status of the component conditions|Message of the component conditions|Error of the component conditions",
    "resourceslices.resource.k8s.io": "spec.nodeName|spec.driver|spec.pool.name",
    "volumeattributesclasses.storage.k8s.io": "driverName",
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _HOOKS,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _HOOKS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": _POLICY.format("Validations", "validation"),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": _POLICY.format("Mutation", "mutations"),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "apiservices.apiregistration.k8s.io": "The reference to the service that hosts this API endpoint.|"
    "Whether this service is available.",
    "resourceclaims.resource.k8s.io": "A summary of the current state (allocated, pending, reserved, etc.).",
    "resourcequotas": "Request represents a minimum amount of cpu/memory that a container may consume.|"
    "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
}

_SHOWN_AS = {"Event": ("", "v1"), "HorizontalPodAutoscaler": ("autoscaling", "v2")}
"""Kinds that are printed in one version whatever was asked for."""


def descriptions(kind: Kind, printer: str, names: list[str]) -> list[str]:
    own = iter(_MEANINGS.get(printer, "").split("|"))
    return [_text(kind, _EVERYWHERE.get(name) or next(own, "")) for name in names]


def _text(kind: Kind, meaning: str) -> str:
    version = (*_SHOWN_AS.get(kind.kind, (kind.group, kind.version)), kind.kind)
    if not meaning or " " in meaning or not has_schema(*version):
        return meaning if " " in meaning else ""
    above, _, name = meaning.rpartition(".")
    field = field_at(schema_of(*version), above) if above else None
    return describe((field.type if field else schema_of(*version)).name)[1].get(name, "")
