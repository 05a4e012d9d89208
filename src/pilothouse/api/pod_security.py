"""Pod Security Standards: what a namespace's labels ask for, and what a pod violates (k8s.io/pod-security-admission).

A check says in a few words and in detail what is wrong, or nothing. Policies have versions: a namespace pinned to an older one is held to
what was checked then; `latest` is the newest of the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .errors import Cause
from .fielderrors import FieldErrors
from .object import Object
from .validation.security_contexts import APPARMOR_CONTAINER, SECCOMP_CONTAINER, SECCOMP_POD, all_containers

PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
DOMAIN = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.([0-9]|[1-9][0-9]*)")
_LATEST = 10**9


@dataclass(frozen=True, slots=True)
class Level:
    """What one mode (enforce, audit, warn) asks for."""

    name: str = PRIVILEGED
    minor: int = _LATEST

    def __str__(self) -> str:
        return f"{self.name}:{'latest' if self.minor == _LATEST else f'v1.{self.minor}'}"


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Level = Level()
    audit: Level = Level()
    warn: Level = Level()


_NONE = Policy()


def policy_of(labels: dict[str, str] | None) -> tuple[Policy, list[Cause]]:
    """(the policy, what is wrong with the labels). What is wrong counts as the strictest, for audit and warn as none."""
    if not labels or not any(key.startswith(DOMAIN) for key in labels):
        return _NONE, []
    errors, levels, valid = FieldErrors(), {}, {}
    for mode in ("enforce", "audit", "warn"):
        name, version = labels.get(f"{DOMAIN}{mode}"), labels.get(f"{DOMAIN}{mode}-version")
        minor, valid[mode] = _LATEST, name in LEVELS
        if name is not None and name not in LEVELS:
            errors.invalid(f"metadata.labels[{DOMAIN}{mode}]", name, f"must be one of {', '.join(LEVELS)}")
            name = RESTRICTED if mode == "enforce" else PRIVILEGED
        if version is not None and version != "latest":
            match = _VERSION.fullmatch(version)
            if match is None:
                at = f"metadata.labels[{DOMAIN}{mode}-version]"
                errors.invalid(at, version, 'must be "latest" or "v1.x"')
            else:
                minor = int(match[1])
        levels[mode] = Level(name or PRIVILEGED, minor)
    enforce, warn = levels["enforce"], levels["warn"]
    if f"{DOMAIN}warn" not in labels and valid["enforce"] and enforce.name != PRIVILEGED:
        warn = Level(enforce.name, warn.minor if f"{DOMAIN}warn-version" in labels else enforce.minor)
    return Policy(enforce, levels["audit"], warn), errors


def stricter(level: Level, than: Level) -> bool:
    return LEVELS.index(level.name) > LEVELS.index(than.name)


@dataclass(frozen=True, slots=True)
class Violation:
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def violations(level: Level, metadata: Object, spec: Object) -> list[Violation]:
    if level.name == PRIVILEGED:
        return []
    pod = _Pod(metadata, spec, level.minor)
    checks = [c for c in _BASELINE if level.minor >= c.since]
    if level.name == RESTRICTED:
        more = [c for c in _RESTRICTED if level.minor >= c.since]
        instead = {c.instead_of for c in more}
        checks = [c for c in checks if c.of not in instead] + more
    return [found for check in checks if (found := check.of(pod)) is not None]


# -- words -------------------------------------------------------------------------------------------------------------


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _many(items: Iterable[str], singular: str) -> str:
    """`container "a"`, `containers "a", "b"`."""
    listed = list(items)
    return f"{singular}{'' if len(listed) == 1 else 's'} {_quoted(listed)}"


def _setters(by_pod: bool, containers: list[str]) -> str:
    """`pod and containers "a", "b"`; "" if nobody has set it."""
    return " and ".join(
        [*(["pod"] if by_pod else []), *([_many(containers, "container")] if containers else [])]
    )


class _Pod:
    """A pod as the checks look at it."""

    def __init__(self, metadata: Object, spec: Object, minor: int):
        self.spec, self.minor = spec, minor
        self.annotations: dict[str, str] = metadata.get("annotations") or {}
        self.context: Object = spec.get("securityContext") or {}
        self.containers = [
            (c.get("name") or "", c.get("securityContext") or {}, c) for c, _ in all_containers(spec, "")
        ]

    def named(self, wrong: Callable[[Object], object]) -> list[str]:
        """The containers whose security context is `wrong`."""
        return [name for name, context, _ in self.containers if wrong(context)]

    @property
    def is_windows(self) -> bool:
        return self.minor >= 25 and (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def has_own_users(self) -> bool:
        """In a user namespace root is not root (KEP-127)."""
        return self.minor >= 35 and self.spec.get("hostUsers") is False


# -- baseline ----------------------------------------------------------------------------------------------------------


def _app_armor(pod: _Pod) -> Violation | None:
    values: set[str] = set()

    def wrong(context: Object) -> bool:
        profile = context.get("appArmorProfile")
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(profile.get("type") or "")
        return True

    setters = _setters(wrong(pod.context), pod.named(wrong))
    notes = sorted(
        f'{key}="{value}"'
        for key, value in pod.annotations.items()
        if key.startswith(APPARMOR_CONTAINER)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if notes:
        setters = " and ".join(filter(None, [setters, "annotation" if len(notes) == 1 else "annotations"]))
    if not setters:
        return None
    shown = [*sorted(values), *notes]
    return Violation(
        f"forbidden AppArmor profile{'' if len(shown) == 1 else 's'}",
        f"{setters} must not set AppArmor profile type to {_quoted(shown)}",
    )


_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split()
)


def _added(context: Object) -> list[str]:
    return (context.get("capabilities") or {}).get("add") or []


def _capabilities(pod: _Pod) -> Violation | None:
    containers = pod.named(lambda context: set(_added(context)) - _CAPABILITIES)
    if not containers:
        return None
    extra = sorted({c for _, context, _ in pod.containers for c in _added(context)} - _CAPABILITIES)
    detail = f"{_many(containers, 'container')} must not include {_quoted(extra)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(pod: _Pod) -> Violation | None:
    used = [f"{f}=true" for f in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(f)]
    return Violation("host namespaces", ", ".join(used)) if used else None


def _host_paths(pod: _Pod) -> Violation | None:
    names = [v.get("name") or "" for v in pod.spec.get("volumes") or () if v.get("hostPath") is not None]
    return Violation("hostPath volumes", _many(names, "volume")) if names else None


def _host_ports(pod: _Pod) -> Violation | None:
    used = {
        n: [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")] for n, _, c in pod.containers
    }
    names, ports = [n for n, p in used.items() if p], sorted({str(p) for own in used.values() for p in own})
    if not names:
        return None
    what = "hostPort" if len(ports) == 1 else "hostPorts"
    use = "uses" if len(names) == 1 else "use"
    return Violation("hostPort", f"{_many(names, 'container')} {use} {what} {', '.join(ports)}")


def _probe_hosts(pod: _Pod) -> Violation | None:
    names, hosts = set(), set()
    for name, _, container in pod.containers:
        life = container.get("lifecycle") or {}
        handlers = [container.get(p) for p in ("livenessProbe", "readinessProbe", "startupProbe")]
        for handler in (*handlers, life.get("postStart"), life.get("preStop")):
            for action in ("httpGet", "tcpSocket"):
                if host := ((handler or {}).get(action) or {}).get("host"):
                    names.add(name)
                    hosts.add(host)
    if not names:
        return None
    what = "probe or lifecycle host"
    use = "uses" if len(names) == 1 else "use"
    return Violation(what, f"{_many(sorted(names), 'container')} {use} {_many(sorted(hosts), what)}")


def _privileged(pod: _Pod) -> Violation | None:
    names = pod.named(lambda context: context.get("privileged"))
    detail = f"{_many(names, 'container')} must not set securityContext.privileged=true"
    return Violation("privileged", detail) if names else None


def _masked(pod: _Pod) -> Violation | None:
    values = {c["procMount"] for _, c, _ in pod.containers if c.get("procMount") not in (None, "Default")}
    names = pod.named(lambda context: context.get("procMount") in values)
    detail = (
        f"{_many(names, 'container')} must not set securityContext.procMount to {_quoted(sorted(values))}"
    )
    return Violation("procMount", detail) if values else None


def _masked_or_own_users(pod: _Pod) -> Violation | None:
    return None if pod.has_own_users else _masked(pod)


def _se_linux(pod: _Pod) -> Violation | None:
    types: set[str] = set()
    others: set[str] = set()
    allowed = {None, "", "container_t", "container_init_t", "container_kvm_t"}
    allowed |= {"container_engine_t"} if pod.minor >= 31 else set()

    def wrong(context: Object) -> bool:
        options = context.get("seLinuxOptions") or {}
        bad_type, set_ = options.get("type") not in allowed, {f for f in ("user", "role") if options.get(f)}
        types.update([options["type"]] if bad_type else [])
        others.update(set_)
        return bad_type or bool(set_)

    setters = _setters(wrong(pod.context), pod.named(wrong))
    if not setters:
        return None
    found = [_many(sorted(types), "type")] if types else []
    found += [f"{field} may not be set" for field in ("user", "role") if field in others]
    return Violation(
        "seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(found)}"
    )


def _seccomp_type(context: Object) -> str | None:
    profile = context.get("seccompProfile")
    return None if profile is None else profile.get("type") or ""


def _bad_seccomp(context: Object) -> bool:
    return _seccomp_type(context) not in (None, "RuntimeDefault", "Localhost")


def _seccomp(pod: _Pod) -> Violation | None:
    if pod.minor < 19:
        return _seccomp_annotations(pod)
    setters = _setters(_bad_seccomp(pod.context), pod.named(_bad_seccomp))
    if not setters:
        return None
    contexts = [pod.context, *(context for _, context, _ in pod.containers)]
    values = sorted({_seccomp_type(context) or "" for context in contexts if _bad_seccomp(context)})
    detail = f"{setters} must not set securityContext.seccompProfile.type to {_quoted(values)}"
    return Violation("seccompProfile", detail)


def _seccomp_annotations(pod: _Pod) -> Violation | None:
    keys = [SECCOMP_POD, *(f"{SECCOMP_CONTAINER}{name}" for name, _, _ in pod.containers)]
    wrong = sorted(
        f'{key}="{pod.annotations[key]}"'
        for key in set(keys)
        if key in pod.annotations
        and pod.annotations[key] not in ("runtime/default", "docker/default")
        and not pod.annotations[key].startswith("localhost/")
    )
    if not wrong:
        return None
    what = "annotation" if len(wrong) == 1 else "annotations"
    return Violation("seccompProfile", f"forbidden {what} {', '.join(wrong)}")


_SYSCTLS = (
    (0, "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem net.ipv4.tcp_wmem"),
)  # fmt: skip


def _sysctls(pod: _Pod) -> Violation | None:
    allowed = {name for since, names in _SYSCTLS if pod.minor >= since for name in names.split()}
    wrong = [s.get("name") or "" for s in pod.context.get("sysctls") or () if s.get("name") not in allowed]
    return Violation("forbidden sysctls", ", ".join(wrong)) if wrong else None


def _host_process(pod: _Pod) -> Violation | None:
    def wrong(context: Object) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    setters = _setters(wrong(pod.context), pod.named(wrong))
    detail = f"{setters} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail) if setters else None


# -- restricted --------------------------------------------------------------------------------------------------------


def _escalation(pod: _Pod) -> Violation | None:
    names = pod.named(lambda context: context.get("allowPrivilegeEscalation") is not False)
    if not names or pod.is_windows:
        return None
    detail = f"{_many(names, 'container')} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def _only_bind(pod: _Pod) -> Violation | None:
    if pod.is_windows:
        return None
    keeping = pod.named(lambda c: "ALL" not in ((c.get("capabilities") or {}).get("drop") or ()))
    adding = pod.named(lambda c: set(_added(c)) - {"NET_BIND_SERVICE"})
    details = []
    if keeping:
        details.append(f'{_many(keeping, "container")} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra = sorted(
            {c for _, context, _ in pod.containers for c in _added(context)} - {"NET_BIND_SERVICE"}
        )
        where = "in securityContext.capabilities.add"
        details.append(f"{_many(adding, 'container')} must not include {_quoted(extra)} {where}")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = frozenset(
    "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split()
)


def _volumes(pod: _Pod) -> Violation | None:
    wrong = [v for v in pod.spec.get("volumes") or () if not _VOLUMES.intersection(v)]
    if not wrong:
        return None
    types = sorted({next((key for key in volume if key != "name"), "unknown") for volume in wrong})
    names = [volume.get("name") or "" for volume in wrong]
    use = "uses" if len(names) == 1 else "use"
    detail = f"{_many(names, 'volume')} {use} {_many(types, 'restricted volume type')}"
    return Violation("restricted volume types", detail)


def _non_root(pod: _Pod) -> Violation | None:
    def wrong(context: Object) -> bool:
        return context.get("runAsNonRoot") is False

    if pod.has_own_users:
        return None
    setters = _setters(wrong(pod.context), pod.named(wrong))
    if setters:
        return Violation("runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false")
    silent = pod.named(lambda context: context.get("runAsNonRoot") is None)
    if not silent or pod.context.get("runAsNonRoot"):
        return None
    detail = f"pod or {_many(silent, 'container')} must set securityContext.runAsNonRoot=true"
    return Violation("runAsNonRoot != true", detail)


def _not_user_0(pod: _Pod) -> Violation | None:
    def wrong(context: Object) -> bool:
        return context.get("runAsUser") == 0

    setters = "" if pod.has_own_users else _setters(wrong(pod.context), pod.named(wrong))
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _some_seccomp(pod: _Pod) -> Violation | None:
    if pod.is_windows:
        return None
    if found := _seccomp(pod):
        return found
    silent = pod.named(lambda context: _seccomp_type(context) is None)
    if not silent or _seccomp_type(pod.context) is not None:
        return None
    wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_many(silent, 'container')} must set {wanted}")


@dataclass(frozen=True, slots=True)
class _Check:
    of: Callable[[_Pod], Violation | None]
    since: int = 0
    instead_of: Callable[[_Pod], Violation | None] | None = None


_BASELINE = (
    _Check(_app_armor),
    _Check(_capabilities),
    _Check(_host_namespaces),
    _Check(_host_paths),
    _Check(_host_ports),
    _Check(_probe_hosts, 34),
    _Check(_privileged),
    _Check(_masked_or_own_users),
    _Check(_se_linux),
    _Check(_seccomp),
    _Check(_sysctls),
    _Check(_host_process),
)
_RESTRICTED = (
    _Check(_escalation, 8),
    _Check(_only_bind, 22, _capabilities),
    _Check(_masked, 35, _masked_or_own_users),
    _Check(_volumes, 0, _host_paths),
    _Check(_non_root),
    _Check(_not_user_0, 23),
    _Check(_some_seccomp, 19, _seccomp),
)
