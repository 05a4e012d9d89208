"""Pods and pod templates: the whole spec, what an update may change, and the subresources status, ephemeralcontainers and resize."""

from typing import Any

from .. import names, qos
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import addresses, go_diff, metadata, resources, scheduling, security_contexts
from .containers import Surroundings, containers, file_key_volumes, image_without_blanks
from .metadata import immutable, qualified_name, same
from .pod_volumes import volumes
from .validator import Validator, against_old

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
INT32_MAX = 2**31 - 1
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_USER_HOST = "when `hostUsers` is false"
_OWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")


def create(errors: FieldErrors, pod: Object) -> None:
    _whole(errors, pod)
    spec, noted = pod.get("spec") or {}, pod["metadata"].get("annotations")
    if spec.get("ephemeralContainers"):
        errors.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    if noted:
        security_contexts.annotations_match(errors, noted, spec, "spec")


def _whole(errors: FieldErrors, pod: Object, old: Object | None = None) -> None:
    """Metadata and spec, on create and on update. A spec that is as it was is as good as it was."""
    meta, own = pod["metadata"], pod.get("spec") or {}
    metadata.created(errors, meta)
    if meta.get("annotations"):
        annotations(errors, meta["annotations"], own, "metadata.annotations")
    if old is not None and own == old.get("spec"):
        return
    if own.get("resourceClaims") and MIRROR in (meta.get("annotations") or ()):
        errors.forbidden("", "static pods do not support resource claims")
        own = {**own, "resourceClaims": []}
    spec(errors, own, "spec", meta.get("name") or "", is_pod=True)
    if not own.get("serviceAccountName"):
        for index, volume in enumerate(own.get("volumes") or ()):
            for number, part in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if part.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                    errors.forbidden(at, "must not be specified when serviceAccountName is not set")
    for field in ("containers", "initContainers"):
        for index, container in enumerate(own.get(field) or ()):
            image_without_blanks(errors, container, f"spec.{field}[{index}]")


def annotations(errors: FieldErrors, noted: dict[str, str], own: Object, path: str) -> None:
    if MIRROR in noted and not own.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        errors.invalid(f"{path}[{MIRROR}]", noted[MIRROR], why)
    cost = noted.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    security_contexts.annotations(errors, noted, own, path)


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    if not digits.isdecimal() or (text[0] == "0" and text != "0"):
        return False
    return -INT32_MAX - 1 <= int(text) <= INT32_MAX


def template(errors: FieldErrors, value: Object, path: str) -> None:
    """A PodTemplateSpec."""
    meta, own = value.get("metadata") or {}, value.get("spec") or {}
    template_metadata(errors, value, path)
    spec(errors, own, f"{path}.spec")
    if meta.get("annotations"):
        security_contexts.annotations_match(errors, meta["annotations"], own, f"{path}.spec")
    if own.get("ephemeralContainers"):
        errors.forbidden(
            f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
        )


def template_metadata(errors: FieldErrors, value: Object, path: str) -> None:
    meta = value.get("metadata") or {}
    metadata.labels(errors, meta.get("labels"), f"{path}.labels")
    if meta.get("annotations"):
        metadata.annotations(errors, meta["annotations"], f"{path}.annotations")
        annotations(errors, meta["annotations"], value.get("spec") or {}, f"{path}.annotations")


def spec(errors: FieldErrors, own: Object, path: str, pod_name: str = "", *, is_pod: bool = False) -> None:
    """In Kubernetes' order. What most pods leave out costs one look."""
    get = own.get
    grace, host_users = get("terminationGracePeriodSeconds"), get("hostUsers") is not False
    if grace is None:
        errors.required(f"{path}.terminationGracePeriodSeconds")
    right = volumes(errors, get("volumes") or [], f"{path}.volumes", pod_name, is_pod=is_pod)
    claims = [c["name"] for c in get("resourceClaims") or () if c.get("name")]
    if get("resourceClaims"):
        _resource_claims(errors, own["resourceClaims"], f"{path}.resourceClaims")
    pod = Surroundings(right, claims, grace, get("restartPolicy") or "", host_users)
    containers(errors, own, path, pod)
    if get("resources"):
        _pod_resources(errors, own, f"{path}.resources")
    if get("hostNetwork"):
        _host_network_ports(errors, own, f"{path}.containers", is_pod)
    errors.choice(f"{path}.restartPolicy", get("restartPolicy"), _RESTART_POLICIES)
    errors.choice(f"{path}.dnsPolicy", get("dnsPolicy"), _DNS_POLICIES)
    if get("nodeSelector"):
        metadata.labels(errors, own["nodeSelector"], f"{path}.nodeSelector")
    if get("securityContext") or get("hostPID"):
        context = get("securityContext") or {}
        security_contexts.of_pod(errors, context, own, f"{path}.securityContext")
    if get("affinity"):
        scheduling.affinity(errors, own["affinity"], f"{path}.affinity")
    if get("dnsConfig") is not None or get("dnsPolicy") == "None":
        _dns_config(errors, get("dnsConfig"), get("dnsPolicy") or "", f"{path}.dnsConfig")
    for index, gate in enumerate(get("readinessGates") or ()):
        name = gate.get("conditionType") or ""
        errors.messages(f"{path}.readinessGates[{index}].conditionType", name, qualified_name(name))
    if get("schedulingGates"):
        scheduling.gates(errors, own["schedulingGates"], f"{path}.schedulingGates")
    if get("topologySpreadConstraints"):
        at = f"{path}.topologySpreadConstraints"
        scheduling.topology_spread(errors, own["topologySpreadConstraints"], at)
    security_contexts.host_process(errors, own, path)
    if not host_users:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if get(field):
                errors.forbidden(f"{path}.{shown}", _USER_HOST)
        for container, at in security_contexts.all_containers(own, path):
            if container.get("volumeDevices"):
                errors.forbidden(f"{at}.volumeDevices", _USER_HOST)
    if get("hostnameOverride") is not None:
        _hostname_override(errors, own, f"{path}.hostnameOverride")
    for field in ("serviceAccountName", "nodeName"):
        if get(field):
            errors.messages(f"{path}.{field}", own[field], names.dns1123_subdomain(own[field]))
    deadline = get("activeDeadlineSeconds")
    if deadline is not None:
        errors.messages(f"{path}.activeDeadlineSeconds", deadline, names.in_range(deadline, 1, INT32_MAX))
    for field in ("hostname", "subdomain"):
        if get(field):
            errors.messages(f"{path}.{field}", own[field], names.dns1123_label(own[field]))
    if get("tolerations"):
        scheduling.tolerations(errors, own["tolerations"], f"{path}.tolerations")
    for index, alias in enumerate(get("hostAliases") or ()):
        _host_alias(errors, alias, f"{path}.hostAliases[{index}]")
    for field in ("priorityClassName", "runtimeClassName"):
        if get(field) or (field == "runtimeClassName" and get(field) is not None):
            errors.messages(f"{path}.{field}", own[field], names.dns1123_subdomain(own[field]))
    if get("preemptionPolicy") is not None:
        allowed = ("PreemptLowerPriority", "Never")
        errors.choice(f"{path}.preemptionPolicy", own["preemptionPolicy"], allowed)
    if get("overhead"):
        resources.requirements(errors, {"limits": own["overhead"]}, f"{path}.overhead")
    if get("os") is not None:
        security_contexts.operating_system(errors, own, path)
    file_key_volumes(errors, own, path)


def _resource_claims(errors: FieldErrors, claims: list[Object], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            errors.required(f"{at}.name")
        elif name in seen:
            errors.duplicate(f"{at}.name", name)
        else:
            errors.messages(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        fields = ("resourceClaimName", "resourceClaimTemplateName")
        given = [field for field in fields if claim.get(field) is not None]
        shown = {"Name": name, "ResourceClaimName": claim.get(fields[0]), "ResourceClaimTemplateName": claim.get(fields[1])}  # fmt: skip
        if len(given) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.invalid(at, shown, why)
        if not given:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.invalid(at, shown, why)
        for field in given:
            errors.messages(f"{at}.{field}", claim[field], names.dns1123_subdomain(claim[field]))


def _pod_resources(errors: FieldErrors, own: Object, path: str) -> None:
    """The pod as a whole: no less than its containers ask for together, no less than any one's limit (KEP-2837)."""
    whole = own["resources"]
    if (own.get("os") or {}).get("name") == "windows":
        errors.forbidden(path, "may not be set for a windows pod")
        return
    if whole.get("claims") is not None:
        errors.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    resources.requirements(errors, whole, path, (), resources.pod_name)
    requests, limits = whole.get("requests") or {}, whole.get("limits") or {}
    for name, total in qos.containers_requests(own).items():
        asked = requests.get(name)
        if asked is None:
            continue
        if Quantity.of(total).number > Quantity.of(asked).number:
            why = f"must be greater than or equal to aggregate container requests of {total}"
            errors.invalid(f"{path}.requests[{name}]", str(asked), why)
    for name, total in qos.containers_limits(own).items():
        bound = limits.get(name) if resources.is_huge_page(name) else None
        if bound is not None and Quantity.of(total).number > Quantity.of(bound).number:
            why = f"must be greater than or equal to aggregate container limits of {total}"
            errors.invalid(f"{path}.limits[{name}]", str(bound), why)
    for index, container in enumerate(own.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            bound = limits.get(name)
            if bound is None or Quantity.of(limit).number <= Quantity.of(bound).number:
                continue
            why = f"must be less than or equal to pod limits of {bound}"
            errors.invalid(f"{path}.containers[{index}][{name}].limits", str(limit), why)


def _host_network_ports(errors: FieldErrors, own: Object, path: str, is_pod: bool) -> None:
    for index, container in enumerate(own.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host, inside = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != inside:
                why = "must match `containerPort` when `hostNetwork` is true"
                errors.invalid(f"{path}[{index}].ports[{number}].hostPort", host, why)


def _dns_config(errors: FieldErrors, config: Object | None, policy: str, path: str) -> None:
    if policy == "None":
        if config is None:
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.required(f"{path}.nameservers", why)
            return
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        addresses.ip(errors, server, f"{path}.nameservers[{index}]")
    if len(searches) > 32:
        errors.invalid(f"{path}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        why = "must not have more than 2048 characters (including spaces) in the search list"
        errors.invalid(f"{path}.searches", searches, why)
    for index, search in enumerate(searches):
        if search != ".":
            search = search.removesuffix(".")
            at = f"{path}.searches[{index}]"
            errors.messages(at, search, names.dns1123_subdomain_with_underscore(search))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.required(f"{path}.options[{index}]", "must not be empty")


def _hostname_override(errors: FieldErrors, own: Object, path: str) -> None:
    name = own["hostnameOverride"]
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if own.get(field):
            errors.forbidden(path, f"may not be specified when {field} is true")
    if len(name) > 64:
        errors.too_long(path, 64)
    errors.messages(path, name, names.dns1123_subdomain(name))


def _host_alias(errors: FieldErrors, alias: Object, path: str) -> None:
    addresses.ip(errors, alias.get("ip") or "", f"{path}.ip")
    for index, name in enumerate(alias.get("hostnames") or ()):
        errors.messages(f"{path}.hostnames[{index}]", name, names.dns1123_subdomain(name))


# -- updates -----------------------------------------------------------------------------------------------------------


def update(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    against_old(errors, new, old)
    if subresource == "status":
        _annotation_changes(errors, new, old)
        _status(errors, new, old)
    elif subresource == "ephemeralcontainers":
        _whole(errors, new, old)
        _annotation_changes(errors, new, old)
        _ephemeral(errors, new, old)
    elif subresource == "resize":
        _whole(errors, new, old)
        _resize(errors, new, old)
    else:
        _whole(errors, new, old)
        _annotation_changes(errors, new, old)
        _spec_change(errors, new.get("spec") or {}, old.get("spec") or {})


def _annotation_changes(errors: FieldErrors, new: Object, old: Object) -> None:
    now, before = new["metadata"].get("annotations") or {}, old["metadata"].get("annotations") or {}
    for keys, verb in ((before, "remove or update"), (now, "add")):
        for key in keys:
            if now.get(key) == before.get(key) or (verb == "add" and key in before):
                continue
            if key.startswith(security_contexts.APPARMOR_CONTAINER):
                errors.forbidden(f"metadata.annotations[{key}]", f"may not {verb} AppArmor annotations")
            if key == MIRROR:
                errors.forbidden(f"metadata.annotations[{key}]", f"may not {verb} mirror pod annotation")
    annotations(errors, now, new.get("spec") or {}, "metadata.annotations")


def _spec_change(errors: FieldErrors, new: Object, old: Object) -> None:
    if new == old:
        return
    for field in ("containers", "initContainers"):
        if len(new.get(field) or ()) != len(old.get(field) or ()):
            errors.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(new.get(field) or ()):
            if not container.get("image"):
                errors.required(f"spec.{field}[{index}].image")
            image_without_blanks(errors, container, f"spec.{field}[{index}]")
    if not _deadline_change(errors, new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")):
        return
    tolerations, gates = "tolerations", "schedulingGates"
    scheduling.only_added_tolerations(errors, new.get(tolerations) or [], old.get(tolerations) or [], "spec.tolerations")  # fmt: skip
    scheduling.only_removed_gates(errors, new.get(gates) or [], old.get(gates) or [], "spec.schedulingGates")
    masked = dict(new)
    for field in ("containers", "initContainers"):
        if field in new:
            masked[field] = [{**c, "image": b.get("image")} for c, b in zip(new[field], old[field], strict=True)]  # fmt: skip
    for field in ("activeDeadlineSeconds", tolerations, gates):
        masked[field] = old.get(field)
    grace = "terminationGracePeriodSeconds"
    if (old.get(grace) or 0) < 0 and new.get(grace) == 1:
        masked[grace] = old[grace]
    if old.get(gates):
        _gated_change(errors, masked, old)
    if not same(masked, old):
        listed = ",".join(_UPDATABLE)
        why = f"pod updates may not change fields other than {listed}\n{go_diff.of_pod_spec(old, masked)}"
        errors.forbidden("spec", why)


def _deadline_change(errors: FieldErrors, new: int | None, old: int | None) -> bool:
    """False: nothing else is looked at."""
    at = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errors.invalid(at, None, "must not update from a positive integer to nil value")
        return True
    if problems := names.in_range(new, 0, INT32_MAX):
        errors.messages(at, new, problems)
    elif old is not None and old < new:
        errors.invalid(at, new, "must be less than or equal to previous value")
    else:
        return True
    return False


def _gated_change(errors: FieldErrors, masked: Object, old: Object) -> None:
    """While gates hold it, a pod may be bound more narrowly: `masked` loses what is allowed (KEP-3838)."""
    selector, before = masked.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if selector != before:
        if any(selector.get(key) != value for key, value in before.items()):
            why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errors.invalid("spec.nodeSelector", selector, why)
        masked["nodeSelector"] = old.get("nodeSelector")
    affinity, old_affinity = masked.get("affinity") or {}, old.get("affinity") or {}
    node, old_node = affinity.get("nodeAffinity"), old_affinity.get("nodeAffinity")
    if not same(node, old_node):
        scheduling.node_affinity_change(errors, node, old_node, "spec.affinity.nodeAffinity")
        masked["affinity"] = {**affinity, "nodeAffinity": old_node}


def _ephemeral(errors: FieldErrors, new: Object, old: Object) -> None:
    if MIRROR in (old["metadata"].get("annotations") or {}):
        errors[:] = []
        errors.forbidden("", "static pods do not support ephemeral containers")
        return
    at = "spec.ephemeralContainers"
    now = {c.get("name"): c for c in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in now:
            errors.forbidden(at, f'existing ephemeral containers "{name}" may not be removed\n')
        elif not same(now[name], container):
            difference = go_diff.of_container(container, now[name])
            errors.forbidden(at, f'existing ephemeral containers "{name}" may not be changed\n{difference}')


# -- resize ------------------------------------------------------------------------------------------------------------


def _resize(errors: FieldErrors, new: Object, old: Object) -> None:
    spec_, before = new.get("spec") or {}, old.get("spec") or {}
    refused = ""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        refused = "static pods cannot be resized"
    elif (before.get("os") or {}).get("name") == "windows":
        refused = "windows pods cannot be resized"
    if refused:
        errors[:] = []
        errors.forbidden("", refused)
        return
    if qos.qos_class(new) != qos.qos_class(old):
        shown = (new.get("status") or {}).get("qosClass") or ""
        errors.invalid("spec", shown, "Pod QOS Class may not change as a result of resizing")
    for status in (old.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            if status.get("resources") is None:
                errors.forbidden("spec", "Pod running on node without support for resize")
            break
    whole = _without_cpu_and_memory(spec_, before)
    if spec_.get("resources") or before.get("resources"):
        _pod_level_resize(errors, spec_, before, whole)
    if _containers_moved(errors, spec_, before):
        return
    munged: dict[str, list[Object]] = {}
    for field in ("initContainers", "containers"):
        pairs = list(zip(spec_.get(field) or (), before.get(field) or (), strict=True))
        for index, (container, was) in enumerate(pairs):
            _nothing_removed(errors, container, was, f"spec.{field}[{index}].resources", "resource")
        munged[field] = [_resized(*pair) for pair in pairs]
    for container, was in zip(munged["containers"], before.get("containers") or (), strict=True):
        if not same(container, was):
            errors.forbidden("spec", "only cpu and memory resources are mutable")
    for index, was in enumerate(before.get("initContainers") or ()):
        at, container = f"spec.initContainers[{index}]", munged["initContainers"][index]
        if not same(container, was):
            why = "only cpu and memory resources for init or sidecar containers are mutable"
            errors.forbidden(at, why)
        if was.get("restartPolicy") != "Always" and not same(spec_["initContainers"][index], was):
            for policy in container.get("resizePolicy") or ():
                if policy.get("restartPolicy") == "RestartContainer":
                    why = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
                    errors.forbidden(at, why)
    others = {**whole, **munged}
    if not errors and not same(others, {**before, **{f: before.get(f) or [] for f in munged}}):
        errors.forbidden("spec", "only cpu and memory resources are mutable")


def _containers_moved(errors: FieldErrors, spec_: Object, before: Object) -> bool:
    start = len(errors)
    for field in ("containers", "initContainers"):
        now, was = spec_.get(field) or (), before.get(field) or ()
        if len(now) != len(was):
            errors.forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for index, (container, old) in enumerate(zip(now, was, strict=True)):
            if container.get("name") != old.get("name"):
                why = f"{field} may not be renamed or reordered on resize"
                errors.forbidden(f"spec.{field}[{index}].name", why)
    return len(errors) > start


def _pod_level_resize(errors: FieldErrors, new: Object, old: Object, masked: Object) -> None:
    """`masked`: the new spec with the old CPU and memory (KEP-5419)."""
    if old.get("resources") is not None and new.get("resources") is None:
        errors.forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    _nothing_removed(errors, new, old, "spec.resources", "pod-level resource")
    if not same(masked["resources"], old.get("resources")):
        errors.forbidden("spec", "only cpu and memory resources are mutable at pod-level")


def _nothing_removed(errors: FieldErrors, new: Object, old: Object, path: str, what: str) -> None:
    for which in ("requests", "limits"):
        now, was = ((c.get("resources") or {}).get(which) or {} for c in (new, old))
        if any(name not in now for name in was):
            errors.forbidden(f"{path}.{which}", f"{what} {which} cannot be removed")


def _resized(new: Object, old: Object) -> Object:
    """What must be as it was. Claims are not among it: Kubernetes refuses to resize a container that has some."""
    masked = _without_cpu_and_memory(new, old)
    masked["resources"].pop("claims", None)
    return masked


def _without_cpu_and_memory(new: Object, old: Object) -> Object:
    """The new container (or pod spec) with the old one's CPU and memory."""
    found = dict(new.get("resources") or {})
    for which in ("requests", "limits"):
        was = (old.get("resources") or {}).get(which) or {}
        others = {n: v for n, v in (found.get(which) or {}).items() if n not in ("cpu", "memory")}
        found[which] = others | {n: was[n] for n in ("cpu", "memory") if n in was}
    return {**new, "resources": {name: value for name, value in found.items() if value}}


# -- status ------------------------------------------------------------------------------------------------------------


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    spec_, before = new.get("spec") or {}, old.get("spec") or {}
    status, was = new.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        type_, at = condition.get("type") or "", f"status.conditions[{index}]"
        _observed(errors, condition, at)
        if type_ not in _OWN_CONDITIONS:
            errors.messages(f"{at}.Type", type_, qualified_name(type_))
    if spec_.get("nodeName") != before.get("nodeName"):
        errors.forbidden("status.nodeName", "may not be changed directly")
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != was.get("nominatedNodeName"):
        errors.messages("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
        if spec_.get("nodeName"):
            why = "may not be set on pods that are already bound to a node"
            errors.forbidden("status.nominatedNodeName", why)
    _observed(errors, status, "status")
    immutable(errors, status.get("qosClass"), was.get("qosClass"), "status.qosClass")
    _states(errors, status, was, before)
    _claim_statuses(errors, status.get("resourceClaimStatuses") or [], spec_)
    _extended_claim(errors, status.get("extendedResourceClaimStatus"), spec_)
    for field in ("podIPs", "hostIPs"):
        of, old_of = status.get(field) or [], was.get(field) or []
        if field == "hostIPs" and of and (of[0].get("ip") or "") != (status.get("hostIP") or ""):
            errors.invalid("status.hostIPs[0].ip", of[0].get("ip") or "", "must be equal to `hostIP`")
        _addresses(errors, of, {ip.get("ip") or "" for ip in old_of}, f"status.{field}")
    for field in _STATUSES:
        for index, one in enumerate(status.get(field) or ()):
            user = (one.get("user") or {}).get("linux")
            if user is not None:
                _linux_user(errors, user, f"status.{field}[{index}].user.linux", spec_)
    for field, of_spec in _STATUSES.items():
        for index, one in enumerate(status.get(field) or ()):
            if one.get("allocatedResourcesStatus"):
                at = f"status.{field}[{index}].allocatedResourcesStatus"
                if field == "ephemeralContainerStatuses":
                    errors.forbidden(at, "must not be specified in container status")
                else:
                    container = _named(spec_.get(of_spec), one.get("name"))
                    _health(errors, one["allocatedResourcesStatus"], container, at)


def _observed(errors: FieldErrors, holder: Object, path: str) -> None:
    if (holder.get("observedGeneration") or 0) < 0:
        why = "must be a non-negative integer"
        errors.invalid(f"{path}.observedGeneration", holder["observedGeneration"], why)


def _named(containers_: list[Object] | None, name: Any) -> Object | None:
    return next((c for c in containers_ or () if c.get("name") == name), None)


_STATUSES = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}


def _states(errors: FieldErrors, new: Object, old: Object, own: Object) -> None:
    """What has ended for good stays ended (KEP-5307, KEP-5532)."""
    everyone = [*(own.get("containers") or ()), *(own.get("initContainers") or ())]
    rules = [rule for container in everyone for rule in container.get("restartPolicyRules") or ()]
    all_ = any(rule.get("action") == "RestartAllContainers" for rule in rules)
    for field, of_spec in _STATUSES.items():
        ephemeral = field == "ephemeralContainerStatuses"
        if all_ and not ephemeral:
            continue
        now = {s.get("name"): s for s in reversed(new.get(field) or ())}
        for index, status in enumerate(old.get(field) or ()):
            ended = (status.get("state") or {}).get("terminated")
            after = now.get(status.get("name"))
            if ended is None or after is None or (after.get("state") or {}).get("terminated") is not None:
                continue
            container = None if ephemeral else _named(own.get(of_spec), status.get("name"))
            if container is None or not _starts_again(container, own, ended.get("exitCode") or 0):
                why = "may not be transitioned to non-terminated state"
                errors.forbidden(f"status.{field}[{index}].state", why)


def _starts_again(container: Object, own: Object, code: int) -> bool:
    policy = container.get("restartPolicy")
    for rule in container.get("restartPolicyRules") or () if policy else ():
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            return True
    policy = policy or own.get("restartPolicy") or "Always"
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _claim_statuses(errors: FieldErrors, statuses: list[Object], own: Object) -> None:
    known = {claim.get("name") for claim in own.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, status in enumerate(statuses):
        at, name = f"status.resourceClaimStatuses[{index}].name", status.get("name") or ""
        if name not in known:
            errors.invalid(at, name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
        claim = status.get("resourceClaimName")
        if claim is not None:
            errors.messages(at.replace(".name", ".resourceClaimName"), claim, names.dns1123_subdomain(claim))


def _extended_claim(errors: FieldErrors, status: Object | None, own: Object) -> None:
    """Which claim stands for the extended resources of which container (KEP-5004)."""
    if status is None:
        return
    path = "status.extendedResourceClaimStatus"
    mappings, seen = status.get("requestMappings") or [], set()
    if not mappings:
        errors.required(f"{path}.requestMappings", "at least one request mapping is required")
    for index, mapping in enumerate(mappings):
        at = f"{path}.requestMappings[{index}]"
        key = tuple(mapping.get(field) or "" for field in ("containerName", "resourceName", "requestName"))
        container = _named(own.get("containers"), key[0]) or _named(own.get("initContainers"), key[0])
        where = "spec.initContainers{0} or spec.containers{0}"
        if container is None:
            why = f"must match the name of an entry in {where.format('.name')}"
            errors.invalid(f"{at}.containerName", key[0], why)
        elif key[1] not in ((container.get("resources") or {}).get("requests") or ()):
            why = (
                f"must match the extended resource name of an entry in {where.format('.resources.requests')}"
            )
            errors.invalid(f"{at}.resourceName", key[1], why)
        errors.messages(f"{path}.requestName", key[2], names.dns1123_label(key[2]))
        if key in seen:
            for field, value in zip(("containerName", "resourceName", "requestName"), key, strict=True):
                errors.duplicate(f"{at}.{field}", value)
        seen.add(key)
    claim = status.get("resourceClaimName") or ""
    if not claim:
        errors.required(f"{path}.resourceClaimName")
    else:
        errors.messages(f"{path}.resourceClaimName", claim, names.dns1123_subdomain(claim))


def _addresses(errors: FieldErrors, listed: list[Object], known: set[str], path: str) -> None:
    values = [address.get("ip") or "" for address in listed]
    for index, value in enumerate(values):
        addresses.ip(errors, value, f"{path}[{index}]", known)
    if len(values) < 2:
        return
    families = [addresses.family(value) for value in values]
    if "" in families:
        index = families.index("")
        why = f"failed to check for dual stack with error:invalid IP[{index}]: {values[index]}"
        errors.internal(path, why)
    if "" in families or len(set(families)) < 2 or len(values) > 2:
        shown = [{"IP": value} for value in values]
        errors.invalid(path, shown, "may specify no more than one IP for each IP family")


_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_HEALTH_MESSAGE_MAX = 1024


def _health(errors: FieldErrors, listed: list[Object], container: Object | None, path: str) -> None:
    """How the devices of a container are (KEP-4680)."""
    asked = (container or {}).get("resources") or {}
    claims = {"claim:" + "/".join(filter(None, (c.get("name"), c.get("request")))) for c in asked.get("claims") or ()}  # fmt: skip
    for index, each in enumerate(listed):
        at, name, seen = f"{path}[{index}]", each.get("name") or "", set()
        of_claim = name.startswith("claim:")
        if container is not None and name not in (claims if of_claim else asked.get("requests") or ()):
            why = "must match one of the container's resource "
            why += "claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty" if of_claim else "requests"  # fmt: skip
            errors.invalid(f"{at}.name", name, why)
        for number, one in enumerate(each.get("resources") or ()):
            where, message = f"{at}.resources[{number}]", one.get("message")
            if one.get("health") not in _HEALTH:
                errors.not_supported(f"{where}.health", one.get("health") or "", _HEALTH)
            if message == "":
                errors.required(f"{where}.message", "must be non-empty if specified")
            elif message is not None and len(message) > _HEALTH_MESSAGE_MAX:
                errors.too_long(f"{where}.message", _HEALTH_MESSAGE_MAX)
            if one.get("resourceID") in seen:
                errors.duplicate(f"{where}.resourceID", one.get("resourceID") or "")
            seen.add(one.get("resourceID"))


def _linux_user(errors: FieldErrors, user: Object, path: str, own: Object) -> None:
    if (own.get("os") or {}).get("name") == "windows":
        errors.forbidden(path, "cannot be set for a windows pod")
        return
    groups = [(f"supplementalGroups[{i}]", g) for i, g in enumerate(user.get("supplementalGroups") or ())]
    for field, value in (("uid", user.get("uid") or 0), ("gid", user.get("gid") or 0), *groups):
        errors.messages(f"{path}.{field}", value, names.in_range(value, 0, INT32_MAX))


VALIDATOR = Validator(create, update)
