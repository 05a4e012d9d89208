"""Every path and operation that a kind has, as values that both OpenAPI versions are written from.

Names of operations follow Kubernetes' (`listCoreV1NamespacedPod`), because generated clients have them as their methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .kinds import Kind, Subresource

JSON_YAML = ("application/json", "application/yaml")
BODY_TYPES = (*JSON_YAML, "application/vnd.kubernetes.protobuf")
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)
_DELETE_COLLECTION = (*_DELETE, *(name for name in _LIST if name not in ("allowWatchBookmarks", "watch")))
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_CONNECT: dict[str, tuple[str, ...]] = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "portforward": ("ports",),
    "proxy": ("path",),
}
_LOG = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
)
_STATUS_TYPE = "meta.v1.Status"


@dataclass(frozen=True, slots=True)
class Operation:
    path: str
    method: str
    id: str
    action: str
    """`x-kubernetes-action`; "" for discovery."""
    tag: str
    description: str
    answers: tuple[tuple[int, str], ...]
    """(code, type): a type of the schema table, `kind:Widget` for a custom one, or "" for text."""
    gvk: tuple[str, str, str] | None = None
    body: str = ""
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = JSON_YAML
    query: tuple[str, ...] = ()
    body_required: bool = True
    name_of: str = ""
    """The kind that `{name}` names, where the path has one."""


def group_word(group: str) -> str:
    """`RbacAuthorization` for rbac.authorization.k8s.io; `Core`."""
    words = re.split(r"[.-]", group.removesuffix(".k8s.io")) if group else ["core"]
    return "".join(word[:1].upper() + word[1:] for word in words)


def group_tag(group: str) -> str:
    word = group_word(group)
    return word[0].lower() + word[1:]


def base_path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def operations(kind: Kind, type_name: str, list_type_name: str) -> Iterator[Operation]:
    """All of a kind's, its subresources' among them."""
    builder = _Builder(kind, type_name, list_type_name)
    yield from builder.collection()
    yield from builder.item()
    for subresource in kind.subresources:
        yield from builder.subresource(subresource)
    if "watch" in kind.verbs and not kind.custom:
        yield from builder.watch()


class _Builder:
    def __init__(self, kind: Kind, type_name: str, list_type_name: str):
        self.kind, self.type, self.list_type = kind, type_name, list_type_name
        self.base = base_path(kind.group, kind.version)
        self.word = group_word(kind.group) + kind.version[:1].upper() + kind.version[1:]
        self.scope = "Namespaced" if kind.namespaced else ""
        self.tag = f"{group_tag(kind.group)}_{kind.version}"
        self.gvk = (kind.group, kind.version, kind.kind)
        within = "/namespaces/{namespace}" if kind.namespaced else ""
        self.collection_path = f"{self.base}{within}/{kind.plural}"
        self.item_path = f"{self.collection_path}/{{name}}"
        self.bodies = JSON_YAML if kind.custom else BODY_TYPES
        self.lists = JSON_YAML if kind.custom else (*JSON_YAML, "application/json;stream=watch")
        self.patches = tuple(t for t in _PATCH_TYPES if not (kind.custom and "strategic" in t))

    def collection(self) -> Iterator[Operation]:
        kind, name = self.kind, self.kind.kind
        if "list" in kind.verbs:
            yield self.operation(
                self.collection_path,
                "get",
                f"list{self.word}{self.scope}{name}",
                "list",
                f"list or watch objects of kind {name}",
                ((200, self.list_type),),
                query=_LIST,
                produces=self.lists,
            )
            if kind.namespaced:
                yield self.operation(
                    f"{self.base}/{kind.plural}",
                    "get",
                    f"list{self.word}{name}ForAllNamespaces",
                    "list",
                    f"list or watch objects of kind {name}",
                    ((200, self.list_type),),
                    query=_LIST,
                    produces=self.lists,
                )
        if "create" in kind.verbs:
            yield self.operation(
                self.collection_path,
                "post",
                f"create{self.word}{self.scope}{name}",
                "post",
                f"create {_a(name)}",
                ((200, self.type), (201, self.type), (202, self.type)),
                body=self.type,
                query=_WRITE,
            )
        if "deletecollection" in kind.verbs:
            yield self.operation(
                self.collection_path,
                "delete",
                f"delete{self.word}Collection{self.scope}{name}",
                "deletecollection",
                f"delete collection of {name}",
                ((200, _STATUS_TYPE),),
                body="" if kind.custom else "meta.v1.DeleteOptions",
                body_required=False,
                query=_LIST if kind.custom else _DELETE_COLLECTION,
            )

    def item(self) -> Iterator[Operation]:
        kind, name = self.kind, self.kind.kind
        yield from self.read_update_patch(self.item_path, kind.verbs, "", name, self.type, self.gvk)
        if "delete" in kind.verbs:
            # Some kinds answer with what was deleted, most with a Status.
            answer = self.type if kind.plural in _DELETED_OBJECTS else _STATUS_TYPE
            yield self.operation(
                self.item_path,
                "delete",
                f"delete{self.word}{self.scope}{name}",
                "delete",
                f"delete {_a(name)}",
                ((200, answer), (202, answer)),
                body="meta.v1.DeleteOptions",
                body_required=False,
                query=_DELETE,
            )

    def read_update_patch(
        self,
        path: str,
        verbs: tuple[str, ...],
        suffix: str,
        name: str,
        type_name: str,
        gvk: tuple[str, str, str],
    ) -> Iterator[Operation]:
        what = f"{suffix.lower()} of the specified {name}" if suffix else f"the specified {name}"
        identity = f"{self.word}{self.scope}{name}{suffix}"
        if "get" in verbs:
            yield self.operation(
                path,
                "get",
                f"read{identity}",
                "get",
                f"read {what}",
                ((200, type_name),),
                query=("resourceVersion",) if self.kind.custom else (),
                gvk=gvk,
            )
        if "update" in verbs:
            yield self.operation(
                path,
                "put",
                f"replace{identity}",
                "put",
                f"replace {what}",
                ((200, type_name), (201, type_name)),
                body=type_name,
                query=_WRITE,
                gvk=gvk,
            )
        if "patch" in verbs:
            yield self.operation(
                path,
                "patch",
                f"patch{identity}",
                "patch",
                f"partially update {what}",
                ((200, type_name),) if self.kind.custom else ((200, type_name), (201, type_name)),
                body="meta.v1.Patch",
                consumes=self.patches,
                query=(*_WRITE, "force"),
                gvk=gvk,
            )

    def subresource(self, sub: Subresource) -> Iterator[Operation]:
        kind = self.kind
        path = f"{self.item_path}/{sub.name}"
        group, version = (sub.group, sub.version) if sub.version else (kind.group, kind.version)
        gvk = self.gvk if kind.custom else (group, version, sub.kind)
        suffix = sub.name.capitalize()
        if sub.name in _CONNECT:
            methods = [_CONNECT_METHODS[verb] for verb in sub.verbs]
            if sub.name == "proxy":
                methods += ["head", "options"]
            for method in methods:
                yield from self.connect(path, method, sub, suffix, gvk)
            return
        if sub.name == "log":
            yield self.operation(
                path,
                "get",
                f"read{self.word}{self.scope}{kind.kind}Log",
                "get",
                f"read log of the specified {kind.kind}",
                ((200, ""),),
                query=_LOG,
                produces=("text/plain", *JSON_YAML),
            )
            return
        if sub.kind == kind.kind:
            type_name = self.type
        else:
            type_name = f"{group.partition('.')[0] or 'core'}.{version}.{sub.kind}"
        if "create" in sub.verbs:
            yield self.operation(
                path,
                "post",
                f"create{self.word}{self.scope}{kind.kind}{suffix}",
                "post",
                f"create {sub.name} of {_a(kind.kind)}",
                ((200, type_name), (201, type_name), (202, type_name)),
                body=type_name,
                query=_WRITE,
                gvk=gvk,
            )
        yield from self.read_update_patch(path, sub.verbs, suffix, kind.kind, type_name, gvk)

    def connect(
        self, path: str, method: str, sub: Subresource, suffix: str, gvk: tuple[str, str, str]
    ) -> Iterator[Operation]:
        forms = [("", "")] + ([("/{path}", "WithPath")] if sub.name == "proxy" else [])
        for more, form in forms:
            yield self.operation(
                path + more,
                method,
                f"connect{self.word}{method.capitalize()}{self.scope}{self.kind.kind}{suffix}{form}",
                "connect",
                f"connect {method.upper()} requests to {sub.name} of {self.kind.kind}",
                ((200, ""),),
                query=_CONNECT[sub.name],
                produces=("*/*",),
                gvk=gvk,
            )

    def watch(self) -> Iterator[Operation]:
        """The old paths, from before lists could be watched. They still work."""
        name, plural = self.kind.kind, self.kind.plural
        within = "/namespaces/{namespace}" if self.kind.namespaced else ""
        forms = [
            (f"{within}/{plural}", f"{self.scope}{name}List", "watchlist"),
            (f"{within}/{plural}/{{name}}", f"{self.scope}{name}", "watch"),
        ]
        if self.kind.namespaced:
            forms.append((f"/{plural}", f"{name}ListForAllNamespaces", "watchlist"))
        for path, identity, action in forms:
            yield self.operation(
                f"{self.base}/watch{path}",
                "get",
                f"watch{self.word}{identity}",
                action,
                f"watch {name}; deprecated: use the 'watch' parameter of a list instead",
                ((200, "meta.v1.WatchEvent"),),
                query=_LIST,
                produces=self.lists,
            )

    def operation(
        self,
        path: str,
        method: str,
        identity: str,
        action: str,
        description: str,
        answers: tuple[tuple[int, str], ...],
        *,
        gvk: tuple[str, str, str] | None = None,
        body: str = "",
        body_required: bool = True,
        consumes: tuple[str, ...] = (),
        produces: tuple[str, ...] = JSON_YAML,
        query: tuple[str, ...] = (),
    ) -> Operation:
        return Operation(
            path=path,
            method=method,
            id=identity,
            action=action,
            tag=self.tag,
            description=description,
            answers=answers,
            gvk=gvk or self.gvk,
            body=body,
            consumes=consumes or (self.bodies if body else ()),
            produces=produces,
            query=query,
            body_required=body_required,
            name_of=self.kind.kind,
        )


_DELETED_OBJECTS = frozenset(
    (
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "podtemplates",
        "resourcequotas",
        "storageclasses",
        "csidrivers",
        "csinodes",
        "volumeattachments",
        "volumeattributesclasses",
        "resourceclaims",
        "resourceclaimtemplates",
        "resourceslices",
        "deviceclasses",
    )
)
_CONNECT_METHODS = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
