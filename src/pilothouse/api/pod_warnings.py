"""What a pod, or a pod template, is warned of (pkg/api/pod/warnings.go): what is deprecated, does nothing, or will surprise."""

from __future__ import annotations

from collections.abc import Iterator

from . import names
from .object import Object
from .quantity import Quantity
from .validation import addresses
from .validation.security_contexts import (
    APPARMOR_CONTAINER,
    SECCOMP_CONTAINER,
    SECCOMP_POD,
    all_containers,
    app_armor_profile,
)

_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": ("v1.16", "priorityClassName"),
    "security.alpha.kubernetes.io/sysctls": ("v1.11", "sysctls"),
    "security.alpha.kubernetes.io/unsafe-sysctls": ("v1.11", "sysctls"),
}
VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
"""By source: what it is called, and what is said of it."""
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_NULL_SELECTOR = "a null labelSelector results in matching no pod"


def of_pod(new: Object, old: Object | None) -> Iterator[str]:
    """People do not update pods: only a new one is looked at."""
    if old is None:
        wrong = names.dns1123_label(new["metadata"].get("name") or "")
        if wrong:
            yield (
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: "
                f"[{' '.join(wrong)}]"
            )
        yield from of_template(new, "")


def of_template(template: Object, path: str) -> Iterator[str]:
    """`path`: "" for a pod itself."""
    dot = f"{path}." if path else ""
    spec, noted = template.get("spec") or {}, (template.get("metadata") or {}).get("annotations") or {}
    at, notes = f"{dot}spec", f"{dot}metadata.annotations"
    yield from _placement(spec, at)
    for key, (version, field) in _ANNOTATIONS.items() if noted else ():
        if key in noted:
            yield f'{notes}[{key}]: non-functional in {version}+; use the "{field}" field instead'
    if spec.get("volumes"):
        yield from _volumes(spec["volumes"], f"{at}.volumes")
    yield from _twice(spec.get("hostAliases") or [], "ip", f"{at}.hostAliases")
    yield from _twice(spec.get("imagePullSecrets") or [], "name", f"{at}.imagePullSecrets")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{at}.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from _fractions(spec.get("overhead"), f"{at}.overhead")
    if SECCOMP_POD in noted and not (spec.get("securityContext") or {}).get("seccompProfile"):
        yield f'{notes}[{SECCOMP_POD}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    for container, where in all_containers(spec, at):
        if noted:
            yield from _profiles(container, spec, noted, notes, bool(path))
        resources = container.get("resources") or {}
        for name in ("memory", "ephemeral-storage") if resources else ():
            for which in ("limits", "requests"):
                yield from _fractions(resources.get(which), f"{where}.resources.{which}", (name,))
        yield from _hidden(container.get("env") or [], f"{where}.env")
    yield from _ports(spec, at)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    for which in ("podAffinity", "podAntiAffinity") if spec.get("affinity") else ():
        part = spec["affinity"].get(which) or {}
        for index, term in enumerate(part.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{at}.affinity.{which}.{_REQUIRED}[{index}].labelSelector: {_NULL_SELECTOR}"
        for index, term in enumerate(part.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                where = f"{at}.affinity.{which}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector"
                yield f"{where}: {_NULL_SELECTOR}"
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from odd_address(server, f"{at}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from odd_address(alias.get("ip") or "", f"{at}.hostAliases[{index}].ip")


def of_status(new: Object, old: Object | None) -> Iterator[str]:
    for field in ("podIPs", "hostIPs"):
        for index, address in enumerate((new.get("status") or {}).get(field) or ()):
            yield from odd_address(address.get("ip") or "", f"status.{field}[{index}].ip")


def deprecated_label(label: str) -> str:
    """ "" if it is not."""
    return _LABELS.get(label, "")


def _placement(spec: Object, at: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in _LABELS:
            yield f"{at}.nodeSelector[{key}]: {deprecated_label(key)}"
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    yield from node_selector((node.get(_REQUIRED) or {}), f"{at}.affinity.nodeAffinity.{_REQUIRED}")
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        where = f"{at}.affinity.nodeAffinity.{_PREFERRED}[{index}].preference"
        yield from _term(term.get("preference") or {}, where, values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{at}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if key in _LABELS:
            yield f"{where}.topologyKey: {key} is {deprecated_label(key)}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NULL_SELECTOR}"


def node_selector(selector: Object, path: str) -> Iterator[str]:
    for index, term in enumerate(selector.get("nodeSelectorTerms") or ()):
        yield from _term(term, f"{path}.nodeSelectorTerms[{index}]")


def _term(term: Object, path: str, *, values: bool = False) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        yield from label_key(expression.get("key") or "", f"{path}.matchExpressions[{index}].key")
        for number, value in enumerate(expression.get("values") or ()) if values else ():
            for wrong in names.label_value(value):
                yield f"{path}.matchExpressions[{index}].values[{number}]: {value} is invalid, {wrong}"


def label_key(key: str, path: str) -> Iterator[str]:
    if key in _LABELS:
        yield f"{path}: {key} is {deprecated_label(key)}"


def _volumes(volumes: list[Object], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for source in volume:
            if source in VOLUMES:
                name, said = VOLUMES[source]
                yield f"{path}[{index}].{name}: {said}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template:
            where = f"{path}[{index}].ephemeral.volumeClaimTemplate.spec"
            yield from of_claim_spec(template.get("spec") or {}, where)
    for volume in volumes:
        what = f'volume "{volume.get("name")}"'
        for kind, shown in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
            items = (volume.get(kind) or {}).get("items") or ()
            for overlap in _overlaps([(item.get("path") or "", "") for item in items]):
                yield f"{what} ({_called(volume[kind], shown)}): overlapping paths: {overlap}"
        if volume.get("projected") is not None:
            files: list[tuple[str, str]] = []
            for part in volume["projected"].get("sources") or ():
                if not part:
                    yield f"{what} (Projected) has no sources provided"
                files += _projected(part)
            for overlap in _overlaps(files):
                yield f"{what} (Projected): overlapping paths: {overlap}"


def _called(source: Object, kind: str) -> str:
    return (
        kind if kind == "DownwardAPI" else f'{kind} "{source.get("name") or source.get("secretName") or ""}"'
    )


def _projected(part: Object) -> list[tuple[str, str]]:
    """The files of one source of a projected volume, each with where it is from."""
    for kind, name in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        if (part.get(kind) or {}).get("items") is not None:
            return [(item.get("path") or "", _called(part[kind], name)) for item in part[kind]["items"]]
    token = part.get("serviceAccountToken")
    return [] if token is None else [(token.get("path") or "", "ServiceAccountToken")]


def _overlaps(files: list[tuple[str, str]]) -> Iterator[str]:
    """Files of one volume that are at the same place, or one below the other."""
    seen: list[tuple[str, str]] = []
    for path, source in files:
        path = path.rstrip("/")
        for other in seen if path else ():
            if other[0] and (f"{path}/".startswith(f"{other[0]}/") or f"{other[0]}/".startswith(f"{path}/")):
                yield " with ".join(f'"{p}"' + (f" ({s})" if s else "") for p, s in ((path, source), other))
        seen.append((path, source))


def of_claim_spec(spec: Object, path: str) -> Iterator[str]:
    for which in ("requests", "limits"):
        amounts = (spec.get("resources") or {}).get(which)
        yield from _fractions(amounts, f"{path}.resources.{which}", ("storage",))


def _twice(items: list[Object], field: str, path: str) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(items) if len(items) > 1 else ():
        value = item.get(field) or ""
        if value in seen:
            yield f'{path}[{index}].{field}: duplicate {field} "{value}"'
        seen.add(value)


def _fractions(
    amounts: Object | None, path: str, of: tuple[str, ...] = ("memory", "ephemeral-storage")
) -> Iterator[str]:
    for name in of if amounts else ():
        value = (amounts or {}).get(name)
        if value is not None and Quantity.of(value).milli_value() % 1000:
            yield f'{path}[{name}]: fractional byte value "{value}" is invalid, must be an integer'


def _profiles(
    container: Object, spec: Object, noted: dict[str, str], notes: str, in_template: bool
) -> Iterator[str]:
    context, name = container.get("securityContext") or {}, container.get("name")
    if not context.get("seccompProfile") and f"{SECCOMP_CONTAINER}{name}" in noted:
        yield f'{notes}[{SECCOMP_CONTAINER}{name}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    note = noted.get(f"{APPARMOR_CONTAINER}{name}")
    if in_template and note is not None and context.get("appArmorProfile") is None:
        if of_pod is None or of_pod != app_armor_profile(note):
            yield app_armor(f"{notes}[{APPARMOR_CONTAINER}{name}]")


def app_armor(path: str) -> str:
    return f'{path}: deprecated since v1.30; use the "appArmorProfile" field instead'


def odd_address(value: str, path: str) -> Iterator[str]:
    """An address in another spelling than the one that everybody writes."""
    address = addresses.parse(value)
    if address is None or str(address) == value:
        return
    if addresses.strict_problem(value):
        yield f'{path}: non-standard IP address "{value}" is invalid: use "{address}"'
    else:
        yield f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")'


def _hidden(env: list[Object], path: str) -> Iterator[str]:
    """A variable that is there twice, unless the second builds on the first."""
    seen = set()
    for index, variable in enumerate(env):
        name, reference, value = (
            variable.get("name") or "",
            f"$({variable.get('name')})",
            variable.get("value") or "",
        )
        if name in seen and (variable.get("valueFrom") is not None or value == reference or reference not in value):  # fmt: skip
            yield f'{path}[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _ports(spec: Object, path: str) -> Iterator[str]:
    seen: dict[tuple[int, str], list[tuple[str, int, str]]] = {}
    for container, where in all_containers(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            at, ip, host = f"{where}.ports[{index}]", port.get("hostIP") or "", port.get("hostPort") or 0
            number, protocol = port.get("containerPort") or 0, port.get("protocol") or ""
            if ip and not host:
                shown = f"{{Name:{port.get('name') or ''} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{ip}}}"
                yield f"{at}: hostIP set without hostPort: {shown}"
            others = seen.setdefault((number, protocol), [])
            for other_ip, other_host, other_at in others:
                what = ""
                if (ip, host) == (other_ip, other_host):
                    what = "duplicate"
                elif not host or not other_host:
                    what = "overlapping"
                elif host == other_host and (not ip) != (not other_ip):
                    what = "dangerously ambiguous"
                if what:
                    yield f"{at}: {what} port definition with {other_at}"
            others.append((ip, host, at))
    named: dict[str, str] = {}
    for container, where in all_containers(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            name, at = port.get("name"), f"{where}.ports[{index}]"
            if name and name in named:
                other = named[name]
                why = f"services and probes that select ports by name will use {other}"
                yield f'{at}: duplicate port name "{name}" with {other}, {why}'
            elif name:
                named[name] = at
