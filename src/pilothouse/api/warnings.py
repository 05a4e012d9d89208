"""What a write is warned of though it is granted: fields on their way out, values that will not do what they seem to (the strategies'
`WarningsOnCreate` and `WarningsOnUpdate`). One function a kind, from the new object and the old one.

`DEPRECATED` are the kinds that warn on every request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from . import names, pod_warnings
from .object import Object
from .pod_warnings import odd_address
from .quantity import Quantity
from .validation import addresses

DEPRECATED = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}

Warnings = Callable[[Object, Object | None], Iterable[str]]


def warnings_of(resource: str, new: Object, old: Object | None) -> Iterable[str]:
    function = WARNINGS.get(resource)
    return () if function is None else function(new, old)


def _range(value: str, path: str) -> Iterator[str]:
    network = addresses.parse_range(value)
    if network is None or str(network) == value:
        return
    base = addresses.parse(value.partition("/")[0])
    problem = addresses.range_problem(value)
    if base != network.network_address:
        single = f"{base}/{network.max_prefixlen}"
        yield f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{single}"?)'
    if problem and "beyond" not in problem:
        yield f'{path}: non-standard CIDR value "{value}" is invalid: use "{network}"'
    elif not problem:
        yield f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")'


_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def _service(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    external, elsewhere = spec.get("externalIPs") or [], spec.get("type") == "ExternalName"
    headless = spec.get("type") == "ClusterIP" and spec.get("clusterIP") == "None"
    if _HINTS in (new["metadata"].get("annotations") or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    if spec.get("clusterIP") not in (None, "", "None"):
        for index, ip in enumerate(spec.get("clusterIPs") or ()):
            yield from odd_address(ip, f"spec.clusterIPs[{index}]")
    if headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, ip in enumerate(external):
        yield from odd_address(ip, f"spec.externalIPs[{index}]")
    if external and not headless and not elsewhere:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from odd_address(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for index, each in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from _range(each, f"spec.loadBalancerSourceRanges[{index}]")
    if elsewhere and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not elsewhere and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _endpoints(new: Object, old: Object | None) -> Iterator[str]:
    labels = new["metadata"].get("labels") or {}
    if labels.get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
        return
    for index, subset in enumerate(new.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                at = f"subsets[{index}].{field}[{number}].ip"
                yield from odd_address(address.get("ip") or "", at)


def _node(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, cidr in enumerate(spec.get("podCIDRs") or ()):
        yield from _range(cidr, f"spec.podCIDRs[{index}]")


def _quota(new: Object, old: Object | None) -> Iterator[str]:
    """Requests that may be more than the limits."""
    hard = (new.get("spec") or {}).get("hard") or {}
    for resource in ("cpu", "memory", "storage", "ephemeral-storage") if old is None else ():
        asked, bound = f"requests.{resource}", f"limits.{resource}"
        if asked not in hard and resource in ("cpu", "memory"):
            asked = resource
        if (
            asked in hard
            and bound in hard
            and Quantity.of(hard[asked]).number > Quantity.of(hard[bound]).number
        ):
            yield f"ResourceQuota {asked} ({hard[asked]}) should be less than {bound} ({hard[bound]})"


_SLICE_MAKERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _slice(new: Object, old: Object | None) -> Iterator[str]:
    if new.get("addressType") == "FQDN" and old is None:
        yield "spec.addressType: FQDN endpoints are deprecated"
    if (new["metadata"].get("labels") or {}).get("endpointslice.kubernetes.io/managed-by") in _SLICE_MAKERS:
        return
    for index, endpoint in enumerate(new.get("endpoints") or ()):
        for number, ip in enumerate(endpoint.get("addresses") or ()):
            yield from odd_address(ip, f"endpoints[{index}].addresses[{number}]")


_INGRESS_CLASS = "kubernetes.io/ingress.class"


def _balancer_status(new: Object, old: Object | None) -> Iterator[str]:
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    for index, ingress in enumerate(balancer.get("ingress") or ()):
        if ingress.get("ip"):
            yield from odd_address(ingress["ip"], f"status.loadBalancer.ingress[{index}]")


def _ingress(new: Object, old: Object | None) -> Iterator[str]:
    if old is not None or (new.get("spec") or {}).get("ingressClassName") is not None:
        return
    if _INGRESS_CLASS in (new["metadata"].get("annotations") or {}):
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _network_policy(new: Object, old: Object | None) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate((new.get("spec") or {}).get(direction) or ()):
            for number, peer in enumerate(rule.get(peers) or ()):
                block, path = (
                    peer.get("ipBlock") or {},
                    f"spec.{direction}[{index}].{peers}[{number}].ipBlock",
                )
                yield from _range(block.get("cidr") or "", f"{path}.cidr")
                for which, excepted in enumerate(block.get("except") or ()):
                    yield from _range(excepted, f"{path}.except[{which}]")


def _secret(new: Object, old: Object | None) -> Iterator[str]:
    """A certificate and its key that are no pair."""
    if new.get("type") == "kubernetes.io/tls":
        data = new.get("data") or {}
        problem = _pair_problem(data.get("tls.crt") or "", data.get("tls.key") or "")
        if problem:
            yield problem


_PEM = re.compile(rb"-----BEGIN ([^-\n]+)-----\s[A-Za-z0-9+/=\s]*-----END \1-----")
_SKIPPED = "PEM block{} in {} input after skipping PEM blocks of the following types: [{}]"


def _pair_problem(certificate: str, key: str) -> str:
    """What Go's tls.X509KeyPair says."""
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain, secret = (base64.b64decode(text) for text in (certificate, key))
    types, key_types = ([found.decode() for found in _PEM.findall(pem)] for pem in (chain, secret))
    if not types:
        return "tls: failed to find any PEM data in certificate input"
    if "CERTIFICATE" not in types:
        if len(types) == 1 and types[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been "
                "switched"
            )
        return 'tls: failed to find "CERTIFICATE" ' + _SKIPPED.format("", "certificate", " ".join(types))
    if not key_types:
        return "tls: failed to find any PEM data in key input"
    if not any(type_.endswith("PRIVATE KEY") for type_ in key_types):
        if key_types == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        ending = ' with type ending in "PRIVATE KEY"'
        return "tls: failed to find " + _SKIPPED.format(ending, "key", " ".join(key_types))
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    mine, theirs = private.public_key(), found.public_key()
    if type(mine) is not type(theirs):
        return "tls: private key type does not match public key type"
    return "" if mine == theirs else "tls: private key does not match public key"


_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def _account(new: Object, old: Object | None) -> Iterator[str]:
    before = ((old or {}).get("metadata") or {}).get("annotations") or {}
    if _MOUNTABLE in (new["metadata"].get("annotations") or {}) and _MOUNTABLE not in before:
        yield (
            f"metadata.annotations[{_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to "
            "mounted secrets"
        )


# -- what makes pods ---------------------------------------------------------------------------------------------------


def _respecified(new: Object, old: Object) -> bool:
    return bool(new["metadata"].get("generation") != old["metadata"].get("generation"))


_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _new_template(new: Object, old: Object) -> bool:
    now, was = ((obj["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION) for obj in (new, old))
    return bool(now != was)


def _workload(
    *path: str,
    named: bool = True,
    again: Callable[[Object, Object], bool] = _respecified,
    late: bool = False,
) -> Warnings:
    """`path`: where its pod template is. `named`: its name becomes a part of its pods' hostnames. `again`: whether an update is warned of.
    `late`: of the old template, as a ReplicationController's is."""

    def warnings(new: Object, old: Object | None) -> Iterator[str]:
        wrong = names.dns1123_label(new["metadata"].get("name") or "") if named and old is None else []
        if wrong:
            yield (
                "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
                f"recommended: [{' '.join(wrong)}]"
            )
        if old is None or again(new, old):
            template = old if late and old is not None else new
            for step in path:
                template = template.get(step) or {}
            yield from pod_warnings.of_template(template, ".".join(path))

    return warnings


_set_template = _workload("spec", "template", named=False)


def _stateful_set(new: Object, old: Object | None) -> Iterator[str]:
    yield from _set_template(new, old)
    spec, part = new.get("spec") or {}, "" if old is None else ".Spec"
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{index}]{part}"
        yield from pod_warnings.of_claim_spec(claim.get("spec") or {}, path)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def _job(*path: str) -> Warnings:
    of_template = _workload(*path, "template")

    def warnings(new: Object, old: Object | None) -> Iterator[str]:
        spec = new
        for step in path:
            spec = spec.get(step) or {}
        if spec.get("completionMode") == "Indexed" and (old is None or _respecified(new, old)):
            many = (spec.get("completions") or 0) > 100_000 and (spec.get("parallelism") or 0) > 10_000
            if many:
                yield (
                    f"{'.'.join(path)}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
                    "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
                )
        yield from of_template(new, old)

    return warnings


_cron_template = _job("spec", "jobTemplate", "spec")


def _cron_job(new: Object, old: Object | None) -> Iterator[str]:
    yield from _cron_template(new, old)
    if old is not None and "TZ" in ((new.get("spec") or {}).get("schedule") or ""):
        yield (
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )


# -- storage -----------------------------------------------------------------------------------------------------------

_STORAGE_ANNOTATIONS = {
    "volume.beta.kubernetes.io/storage-class": ("v1.8", "storageClassName"),
    "volume.beta.kubernetes.io/mount-options": ("v1.31", "mountOptions"),
}


def _noted(obj: Object, *keys: str) -> Iterator[str]:
    for key in keys:
        if key in (obj["metadata"].get("annotations") or {}):
            version, field = _STORAGE_ANNOTATIONS[key]
            yield f'metadata.annotations[{key}]: deprecated since {version}; use "{field}" attribute instead'


def _volume(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    yield from _noted(new, *_STORAGE_ANNOTATIONS)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to "
            "use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    yield from pod_warnings.node_selector(required, "spec.nodeAffinity.required")
    for source, (name, said) in pod_warnings.VOLUMES.items():
        if source in spec and source not in ("flocker", "quobyte"):
            yield f"spec.{name}: {said}"


def _claim(new: Object, old: Object | None) -> Iterator[str]:
    yield from _noted(new, "volume.beta.kubernetes.io/storage-class")
    yield from pod_warnings.of_claim_spec(new.get("spec") or {}, "spec")


def _storage_class(new: Object, old: Object | None) -> Iterator[str]:
    for index, term in enumerate(new.get("allowedTopologies") or ()):
        for number, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at = f"allowedTopologies[{index}].matchLabelExpressions[{number}].key"
            if said := pod_warnings.deprecated_label(expression.get("key") or ""):
                yield f"{at}: {said}"


def _capacity(new: Object, old: Object | None) -> Iterator[str]:
    topology = new.get("nodeTopology") or {}
    for index, expression in enumerate(topology.get("matchExpressions") or ()):
        yield from pod_warnings.label_key(
            expression.get("key") or "", f"nodeTopology.matchExpressions[{index}].key"
        )
    for key in topology.get("matchLabels") or ():
        if said := pod_warnings.deprecated_label(key):
            yield f"nodeTopology.matchLabels.{key}: {said}"


def _driver(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    if old is not None and (old.get("spec") or {}).get("tokenRequests") == spec.get("tokenRequests"):
        return
    if spec.get("tokenRequests") and spec.get("serviceAccountTokenInSecrets") is None:
        yield (
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of "
            "tokens in volume attributes"
        )


def _device_slice(new: Object, old: Object | None) -> Iterator[str]:
    driver = (new.get("spec") or {}).get("driver") or ""
    if driver != driver.lower():
        yield f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters'


def _runtime_class(new: Object, old: Object | None) -> Iterator[str]:
    for key in sorted((new.get("scheduling") or {}).get("nodeSelector") or ()):
        if said := pod_warnings.deprecated_label(key):
            yield f"scheduling.nodeSelector: {said}"


_STATIC = ".static.k8s.io"


def _static_name(new: Object, old: Object | None) -> Iterator[str]:
    if (new["metadata"].get("name") or "").endswith(_STATIC):
        yield (
            f'metadata.name: names ending with "{_STATIC}" are reserved for static manifest-based configurations and cannot be '
            "managed via the API"
        )


WARNINGS: dict[str, Warnings] = {
    **{
        f"{plural}.admissionregistration.k8s.io": _static_name
        for plural in (
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        )
    },
    "pods": pod_warnings.of_pod,
    "pods/status": pod_warnings.of_status,
    "podtemplates": _workload("template", named=False),
    "deployments.apps": _workload("spec", "template"),
    "replicasets.apps": _workload("spec", "template"),
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _workload("spec", "template", named=False, again=_new_template),
    "replicationcontrollers": _workload("spec", "template", late=True),
    "jobs.batch": _job("spec"),
    "cronjobs.batch": _cron_job,
    "persistentvolumes": _volume,
    "persistentvolumeclaims": _claim,
    "storageclasses.storage.k8s.io": _storage_class,
    "csidrivers.storage.k8s.io": _driver,
    "csistoragecapacities.storage.k8s.io": _capacity,
    "services": _service,
    "services/status": _balancer_status,
    "endpoints": _endpoints,
    "nodes": _node,
    "resourcequotas": _quota,
    "endpointslices.discovery.k8s.io": _slice,
    "ingresses.networking.k8s.io": _ingress,
    "ingresses.networking.k8s.io/status": _balancer_status,
    "networkpolicies.networking.k8s.io": _network_policy,
    "secrets": _secret,
    "serviceaccounts": _account,
    "runtimeclasses.node.k8s.io": _runtime_class,
    "resourceslices.resource.k8s.io": _device_slice,
}
"""By resource (`deployments.apps`), and what a write to a subresource is warned of."""
