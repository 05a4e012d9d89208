"""NodeRestriction: a kubelet writes only its own Node, its own lease, and the pods that are bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import ApiError, forbidden, not_found
from ...api.object import Object, annotations_of, labels_of
from ..authorization import Attributes
from ..node_authorizer import LEASE_NAMESPACE, MIRROR, NODE_PREFIX, node_of, references_of
from . import Environment, Plugin
from .certificates import subject_of

if TYPE_CHECKING:
    from ..registry.operation import Operation

# labels of kubernetes.io and k8s.io that a kubelet may set on its node (k8s.io/kubelet/pkg/apis)
KUBELET_LABELS = frozenset(
    """kubernetes.io/hostname kubernetes.io/arch kubernetes.io/os beta.kubernetes.io/arch beta.kubernetes.io/os
    node.kubernetes.io/instance-type beta.kubernetes.io/instance-type topology.kubernetes.io/zone
    topology.kubernetes.io/region failure-domain.beta.kubernetes.io/zone
    failure-domain.beta.kubernetes.io/region""".split()
)
KUBELET_LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
RESTRICTED = "node-restriction.kubernetes.io"
KUBELET_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    resources = frozenset(
        """pods nodes persistentvolumeclaims serviceaccounts leases.coordination.k8s.io csinodes.storage.k8s.io
        resourceslices.resource.k8s.io certificatesigningrequests.certificates.k8s.io""".split()
    )

    def admit(self, op: Operation, env: Environment) -> None:
        node = node_of(op.user)
        if node is None or op.verb == "CONNECT":
            return
        if op.resource in ("leases.coordination.k8s.io", "csinodes.storage.k8s.io"):
            why = self._named_like_it(op, node)
        else:
            why = getattr(self, f"_{op.kind.plural}")(op, env, node)
        if why:
            raise self._refused(op, why)

    @staticmethod
    def _refused(op: Operation, why: str) -> ApiError:
        return forbidden(op.kind.plural, op.kind.group, op.name or "Unknown", why)

    # each says why not, or ""

    def _pods(self, op: Operation, env: Environment, node: str) -> str:
        if op.subresource == "status":
            if op.verb != "UPDATE":
                return f'unexpected operation "{op.verb}"'
            assert op.old is not None and op.object is not None
            if op.old["spec"].get("nodeName") != node:
                return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
            if labels_of(op.old) != labels_of(op.object):
                return f'node "{node}" cannot update labels through pod status'
            claims = [(o.get("status") or {}).get("resourceClaimStatuses") or [] for o in (op.old, op.object)]
            if claims[0] != claims[1]:
                return f'node "{node}" cannot update resource claim statues'
            extended = [
                (o.get("status") or {}).get("extendedResourceClaimStatus") for o in (op.old, op.object)
            ]
            if extended[0] != extended[1]:
                return f'node "{node}" cannot update extended resource claim status'
            return ""
        if op.subresource not in ("", "eviction"):
            return (
                f"unexpected pod subresource \"{op.subresource}\", only 'status' and 'eviction' are allowed"
            )
        if op.subresource == "" and op.verb == "CREATE":
            assert op.object is not None
            return self._mirror_pod(op.object, env, node)
        if op.subresource == "" and op.verb != "DELETE":
            return f'unexpected operation "{op.verb}", node "{node}" can only create and delete mirror pods'
        pod = env.lister.get("pods", op.namespace, op.name)
        if pod is None:
            raise not_found("pods", "", op.name)
        if pod["spec"].get("nodeName") != node:
            if op.subresource:
                return f"node {node} can only evict pods with spec.nodeName set to itself"
            return f'node "{node}" can only delete pods with spec.nodeName set to itself'
        return ""

    @staticmethod
    def _mirror_pod(pod: Object, env: Environment, node: str) -> str:
        if MIRROR not in annotations_of(pod):
            return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        if pod["spec"].get("nodeName") != node:
            return f'node "{node}" can only create pods with spec.nodeName set to itself'
        owners = pod["metadata"].get("ownerReferences") or []
        only = f'node "{node}" can only create pods with'
        if len(owners) > 1:
            return f"{only} a single owner reference set to itself"
        if not owners or (owners[0].get("apiVersion"), owners[0].get("kind"), owners[0].get("name")) != (
            "v1",
            "Node",
            node,
        ):
            return f"{only} an owner reference set to itself"
        owner = owners[0]
        if not owner.get("controller"):
            return f"{only} a controller owner reference set to itself"
        if owner.get("blockOwnerDeletion"):
            return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
        known = env.lister.get("nodes", "", node)
        if known is None:
            raise not_found("nodes", "", node)
        if owner.get("uid") != known["metadata"]["uid"]:
            return f"node {node} UID mismatch: expected {owner.get('uid')} got {known['metadata']['uid']}"
        reference = _api_reference(pod)
        return f'node "{node}" can not create pods that reference {reference}' if reference else ""

    def _nodes(self, op: Operation, env: Environment, node: str) -> str:
        name = op.name or (op.object or {"metadata": {}})["metadata"].get("name", "")
        if name != node:
            return f'node "{node}" is not allowed to modify node "{name}"'
        if op.verb not in ("CREATE", "UPDATE"):
            return ""
        assert op.object is not None
        old = op.old or {"metadata": {}, "spec": {}}
        spec, old_spec = op.object.get("spec") or {}, old.get("spec") or {}
        source = spec.get("configSource")
        before, after = labels_of(old), labels_of(op.object)
        changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        labels = ", ".join(sorted(key for key in changed if _is_forbidden(key)))
        if op.verb == "CREATE":
            if source is not None:
                return f'node "{node}" is not allowed to create pods with a non-nil configSource'
            return f'node "{node}" is not allowed to set the following labels: {labels}' if labels else ""
        if source is not None and source != old_spec.get("configSource"):
            return f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
        if (spec.get("taints") or []) != (old_spec.get("taints") or []):
            return f'node "{node}" is not allowed to modify taints'
        owners = [o["metadata"].get("ownerReferences") or [] for o in (old, op.object)]
        if owners[0] != owners[1]:
            return f'node "{node}" is not allowed to modify ownerReferences'
        return f"is not allowed to modify labels: {labels}" if labels else ""

    def _persistentvolumeclaims(self, op: Operation, env: Environment, node: str) -> str:
        if op.subresource != "status":
            return "may only update PVC status"
        assert op.old is not None and op.object is not None
        if _without_resize(op.old) != _without_resize(op.object):
            return f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        return ""

    def _serviceaccounts(self, op: Operation, env: Environment, node: str) -> str:
        if op.verb != "CREATE" or op.subresource != "token":
            return ""
        assert op.object is not None
        spec = op.object.get("spec") or {}
        reference = spec.get("boundObjectRef") or {}
        if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
            return "node requested token not bound to a pod"
        if not reference.get("uid"):
            return "node requested token with a pod binding without a uid"
        pod = env.lister.get("pods", op.namespace, reference["name"])
        if pod is None:
            raise not_found("pods", "", reference["name"])
        if reference["uid"] != pod["metadata"]["uid"]:
            return (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if pod["spec"].get("nodeName") != node:
            return "node requested token bound to a pod scheduled on a different node"
        return self._audience(op, env, spec.get("audiences") or [], pod)

    @staticmethod
    def _audience(op: Operation, env: Environment, audiences: list[str], pod: Object) -> str:
        """A node gets tokens for the audiences that its pods' volumes name (KEP-4935)."""
        if len(audiences) > 1:
            return "node may only request 0 or 1 audiences"
        audience = audiences[0] if audiences else ""
        named: set[str] = set()
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    named.add(source["serviceAccountToken"].get("audience") or "")
            if driver_name := _driver_of(volume, pod, env):
                driver = env.lister.get("csidrivers.storage.k8s.io", "", driver_name)
                requests = ((driver or {}).get("spec") or {}).get("tokenRequests") or ()
                named |= {request.get("audience") or "" for request in requests}
        if audience in named or ("" in named and audience in env.config.audiences):
            return ""
        verb = "request-serviceaccounts-token-audience"
        asked = Attributes(op.user, verb, "", "v1", audience, "", op.namespace, op.name)
        if env.authorizer.allows(asked)[0]:
            return ""
        return (
            f'audience "{audience}" not found in pod spec volume, {op.user.name} is not authorized to request tokens '
            "for this audience"
        )

    def _resourceslices(self, op: Operation, env: Environment, node: str) -> str:
        """What is not known yet when the Node authorizer is asked."""
        obj = {"CREATE": op.object, "DELETE": op.old}.get(op.verb)
        if obj is None or (obj.get("spec") or {}).get("nodeName") == node:
            return ""
        return f"can only {op.verb.lower()} ResourceSlice with the same NodeName as the requesting node"

    def _certificatesigningrequests(self, op: Operation, env: Environment, node: str) -> str:
        spec = (op.object or {}).get("spec") or {}
        if op.verb != "CREATE" or spec.get("signerName") not in KUBELET_SIGNERS:
            return ""
        try:
            names = subject_of(spec.get("request") or "", "COMMON_NAME")
        except ValueError:
            return "unable to parse csr: PEM block type must be CERTIFICATE REQUEST"
        if names == [f"{NODE_PREFIX}{node}"]:
            return ""
        return f"can only create a node CSR with CN={NODE_PREFIX}{node}"

    @staticmethod
    def _named_like_it(op: Operation, node: str) -> str:
        lease = op.kind.plural == "leases"
        if lease and op.namespace != LEASE_NAMESPACE:
            return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        name = op.name or (op.object or {"metadata": {}})["metadata"].get("name", "")
        what = "node lease" if lease else "CSINode"
        return "" if name == node else f"can only access {what} with the same name as the requesting node"


def _api_reference(pod: Object) -> str:
    """The first object of the API that a pod refers to (`podutil.HasAPIObjectReference`)."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    unmarked = {**pod, "metadata": {**pod["metadata"], "annotations": {}}}
    referred = {resource for resource, _, _ in references_of(unmarked)}
    for resource in ("secrets", "configmaps"):
        if resource in referred:
            return resource
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            for field, resource in _VOLUME_REFERENCES.items():
                if field in source:
                    return resource
    return ""


_VOLUME_REFERENCES = {
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def _driver_of(volume: Object, pod: Object, env: Environment) -> str:
    """The CSI driver of a volume, be it behind a claim."""
    if "csi" in volume:
        return str(volume["csi"].get("driver") or "")
    name = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
    if "ephemeral" in volume:
        name = f"{pod['metadata']['name']}-{volume['name']}"
    claim = env.lister.get("persistentvolumeclaims", pod["metadata"]["namespace"], name) if name else None
    found = env.lister.get("persistentvolumes", "", claim["spec"].get("volumeName") or "") if claim else None
    return str((((found or {}).get("spec") or {}).get("csi") or {}).get("driver") or "")


def _is_forbidden(label: str) -> bool:
    namespace = label.partition("/")[0] if "/" in label else ""

    def within(*domains: str) -> bool:
        return any(namespace == domain or namespace.endswith(f".{domain}") for domain in domains)

    if within(RESTRICTED):
        return True
    return (
        within("kubernetes.io", "k8s.io")
        and label not in KUBELET_LABELS
        and not within(*KUBELET_LABEL_NAMESPACES)
    )


def _without_resize(claim: Object) -> Object:
    """What a kubelet may not change of a claim."""
    own = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
    meta = {k: v for k, v in claim["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in own}
    return {**claim, "metadata": meta, "status": status}
