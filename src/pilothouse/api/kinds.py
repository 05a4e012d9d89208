"""Every built-in kind that a Kubernetes 1.36 API server serves by default: one row each, in discovery's order.

Routes, discovery, OpenAPI, RBAC, storage and decoding all read this table; someone who adds a kind adds a row.
CustomResourceDefinitions become `Kind`s of the same shape at run time (`Kind.custom`).

A kind that is served in several versions or groups (HorizontalPodAutoscaler; Event) has one row for each; `storage_group`
and `storage_version` say which of them is stored. Reviews (TokenReview, …) have only `create` and are never stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""Of custom resources, in the order that discovery shows; while their definition is going: without patch, create and update."""
_GET_UPDATE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """`pods/eviction`: what it is called, and the kind that its body and answer have."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    """Of the kind; as in discovery, with `version`, empty where they are the parent's own."""
    version: str = ""


@dataclass(frozen=True)
class Kind:
    """A resource as one group and version serves it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = STANDARD_VERBS
    subresources: tuple[Subresource, ...] = ()
    storage_group: str = ""
    storage_version: str = ""
    list_kind: str = ""
    custom: bool = False
    """From a CustomResourceDefinition."""

    def __hash__(self) -> int:  # of all fields it would cost microseconds, and some tables go by kind
        return hash((self.group, self.version, self.plural))

    @cached_property
    def resource(self) -> str:
        """`deployments.apps`; `pods` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def api_version(self) -> str:
        """`apps/v1`; `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def stored(self) -> bool:
        """False for reviews, Binding and ComponentStatus: nothing of them is kept."""
        return "watch" in self.verbs

    @cached_property
    def is_storage_version(self) -> bool:
        return self.stored and (self.group, self.version) == (self.storage_group, self.storage_version)

    @cached_property
    def storage(self) -> Kind:
        """The row of the version that is stored; itself for most, and for custom resources."""
        if self.is_storage_version or self.custom:
            return self
        return _BY_PLURAL.get((self.storage_group, self.storage_version, self.plural), self)

    @cached_property
    def verbatim(self) -> bool:
        """Whether clients get the very bytes that are stored."""
        return self.is_storage_version

    @cached_property
    def prefix(self) -> str:
        """Where its objects live in the store: `/registry/<group or "core">/<plural>/`, the same for all its versions."""
        return f"/registry/{self.storage_group or 'core'}/{self.plural}/"

    def subresource(self, name: str) -> Subresource | None:
        for subresource in self.subresources:
            if subresource.name == name:
                return subresource
        return None

    def of_subresource(self, name: str) -> Kind:
        """The kind of a subresource's body: itself for `status`, `Scale` of autoscaling/v1 for `scale`, …"""
        subresource = self.subresource(name)
        if subresource is None:
            raise KeyError(f"{self.resource}/{name}")
        if not subresource.group and subresource.kind == self.kind:
            return self
        return replace(
            self,
            group=subresource.group if subresource.version else self.group,
            version=subresource.version or self.version,
            kind=subresource.kind,
            verbs=subresource.verbs,
            subresources=(),
            list_kind=f"{subresource.kind}List",
        )


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, _GET_UPDATE)


_SCALE = Subresource("scale", "Scale", _GET_UPDATE, "autoscaling", "v1")


def _kind(
    kind: str,
    plural: str,
    short: str = "",
    *,
    categories: str = "",
    cluster: bool = False,
    verbs: tuple[str, ...] = STANDARD_VERBS,
    status: bool = False,
    scale: bool = False,
    more: tuple[Subresource, ...] = (),
    storage: str = "",
) -> Kind:
    subresources = [*more, *([_SCALE] if scale else []), *([_status(kind)] if status else [])]
    subresources.sort(key=lambda s: s.name)
    storage_group, _, storage_version = storage.rpartition("/")
    return Kind(
        group="",
        version="",
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        namespaced=not cluster,
        verbs=verbs,
        subresources=tuple(subresources),
        storage_group=storage_group,
        storage_version=storage_version,
        list_kind=f"{kind}List",
    )


def _review(kind: str, *, cluster: bool = True) -> Kind:
    return _kind(kind, f"{kind.lower()}s", cluster=cluster, verbs=("create",))


_GROUPS: dict[str, list[Kind]] = {
    "v1": [
        _kind("Binding", "bindings", verbs=("create",)),
        _kind("ComponentStatus", "componentstatuses", "cs", cluster=True, verbs=("get", "list")),
        _kind("ConfigMap", "configmaps", "cm"),
        _kind("Endpoints", "endpoints", "ep"),
        _kind("Event", "events", "ev"),
        _kind("LimitRange", "limitranges", "limits"),
        _kind(
            "Namespace",
            "namespaces",
            "ns",
            cluster=True,
            status=True,
            verbs=tuple(v for v in STANDARD_VERBS if v != "deletecollection"),
            more=(Subresource("finalize", "Namespace", ("update",)),),
        ),
        _kind(
            "Node",
            "nodes",
            "no",
            cluster=True,
            status=True,
            more=(Subresource("proxy", "NodeProxyOptions", _PROXY),),
        ),
        _kind("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", status=True),
        _kind("PersistentVolume", "persistentvolumes", "pv", cluster=True, status=True),
        _kind(
            "Pod",
            "pods",
            "po",
            categories="all",
            status=True,
            more=(
                Subresource("attach", "PodAttachOptions", _CONNECT),
                Subresource("binding", "Binding", ("create",)),
                Subresource("ephemeralcontainers", "Pod", _GET_UPDATE),
                Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
                Subresource("exec", "PodExecOptions", _CONNECT),
                Subresource("log", "Pod", ("get",)),
                Subresource("portforward", "PodPortForwardOptions", _CONNECT),
                Subresource("proxy", "PodProxyOptions", _PROXY),
                Subresource("resize", "Pod", _GET_UPDATE),
            ),
        ),
        _kind("PodTemplate", "podtemplates"),
        _kind(
            "ReplicationController", "replicationcontrollers", "rc", categories="all", status=True, scale=True
        ),
        _kind("ResourceQuota", "resourcequotas", "quota", status=True),
        _kind("Secret", "secrets"),
        _kind(
            "ServiceAccount",
            "serviceaccounts",
            "sa",
            more=(Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
        ),
        _kind(
            "Service",
            "services",
            "svc",
            categories="all",
            status=True,
            more=(Subresource("proxy", "ServiceProxyOptions", _PROXY),),
        ),
    ],
    "apiregistration.k8s.io/v1": [
        _kind("APIService", "apiservices", categories="api-extensions", cluster=True, status=True),
    ],
    "apps/v1": [
        _kind("ControllerRevision", "controllerrevisions"),
        _kind("DaemonSet", "daemonsets", "ds", categories="all", status=True),
        _kind("Deployment", "deployments", "deploy", categories="all", status=True, scale=True),
        _kind("ReplicaSet", "replicasets", "rs", categories="all", status=True, scale=True),
        _kind("StatefulSet", "statefulsets", "sts", categories="all", status=True, scale=True),
    ],
    "events.k8s.io/v1": [_kind("Event", "events", "ev", storage="/v1")],
    "authentication.k8s.io/v1": [_review("SelfSubjectReview"), _review("TokenReview")],
    "authorization.k8s.io/v1": [
        _review("LocalSubjectAccessReview", cluster=False),
        _review("SelfSubjectAccessReview"),
        _review("SelfSubjectRulesReview"),
        _review("SubjectAccessReview"),
    ],
    "autoscaling/v2": [
        _kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", categories="all", status=True)
    ],
    "autoscaling/v1": [
        _kind(
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            "hpa",
            categories="all",
            status=True,
            storage="autoscaling/v2",
        )
    ],
    "batch/v1": [
        _kind("CronJob", "cronjobs", "cj", categories="all", status=True),
        _kind("Job", "jobs", categories="all", status=True),
    ],
    "certificates.k8s.io/v1": [
        _kind(
            "CertificateSigningRequest",
            "certificatesigningrequests",
            "csr",
            cluster=True,
            status=True,
            more=(Subresource("approval", "CertificateSigningRequest", _GET_UPDATE),),
        ),
    ],
    "networking.k8s.io/v1": [
        _kind("IngressClass", "ingressclasses", cluster=True),
        _kind("Ingress", "ingresses", "ing", status=True),
        _kind("IPAddress", "ipaddresses", "ip", cluster=True),
        _kind("NetworkPolicy", "networkpolicies", "netpol"),
        _kind("ServiceCIDR", "servicecidrs", cluster=True, status=True),
    ],
    "policy/v1": [_kind("PodDisruptionBudget", "poddisruptionbudgets", "pdb", status=True)],
    "rbac.authorization.k8s.io/v1": [
        _kind("ClusterRoleBinding", "clusterrolebindings", cluster=True),
        _kind("ClusterRole", "clusterroles", cluster=True),
        _kind("RoleBinding", "rolebindings"),
        _kind("Role", "roles"),
    ],
    "storage.k8s.io/v1": [
        _kind("CSIDriver", "csidrivers", cluster=True),
        _kind("CSINode", "csinodes", cluster=True),
        _kind("CSIStorageCapacity", "csistoragecapacities"),
        _kind("StorageClass", "storageclasses", "sc", cluster=True),
        _kind("VolumeAttachment", "volumeattachments", cluster=True, status=True),
        _kind("VolumeAttributesClass", "volumeattributesclasses", "vac", cluster=True),
    ],
    "admissionregistration.k8s.io/v1": [
        _kind(
            "MutatingAdmissionPolicy", "mutatingadmissionpolicies", categories="api-extensions", cluster=True
        ),
        _kind(
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
            categories="api-extensions",
            cluster=True,
        ),
        _kind(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            categories="api-extensions",
            cluster=True,
        ),
        _kind(
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            categories="api-extensions",
            cluster=True,
            status=True,
        ),
        _kind(
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            categories="api-extensions",
            cluster=True,
        ),
        _kind(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            categories="api-extensions",
            cluster=True,
        ),
    ],
    "apiextensions.k8s.io/v1": [
        _kind(
            "CustomResourceDefinition",
            "customresourcedefinitions",
            "crd crds",
            categories="api-extensions",
            cluster=True,
            status=True,
        ),
    ],
    "scheduling.k8s.io/v1": [_kind("PriorityClass", "priorityclasses", "pc", cluster=True)],
    "coordination.k8s.io/v1": [_kind("Lease", "leases")],
    "node.k8s.io/v1": [_kind("RuntimeClass", "runtimeclasses", cluster=True)],
    "discovery.k8s.io/v1": [_kind("EndpointSlice", "endpointslices")],
    "resource.k8s.io/v1": [
        _kind("DeviceClass", "deviceclasses", cluster=True),
        _kind("ResourceClaim", "resourceclaims", status=True),
        _kind("ResourceClaimTemplate", "resourceclaimtemplates"),
        _kind("ResourceSlice", "resourceslices", cluster=True),
    ],
    "flowcontrol.apiserver.k8s.io/v1": [
        _kind("FlowSchema", "flowschemas", cluster=True, status=True),
        _kind("PriorityLevelConfiguration", "prioritylevelconfigurations", cluster=True, status=True),
    ],
}


def _table() -> Iterable[Kind]:
    for api_version, rows in _GROUPS.items():
        group, _, version = api_version.rpartition("/")
        for row in rows:
            stored_as = (row.storage_group, row.storage_version) if row.storage_version else (group, version)
            yield replace(
                row, group=group, version=version, storage_group=stored_as[0], storage_version=stored_as[1]
            )


KINDS: tuple[Kind, ...] = tuple(_table())

_BY_PLURAL = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_BY_KIND = {(kind.group, kind.version, kind.kind): kind for kind in KINDS}
_BY_RESOURCE: dict[str, Kind] = {}
for _each in KINDS:  # the first row of a resource is its preferred version
    _BY_RESOURCE.setdefault(_each.resource, _each)


def find(group: str, version: str, plural: str) -> Kind | None:
    return _BY_PLURAL.get((group, version, plural))


def find_gvk(group: str, version: str, kind: str) -> Kind | None:
    return _BY_KIND.get((group, version, kind))


def kind_of_resource(resource: str) -> Kind:
    """`kind_of_resource("deployments.apps")`, in the group's preferred version. KeyError for what is not built in."""
    return _BY_RESOURCE[resource]
