"""From a method and a path to what is asked for: `RequestInfo`, the value that authorization and dispatch work on.

The forms of a path (k8s.io/apiserver/pkg/endpoints/request): `/api/v1/…` and `/apis/<group>/<version>/…`, then
`namespaces/<namespace>/<resource>/<name>/<subresource>/…`, or without the first two for what has no namespace. Whatever does not
begin like that is no resource: `/healthz`, `/version`, `/openapi/v3`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..api.kinds import Kind
    from .resources import Answer

# what may follow a namespace's own name without being a resource in it
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})

REMEMBERED_PATH_MAX = 1024

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)  # not frozen: that costs a microsecond a request
class RequestInfo:
    """Read-only, shared by requests alike. `verb` is Kubernetes' (get, list, watch, create, update, patch, delete, deletecollection), or the method in lower case where
    `resource` is empty."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""  # the plural
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: str = ""  # what follows the subresource: the path of a proxy request
    served_by: tuple[Callable[..., Answer], Kind] | None = None
    """(verb's function, kind), once dispatch has found them for a built-in kind."""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


def parse_query(query: str) -> dict[str, list[str]]:
    return parse_qs(query, keep_blank_values=True) if query else {}


def is_true(text: str) -> bool:
    """How a bool in a query is read (`Convert_Slice_string_To_bool`): any value but "0" and "false" is true."""
    return text.lower() not in ("0", "false")


def request_info(method: str, path: str, parameters: dict[str, list[str]]) -> RequestInfo:
    if "watch" in parameters or len(path) > REMEMBERED_PATH_MAX:
        return _request_info(method, path, parameters)
    return _of_path(method, path)


@lru_cache(maxsize=8192)
def _of_path(method: str, path: str) -> RequestInfo:
    """Clients ask for the same things again and again."""
    return _request_info(method, path, {})


def _request_info(method: str, path: str, parameters: dict[str, list[str]]) -> RequestInfo:
    parts = [part for part in path.split("/") if part]
    lower = method.lower()
    if len(parts) >= 3 and parts[0] == "api":
        group, version, parts = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(path, lower)
    verb = VERBS.get(method, "")
    watching = False
    if parts[0] in ("watch", "proxy") and len(parts) > 1:
        watching = parts[0] == "watch"
        if not watching:
            verb = "proxy"
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces":
        if len(parts) > 1:
            namespace = parts[1]
            if len(parts) > 2 and parts[2] not in NAMESPACE_SUBRESOURCES:
                parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    rest = "/".join(parts[3:])
    if rest and path.endswith("/"):
        rest += "/"
    if not name and verb == "get":
        verb = "list"
        wanted = parameters.get("watch")
        if wanted and is_true(wanted[0]):
            watching = True
    if watching and verb in ("get", "list"):
        verb = "watch"
    if not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(path, verb, group, version, resource, subresource, namespace, name, rest)


def authorized_name(info: RequestInfo, parameters: dict[str, list[str]]) -> str:
    """The name that rules with resourceNames see: a list or watch of one object by `metadata.name` counts as that object."""
    if info.name or info.verb not in ("list", "watch"):
        return info.name
    for clause in (parameters.get("fieldSelector") or [""])[0].split(","):
        field, equals, value = clause.partition("=")
        if field.strip() == "metadata.name" and equals:
            return value.lstrip("=").strip()
    return ""
