"""Security contexts of pods and containers, and what a pod of one operating system may not set."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from .go_struct import as_go
from .volume_sources import descending

ID_MAX = 2**31 - 1
_CONTEXT = "core.v1.SecurityContext"
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_APPARMOR_LENGTH_MAX = 4095
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_NETWORK = ("net.",)
_SYSCTL_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_WINDOWS_DNS = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*")  # fmt: skip
_WINDOWS_USER_BAD = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def _id(errors: FieldErrors, value: int | None, path: str) -> None:
    if value is not None and not 0 <= value <= ID_MAX:
        errors.messages(path, value, names.in_range(value, 0, ID_MAX))


def of_container(errors: FieldErrors, context: Object, path: str, host_users: bool) -> None:
    for field in ("runAsUser", "runAsGroup"):
        _id(errors, context.get(field), f"{path}.{field}")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            errors.not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if mount == "Unmasked" and host_users:
            errors.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    _seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        why = "cannot set `allowPrivilegeEscalation` to false and "
        if context.get("privileged"):
            errors.invalid(path, as_go(_CONTEXT, context), f"{why}`privileged` to true")
        for capability in (context.get("capabilities") or {}).get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                errors.invalid(path, as_go(_CONTEXT, context), f"{why}`capabilities.Add` CAP_SYS_ADMIN")
    _windows_options(errors, context.get("windowsOptions"), f"{path}.windowsOptions")
    _app_armor(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")


def of_pod(errors: FieldErrors, context: Object, spec: Object, path: str) -> None:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        _id(errors, context.get(field), f"{path}.{field}")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        _id(errors, group, f"{path}.supplementalGroups[{index}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.invalid(f"{path}.shareProcessNamespace", True, why)
    if context.get("sysctls"):
        _sysctls(errors, context["sysctls"], spec, f"{path}.sysctls")
    _choice(errors, context, "fsGroupChangePolicy", path, ("Always", "OnRootMismatch"))
    _seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    _windows_options(errors, context.get("windowsOptions"), f"{path}.windowsOptions")
    _app_armor(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")
    _choice(errors, context, "supplementalGroupsPolicy", path, ("Merge", "Strict"))
    _choice(errors, context, "seLinuxChangePolicy", path, ("Recursive",))  # MountOption is for SELinuxMount


def _choice(errors: FieldErrors, holder: Object, field: str, path: str, allowed: tuple[str, ...]) -> None:
    if holder.get(field) is not None and holder[field] not in allowed:
        errors.not_supported(f"{path}.{field}", holder[field], allowed)


def _sysctls(errors: FieldErrors, sysctls: list[Object], spec: Object, path: str) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            errors.required(at)
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            errors.invalid(at, name, f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$")
        elif name in seen:
            errors.duplicate(at, name)
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith(_SYSCTL_NETWORK):
            errors.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and dotted.startswith(_SYSCTL_IPC):
            errors.invalid(at, name, "may not be specified when 'hostIPC' is true")


def _seccomp(errors: FieldErrors, profile: Object | None, path: str) -> None:
    if profile is None:
        return
    type_, local = profile.get("type") or "", profile.get("localhostProfile")
    if not type_:
        errors.required(f"{path}.type", "type is required when seccompProfile is set")
    elif type_ not in _PROFILES:
        errors.not_supported(f"{path}.type", type_, _PROFILES)
    if type_ != "Localhost":
        if local is not None:
            why = "can only be set when seccomp type is Localhost"
            errors.invalid(f"{path}.localhostProfile", {"Type": type_, "LocalhostProfile": local}, why)
    elif local is None:
        errors.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    else:
        descending(errors, local, f"{path}.localhostProfile")


def _app_armor(errors: FieldErrors, profile: Object | None, path: str) -> None:
    if profile is None:
        return
    type_, local = profile.get("type") or "", profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if type_ == "Localhost":
        if local is not None and local != local.strip():
            errors.invalid(at, local, "must not be padded with whitespace")
        elif not local:
            errors.required(at, "must be set when AppArmor type is Localhost")
        if len(local or "") > _APPARMOR_LENGTH_MAX:
            errors.too_long(at, _APPARMOR_LENGTH_MAX)
    elif type_ in _PROFILES:
        if local is not None:
            errors.invalid(at, local, "can only be set when AppArmor type is Localhost")
    elif not type_:
        errors.required(f"{path}.type", "type is required when appArmorProfile is set")
    else:
        errors.not_supported(f"{path}.type", type_, _PROFILES)


def _windows_options(errors: FieldErrors, options: Object | None, path: str) -> None:
    if options is None:
        return
    name, spec = options.get("gmsaCredentialSpecName"), options.get("gmsaCredentialSpec")
    if name is not None:
        errors.messages(f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if spec == "":
        errors.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
    elif spec is not None and len(spec) > 64 << 10:
        errors.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec size must be under 64 KiB")
    if options.get("runAsUserName") is not None:
        user = options["runAsUserName"]
        for problem in _windows_user(user):
            errors.invalid(f"{path}.runAsUserName", user, f"runAsUserName{problem}")


def _windows_user(value: str) -> Iterator[str]:
    if not value:
        yield " cannot be an empty string"
        return
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        yield " cannot contain control characters"
        return
    domain, slash, user = value.rpartition("\\")
    if "\\" in domain:
        yield " cannot contain more than one backslash"
        return
    if len(domain) >= 256:
        yield "'s Domain length must be under 256 characters"
    if slash and not (_NETBIOS.fullmatch(domain) or _WINDOWS_DNS.fullmatch(domain)):
        yield "'s Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "'s User cannot be empty"
    elif len(user) > 104:
        yield "'s User length must not be longer than 104 characters"
    if user and not user.strip(". "):
        yield "'s User cannot contain only periods or spaces"
    if _WINDOWS_USER_BAD.search(user):
        yield "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


# -- operating systems -------------------------------------------------------------------------------------------------


def all_containers(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    """In Kubernetes' order of visiting: (container, its path)."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{index}]"


# where it stands in the spec: what a Windows pod may not set
_LINUX_ONLY = (
    "securityContext.appArmorProfile securityContext.seLinuxOptions hostUsers hostPID hostIPC securityContext.seccompProfile "
    "securityContext.fsGroup securityContext.fsGroupChangePolicy securityContext.sysctls shareProcessNamespace securityContext.runAsUser "
    "securityContext.runAsGroup securityContext.supplementalGroups securityContext.supplementalGroupsPolicy "
    "securityContext.seLinuxChangePolicy"
).split()
_LINUX_ONLY_IN_CONTAINERS = (
    "appArmorProfile seLinuxOptions seccompProfile capabilities readOnlyRootFilesystem privileged allowPrivilegeEscalation procMount "
    "runAsUser runAsGroup"
).split()
_FALSE_IS_UNSET = ("hostPID", "hostIPC", "securityContext.sysctls")


def operating_system(errors: FieldErrors, spec: Object, path: str) -> None:
    system = spec["os"].get("name") or ""
    if not system:
        errors.required(f"{path}.os.name", "cannot be empty")
    elif system not in ("linux", "windows"):
        errors.not_supported(f"{path}.os", system, ("linux", "windows"))
    elif system == "linux":
        _only_windows(errors, spec, path)
    else:
        _only_linux(errors, spec, path)


def _only_windows(errors: FieldErrors, spec: Object, path: str) -> None:
    holders = [(spec, path), *all_containers(spec, path)]
    for holder, at in holders:
        if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
            why = "windows options cannot be set for a linux pod"
            errors.forbidden(f"{at}.securityContext.windowsOptions", why)


def _only_linux(errors: FieldErrors, spec: Object, path: str) -> None:
    why = "cannot be set for a windows pod"
    context = spec.get("securityContext") or {}
    for field in _LINUX_ONLY:
        _, dot, inner = field.partition(".")
        value: Any = context.get(inner) if dot else spec.get(field)
        if value is not None and (value or field not in _FALSE_IS_UNSET):
            errors.forbidden(f"{path}.{field}", why)
    for container, at in all_containers(spec, path):
        context = container.get("securityContext") or {}
        for field in _LINUX_ONLY_IN_CONTAINERS:
            if context.get(field) is not None:
                errors.forbidden(f"{at}.securityContext.{field}", why)


def host_process(errors: FieldErrors, spec: Object, path: str) -> None:
    """HostProcess containers of Windows: all or none, and on the host's network (KEP-1981)."""

    holders = (spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    if not any("windowsOptions" in (holder.get("securityContext") or ()) for holder in holders):
        return

    def wanted(holder: Object) -> Any:
        return ((holder.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")

    of_pod_, count, total = wanted(spec), 0, 0
    for container, at in all_containers(spec, path):
        own, total = wanted(container), total + 1
        if None not in (of_pod_, own) and of_pod_ != own:
            shown = "true" if of_pod_ else "false"
            why = f"pod hostProcess value must be identical if both are specified, was {shown}"
            errors.invalid(f"{at}.securityContext.windowsOptions.hostProcess", own, why)
        count += bool(of_pod_ if own is None else own)
    if count:
        if count != total:
            why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            errors.invalid(path, "", why)
        if not spec.get("hostNetwork"):
            why = "hostNetwork must be true if pod contains any hostProcess containers"
            errors.invalid(f"{path}.hostNetwork", False, why)


# -- annotations from before the fields --------------------------------------------------------------------------------

SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_DEFAULT = ("runtime/default", "docker/default")


def annotations(errors: FieldErrors, noted: dict[str, str], spec: Object, path: str) -> None:
    for key, value in noted.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            if value.startswith("localhost/"):
                descending(errors, value.removeprefix("localhost/"), f"{path}.{key}")
            elif value not in (*_SECCOMP_DEFAULT, "unconfined"):
                errors.invalid(f"{path}.{key}", value, "must be a valid seccomp profile")
        elif key.startswith(APPARMOR_CONTAINER):
            name = key.removeprefix(APPARMOR_CONTAINER)
            if all(container.get("name") != name for container, _ in all_containers(spec, "")):
                errors.invalid(f"{path}[{key}]", name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                errors.invalid(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"')


def app_armor_profile(note: str) -> Object | None:
    """What an annotation from before the field stands for (KEP-24)."""
    local = note.removeprefix("localhost/")
    if local != note:
        return {"type": "Localhost", "localhostProfile": local} if local else None
    type_ = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}.get(note)
    return {"type": type_} if type_ else None


def annotations_match(errors: FieldErrors, noted: dict[str, str], spec: Object, path: str) -> None:
    """A profile that is given both ways must be the same (on create)."""
    own = spec.get("securityContext") or {}
    if own.get("seccompProfile") and SECCOMP_POD in noted:
        at = f"{path}.securityContext.seccompProfile"
        _match(errors, noted[SECCOMP_POD], own["seccompProfile"], at, "seccomp", _SECCOMP_DEFAULT)
    containers = list(all_containers(spec, path))
    for container, at in containers:
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        key = f"{SECCOMP_CONTAINER}{container.get('name')}"
        if profile and key in noted:
            at = f"{at}.securityContext.seccompProfile"
            _match(errors, noted[key], profile, at, "seccomp", _SECCOMP_DEFAULT)
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for container, at in containers:
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or own.get(
            "appArmorProfile"
        )
        key = f"{APPARMOR_CONTAINER}{container.get('name')}"
        if profile and key in noted:
            at = f"{at}.securityContext.appArmorProfile"
            _match(errors, noted[key], profile, at, "apparmor", ("runtime/default",))


def _match(
    errors: FieldErrors, note: str, profile: Object, path: str, what: str, defaults: tuple[str, ...]
) -> None:
    fits: dict[str, Callable[[], bool]] = {
        "Unconfined": lambda: note == "unconfined",
        "RuntimeDefault": lambda: note in defaults,
        "Localhost": lambda: note.startswith("localhost/"),
    }
    type_ = profile.get("type") or ""
    if type_ in fits and not fits[type_]():
        errors.forbidden(f"{path}.type", f"{what} type in annotation and field must match")
    elif type_ == "Localhost" and note.removeprefix("localhost/") != profile.get("localhostProfile"):
        why = f"{what} profile in annotation and field must match"
        errors.forbidden(f"{path}.localhostProfile", why)
