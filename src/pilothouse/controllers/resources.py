"""Which resources there are, for the two controllers that look at all of them (namespaces, garbage)."""

from __future__ import annotations

from functools import cache

from ..api.kinds import KINDS, Kind, find_gvk, kind_of_resource

_NEEDED_VERBS = {"delete", "list", "watch"}
_IGNORED = {"events", "events.events.k8s.io"}  # upstream's garbage collector ignores them too; they age out


@cache
def deletable_resources() -> tuple[str, ...]:
    """One name for each stored kind, in the table's order."""
    return tuple(
        kind.resource for kind in KINDS if kind.is_storage_version and set(kind.verbs) >= _NEEDED_VERBS
    )


@cache
def owned_resources() -> tuple[str, ...]:
    """Those that may own or be owned."""
    return tuple(r for r in deletable_resources() if r not in _IGNORED)


@cache
def is_namespaced(resource: str) -> bool:
    return kind_of_resource(resource).namespaced


def resource_of_reference(api_version: str, kind: str) -> Kind | None:
    """The built-in kind that an owner reference names; any served version will do."""
    group, _, version = api_version.rpartition("/")
    found = find_gvk(group, version, kind)
    if found is None or found.is_storage_version:
        return found
    return next(
        (k for k in KINDS if k.kind == kind and k.group == found.storage_group and k.is_storage_version),
        found,
    )
