"""A container's environment: from values, fields, resources, ConfigMaps, Secrets and Services, with $(VAR) expanded.

`Sources` answers what has to be looked up; everything else is pure. What cannot be found is a `ConfigError`, which the
container shows as CreateContainerConfigError, in kubelet's words.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from ..api.fielderrors import quoted
from ..api.names import env_var_name
from ..api.object import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from ..api.quantity import Quantity


def together(problems: Iterable[str]) -> str:
    """Errors as Go's aggregates print."""
    found = [*dict.fromkeys(problems)]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


class ConfigError(Exception):
    """The container cannot be made as its pod describes it."""


class Sources(Protocol):
    """ConfigMaps and Secrets of the pod's namespace; None where there is none."""

    async def config_map(self, namespace: str, name: str) -> Object | None: ...
    async def secret(self, namespace: str, name: str) -> Object | None: ...


async def environment(
    pod: Object,
    container: Object,
    sources: Sources,
    services: Iterable[Object],
    allocatable: Mapping[str, str],
    volumes: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """In kubelet's order: services, envFrom, env; later ones win. `allocatable`: for limits that are not set; `volumes`: where they are."""
    namespace = namespace_of(pod)
    found: dict[str, str] = {}
    for entry in container.get("envFrom") or ():
        found.update(await _env_from(entry, namespace, sources))
    own: dict[str, str] = {}
    linked = service_variables(services, namespace, pod["spec"].get("enableServiceLinks", True))
    for variable in container.get("env") or ():
        name = variable["name"]
        value = variable.get("value")
        if variable.get("valueFrom"):
            resolved = await _value_from(variable["valueFrom"], pod, container, sources, allocatable, volumes)
            if resolved is None:
                continue
            value = resolved
        else:
            value = expand(value or "", {**linked, **found, **own})
        own[name] = value
    return list({**linked, **found, **own}.items())


async def _env_from(entry: Object, namespace: str, sources: Sources) -> dict[str, str]:
    prefix = entry.get("prefix") or ""
    if reference := entry.get("configMapRef"):
        obj = await sources.config_map(namespace, reference["name"])
        if obj is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        values = dict(obj.get("data") or {})
    elif reference := entry.get("secretRef"):
        obj = await sources.secret(namespace, reference["name"])
        if obj is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'secret "{reference["name"]}" not found')
        values = {key: _decode(value) for key, value in (obj.get("data") or {}).items()}
    else:
        return {}
    return {prefix + key: value for key, value in values.items() if not env_var_name(prefix + key)}


def _decode(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "surrogateescape")


async def _value_from(
    source: Object,
    pod: Object,
    container: Object,
    sources: Sources,
    allocatable: Mapping[str, str],
    volumes: Mapping[str, str],
) -> str | None:
    """None: an optional value that is not there."""
    namespace = namespace_of(pod)
    if reference := source.get("fieldRef"):
        return field_value(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        target = container
        if reference.get("containerName"):
            target = container_named(pod, reference["containerName"])
        return resource_value(target, reference["resource"], reference.get("divisor") or "0", allocatable)
    for key, kind, get in (
        ("configMapKeyRef", "ConfigMap", sources.config_map),
        ("secretKeyRef", "Secret", sources.secret),
    ):
        reference = source.get(key)
        if not reference:
            continue
        obj = await get(namespace, reference["name"])
        if obj is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
        value = (obj.get("data") or {}).get(reference["key"])
        if value is None:
            if reference.get("optional"):
                return None
            raise ConfigError(
                f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}"
            )
        return _decode(value) if kind == "Secret" else str(value)
    if reference := source.get("fileKeyRef"):
        return await asyncio.to_thread(_from_file, reference, volumes)
    return ""


def _from_file(reference: Object, volumes: Mapping[str, str]) -> str | None:
    if (root := volumes.get(reference["volumeName"])) is None:
        raise ConfigError(f'cannot find the volume "{reference["volumeName"]}" referenced by FileKeyRef')
    path = os.path.realpath(os.path.join(root, reference["path"].lstrip("/")))
    try:
        if not path.startswith(os.path.realpath(root) + "/"):
            raise ValueError(path)
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            value = read_env_file(file.read(), reference["key"])
    except (OSError, ValueError):
        raise ConfigError("couldn't parse env file") from None
    if value or reference.get("optional"):
        return value or None
    raise ConfigError(f'environment variable key "{reference["key"]}" not found in file "{path}"')


def read_env_file(text: str, key: str) -> str:
    """Of KEP-3721's `NAME='value'` lines: in single quotes, over several lines if need be; "": not there. Raises ValueError."""
    lines = iter(text.split("\n"))
    for line in lines:
        line = line.rstrip("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name or name != name.rstrip(" \t"):
            raise ValueError(line)
        if value[:1] in (" ", "\t"):  # as a shell reads it: nothing is assigned
            value = "''"
        if not value.startswith("'"):
            raise ValueError(line)
        value = value[1:]
        while "'" not in value:
            if (more := next(lines, None)) is None:
                raise ValueError(line)
            value += "\n" + more.rstrip("\r")
        value, _, rest = value.partition("'")
        if rest.strip(" \t")[:1] not in ("", "#"):
            raise ValueError(line)
        if name == key:
            return value
    return ""


def limits_by_default(pod: Object, allocatable: Mapping[str, str]) -> dict[str, str]:
    """What a container without limits of its own may use: its pod's limits, else what the node has."""
    whole = ((pod["spec"].get("resources") or {}).get("limits") or {}).items()
    return {**allocatable, **{name: value for name, value in whole if name in ("cpu", "memory")}}


def container_named(pod: Object, name: str) -> Object:
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in pod["spec"].get(key) or ():
            if container["name"] == name:
                return dict(container)
    raise ConfigError(f"container {name} not found")


def field_value(pod: Object, path: str) -> str:
    """The downward API's fields. Raises ConfigError."""
    spec, status = pod["spec"], pod.get("status") or {}
    if path.endswith("']") and "['" in path:
        field, _, key = path[:-2].partition("['")
        values = {"metadata.labels": labels_of(pod), "metadata.annotations": annotations_of(pod)}.get(field)
        if values is not None:
            return values.get(key, "")
    simple = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "status.hostIP": status.get("hostIP") or "",
        "status.hostIPs": ",".join(entry["ip"] for entry in status.get("hostIPs") or ()),
        "status.podIP": status.get("podIP") or "",
        "status.podIPs": ",".join(entry["ip"] for entry in status.get("podIPs") or ()),
    }
    if path in simple:
        return simple[path]
    if path in ("metadata.labels", "metadata.annotations"):
        values = labels_of(pod) if path.endswith("labels") else annotations_of(pod)
        return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(values.items()))
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_value(container: Object, resource: str, divisor: str, allocatable: Mapping[str, str]) -> str:
    """`limits.cpu`, `requests.memory`, …; a limit that is not set is the node's allocatable. Rounded up."""
    which, _, name = resource.partition(".")
    resources = container.get("resources") or {}
    value = (resources.get(which) or {}).get(name)
    if which == "limits" and not Quantity.of(value or "0").number:
        value = allocatable.get(name, "0")
    number = Quantity.of(value or "0").number
    unit = Quantity.of(divisor).number or 1
    result = number / unit
    return str(-(-result.numerator // result.denominator))


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)`; `$$` is a dollar; a name that is not known stays (third_party/forked/golang/expansion)."""
    if "$" not in text:
        return text
    out: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char != "$" or position + 1 == len(text):
            out.append(char)
            position += 1
            continue
        following = text[position + 1]
        if following == "$":
            out.append("$")
            position += 2
        elif following == "(":
            end = text.find(")", position + 2)
            if end < 0:
                out.append("$(")
                position += 2
                continue
            name = text[position + 2 : end]
            out.append(values[name] if name in values else f"$({name})")
            position = end + 1
        else:
            out.append(char + following)
            position += 2
    return "".join(out)


def service_variables(services: Iterable[Object], namespace: str, links: bool) -> dict[str, str]:
    """`WEB_SERVICE_HOST` and its kin, of the services of the namespace; of `kubernetes` always."""
    chosen: dict[str, Object] = {}
    for service in services:
        spec = service.get("spec") or {}
        if spec.get("clusterIP") in (None, "", "None") or spec.get("type") == "ExternalName":
            continue
        master = name_of(service) == "kubernetes" and namespace_of(service) == "default"
        if namespace_of(service) == namespace and links:
            chosen[name_of(service)] = service
        elif master:
            chosen.setdefault("kubernetes", service)
    found: dict[str, str] = {}
    for name in sorted(chosen):
        spec = chosen[name]["spec"]
        ports = spec.get("ports") or []
        if not ports:
            continue
        prefix, host = name.replace("-", "_").upper(), spec["clusterIP"]
        found[f"{prefix}_SERVICE_HOST"] = host
        found[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                found[f"{prefix}_SERVICE_PORT_{port['name'].replace('-', '_').upper()}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                found[f"{prefix}_PORT"] = url
            base = f"{prefix}_PORT_{port['port']}_{protocol}"
            found[base] = url
            found[f"{base}_PROTO"] = protocol.lower()
            found[f"{base}_PORT"] = str(port["port"])
            found[f"{base}_ADDR"] = host
    return found
