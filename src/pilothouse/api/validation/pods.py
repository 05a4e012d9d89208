"""Pods and pod templates: the whole spec, what an update may change, and the subresources status, ephemeralcontainers and resize."""

import ipaddress
from typing import Any

from .. import names, qos
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import go_diff, metadata, resources, scheduling, security_contexts
from .containers import Surroundings, containers, image_without_blanks
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
    for field, rule in (
        ("serviceAccountName", names.dns1123_subdomain),
        ("nodeName", names.dns1123_subdomain),
    ):
        if get(field):
            errors.messages(f"{path}.{field}", own[field], rule(own[field]))
    deadline = get("activeDeadlineSeconds")
    if deadline is not None:
        errors.messages(f"{path}.activeDeadlineSeconds", deadline, names.in_range(deadline, 1, INT32_MAX))
    for field in ("hostname", "subdomain"):
        if get(field):
            errors.messages(f"{path}.{field}", own[field], names.dns1123_label(own[field]))
    if get("hostnameOverride") is not None:
        _hostname_override(errors, own, f"{path}.hostnameOverride")
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
    if whole.get("claims") is not None:
        errors.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level")
    resources.requirements(errors, whole, path, (), resources.pod_name)
    requests, limits = whole.get("requests") or {}, whole.get("limits") or {}
    for name, total in qos.containers_requests(own).items():
        asked = requests.get(name)
        if asked is None:
            continue
        if Quantity.of(total).number > Quantity.of(asked).number:
            why = f"must be greater than or equal to aggregate container requests of {total}"
            errors.invalid(f"{path}.requests[{name}]", str(asked), why)
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
        errors.messages(f"{path}.nameservers[{index}]", server, names.ip(server))
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
    errors.messages(path, name, names.dns1123_subdomain(name))
    if len(name) > 64:
        errors.too_long(path, 64)
    if own.get("setHostnameAsFQDN"):
        errors.forbidden(path, "may not be specified when setHostnameAsFQDN is true")
    if own.get("hostNetwork"):
        errors.forbidden(path, "may not be specified when hostNetwork is true")


def _host_alias(errors: FieldErrors, alias: Object, path: str) -> None:
    errors.messages(f"{path}.ip", alias.get("ip") or "", names.ip(alias.get("ip") or ""))
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
    if _containers_moved(errors, spec_, before):
        return
    _nothing_removed(errors, spec_, before, "spec.resources")
    munged: dict[str, list[Object]] = {}
    for field in ("initContainers", "containers"):
        pairs = list(zip(spec_.get(field) or (), before.get(field) or (), strict=True))
        for index, (container, was) in enumerate(pairs):
            if field == "containers" or was.get("restartPolicy") == "Always":
                _nothing_removed(errors, container, was, f"spec.{field}[{index}].resources")
        munged[field] = [_without_cpu_and_memory(*pair) for pair in pairs]
    for field, why in (
        ("containers", "only cpu and memory resources are mutable"),
        ("initContainers", "only cpu and memory resources for sidecar containers are mutable"),
    ):
        for index, was in enumerate(before.get(field) or ()):
            sidecar = field == "containers" or was.get("restartPolicy") == "Always"
            now = munged[field][index] if sidecar else spec_[field][index]
            if not same(now, was):
                errors.forbidden("spec", why if sidecar else "resources for non-sidecar init containers are immutable")  # fmt: skip
    others = {**_without_cpu_and_memory(spec_, before), **munged}
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


def _nothing_removed(errors: FieldErrors, new: Object, old: Object, path: str) -> None:
    for which in ("requests", "limits"):
        now, was = ((c.get("resources") or {}).get(which) or {} for c in (new, old))
        if any(name not in now for name in was):
            errors.forbidden(f"{path}.{which}", f"resource {which} cannot be removed")


def _without_cpu_and_memory(new: Object, old: Object) -> Object:
    """The new container (or pod spec) with the old one's CPU and memory."""
    found = dict(new.get("resources") or {})
    for which in ("requests", "limits"):
        was = (old.get("resources") or {}).get(which)
        others = {n: v for n, v in (found.get(which) or {}).items() if n not in ("cpu", "memory")}
        found[which] = others | {n: was[n] for n in ("cpu", "memory") if n in was} if was else None
    return {**new, "resources": {name: value for name, value in found.items() if value}}


# -- status ------------------------------------------------------------------------------------------------------------


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    spec_, before = new.get("spec") or {}, old.get("spec") or {}
    status, was = new.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        type_ = condition.get("type") or ""
        if type_ not in _OWN_CONDITIONS:
            errors.messages(f"metadata.conditions[{index}].Type", type_, qualified_name(type_))
    if spec_.get("nodeName") != before.get("nodeName"):
        errors.forbidden("status.nodeName", "may not be changed directly")
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != was.get("nominatedNodeName"):
        errors.messages("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
        if spec_.get("nodeName"):
            why = "may not be set on pods that are already bound to a node"
            errors.forbidden("status.nominatedNodeName", why)
    immutable(errors, status.get("qosClass"), was.get("qosClass"), "status.qosClass")
    policy = before.get("restartPolicy") or "Always"
    _states(errors, status, was, "containerStatuses", policy, _may_restart(before, "containers"))
    _states(errors, status, was, "initContainerStatuses", policy, _may_restart(before, "initContainers"))
    _states(errors, status, was, "ephemeralContainerStatuses", "Never", set())
    _claim_statuses(errors, status.get("resourceClaimStatuses") or [], spec_)
    _addresses(errors, status.get("podIPs") or [], "status.podIPs")
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip") != status.get("hostIP"):
        errors.invalid("status.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`")
    _addresses(errors, hosts, "status.hostIPs")
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, one in enumerate(status.get(field) or ()):
            user = (one.get("user") or {}).get("linux")
            if user is not None:
                _linux_user(errors, user, f"status.{field}[{index}].linux", spec_)


def _may_restart(spec_: Object, field: str) -> set[Any]:
    """The containers that their own policy or rules may start again, whatever the pod's policy (KEP-5307, KEP-5532)."""
    everyone = [*(spec_.get("containers") or ()), *(spec_.get("initContainers") or ())]
    rules = [rule for container in everyone for rule in container.get("restartPolicyRules") or ()]
    all_ = any(rule.get("action") == "RestartAllContainers" for rule in rules)
    return {
        container.get("name")
        for container in spec_.get(field) or ()
        if all_
        or container.get("restartPolicyRules")
        or container.get("restartPolicy") in ("Always", "OnFailure")
    }


def _states(
    errors: FieldErrors, new: Object, old: Object, field: str, policy: str, may_restart: set[Any]
) -> None:
    """What has ended for good stays ended."""
    if policy == "Always":
        return
    running = {
        s.get("name") for s in new.get(field) or () if (s.get("state") or {}).get("terminated") is None
    }
    for index, status in enumerate(old.get(field) or ()):
        ended = (status.get("state") or {}).get("terminated")
        if ended is None or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if status.get("name") in running - may_restart:
            why = "may not be transitioned to non-terminated state"
            errors.forbidden(f"status.{field}[{index}].state", why)


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
            errors.messages(at, claim, names.dns1123_subdomain(claim))


def _addresses(errors: FieldErrors, addresses: list[Object], path: str) -> None:
    values = [address.get("ip") or "" for address in addresses]
    for index, value in enumerate(values):
        errors.messages(f"{path}[{index}]", value, names.ip(value))
    if len(values) < 2 or any(names.ip(value) for value in values):
        return
    versions = {ipaddress.ip_address(value).version for value in values}
    if len(versions) < 2 or len(values) > 2:
        shown = [{"IP": value} for value in values]
        errors.invalid(path, shown, "may specify no more than one IP for each IP family")
    for index, value in enumerate(values):
        if value in values[:index]:
            errors.duplicate(f"{path}[{index}]", {"IP": value})


def _linux_user(errors: FieldErrors, user: Object, path: str, own: Object) -> None:
    if (own.get("os") or {}).get("name") == "windows":
        errors.forbidden(path, "cannot be set for a windows pod")
        return
    groups = [(f"supplementalGroups[{i}]", g) for i, g in enumerate(user.get("supplementalGroups") or ())]
    for field, value in (("uid", user.get("uid") or 0), ("gid", user.get("gid") or 0), *groups):
        errors.messages(f"{path}.{field}", value, names.in_range(value, 0, INT32_MAX))


VALIDATOR = Validator(create, update)
