"""Lists: selection by labels and fields on what the cache extracted, pages, and lists at a version of the past."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..api.errors import ApiError, bad_request
from ..api.kinds import Kind, storage_kind
from ..api.object import Object
from ..store.interface import Compacted
from .answers import dumps, list_bytes, shaped_list
from .conversion import EVENT_FIELDS, from_storage
from .negotiation import negotiate
from .options import ListOptions, check_list_options, check_resource_version, list_options, too_large_resource_version
from .registry.storage import Entry
from .request import Request, Response
from .selection import Selection, selection_of

if TYPE_CHECKING:
    from .resources import Resources

TOO_OLD_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and "
    "now may show up in the list."
)


@dataclass(slots=True)
class Found:
    entries: list[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


def list_answer(resources: Resources, request: Request, kind: Kind) -> Any:
    options = list_options(request)
    form = negotiate(request.headers.get("accept", ""))
    check_list_options(options, watch=False)
    asked = check_resource_version(options.resource_version)
    current = resources.storage.cache.revision
    if asked > current:
        raise too_large_resource_version(asked, current)
    if options.continue_token:
        if options.resource_version and options.resource_version != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        revision, start = decode_continue(options.continue_token)
    else:
        revision, start = (asked if options.resource_version_match == "Exact" or _exact_page(options) else 0), ""
    if revision < 0:
        revision, consistent = 0, False
    else:
        consistent = True
    if revision and revision != current:
        return _list_past(resources, request, kind, options, revision, start)
    found = select(resources, request, kind, options, start)
    del consistent
    return _answer(resources, request, kind, form, found)


def _exact_page(options: ListOptions) -> bool:
    """A limit with a version but without a match is served from exactly that version (API concepts, "resource versions")."""
    return bool(options.limit > 0 and options.resource_version not in ("", "0") and not options.resource_version_match)


def select(resources: Resources, request: Request, kind: Kind, options: ListOptions, start: str = "") -> Found:
    """From the cache, as of now."""
    assert request.info is not None
    selection = selection_of(kind, options)
    cache = resources.storage.cache
    prefix = scope(kind, request.info.namespace)
    name = selection.single_name
    if request.info.name:
        name = request.info.name
    if name and (request.info.namespace or not kind.namespaced) and not start:
        entry = cache.get(prefix + name)
        found = [entry] if entry is not None and selection.matches(entry) else []
        return Found(found, cache.revision)
    entries = cache.entries(prefix, start)
    if selection.everything:
        return page(entries if isinstance(entries, list) else list(entries), options, prefix, cache.revision, counted=True)
    return page([e for e in entries if selection.matches(e)], options, prefix, cache.revision, counted=False)


def page(entries: list[Entry], options: ListOptions, prefix: str, revision: int, *, counted: bool) -> Found:
    if options.limit <= 0 or len(entries) <= options.limit:
        return Found(entries, revision)
    cut = entries[: options.limit]
    remaining = len(entries) - options.limit if counted else None
    return Found(cut, revision, encode_continue(revision, cut[-1].key + "\0"), remaining)


def scope(kind: Kind, namespace: str) -> str:
    return f"{kind.prefix}{namespace}/" if namespace and kind.namespaced else kind.prefix


def encode_continue(revision: int, start: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, key to start at). A revision below 0: continue with whatever is there now."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if len(token) % 4 == 1:
            raise binascii.Error
    except binascii.Error:
        position = next((i for i, c in enumerate(token) if not (c.isalnum() or c in "-_")), len(token) - len(token) % 4)
        raise bad_request(f"invalid continue token: continue key is not valid: illegal base64 data at input byte {position}")
    try:
        value = orjson.loads(raw)
        if value["v"] != "meta.k8s.io/v1":
            raise bad_request("invalid continue token: continue key is not valid: server does not recognize this encoded version")
        return int(value["rv"]), str(value["start"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise bad_request("invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")


async def _list_past(
    resources: Resources, request: Request, kind: Kind, options: ListOptions, revision: int, start: str
) -> Response:
    """At a version of the past, from the store's history."""
    assert request.info is not None
    prefix = scope(kind, request.info.namespace)
    selection = selection_of(kind, options)
    form = negotiate(request.headers.get("accept", ""))
    storage = resources.storage
    try:
        held = await storage.store.range(prefix, start=start, revision=revision)
    except Compacted:
        message = f"The provided resource version is too old: {revision}" if not start else TOO_OLD_CONTINUE
        error = ApiError(410, "Expired", message, details=False)
        if start:
            error.continue_token = encode_continue(-1, start)
        raise error
    entries = [storage.cache.entry_of(record) for record in held.records]
    chosen = [entry for entry in entries if selection.matches(entry)]
    found = page(chosen, options, prefix, revision, counted=selection.everything)
    return _answer(resources, request, kind, form, found)


def _answer(resources: Resources, request: Request, kind: Kind, form: Any, found: Found) -> Response:
    metadata: Object = {"resourceVersion": str(found.revision)}
    if found.continue_token:
        metadata["continue"] = found.continue_token
        if found.remaining is not None:
            metadata["remainingItemCount"] = found.remaining
    if form.plain and kind.is_storage_version:
        return Response(200, [], list_bytes(kind, metadata, (entry.item_bytes for entry in found.entries)))
    items = [from_storage(kind, entry.object) for entry in found.entries]
    include = request.parameter("includeObject")
    value = shaped_list(kind, items, metadata, form, now=resources.clock.now(), include=include)
    return Response(200, [], dumps(value, form), content_type=form.media)


__all__ = ["EVENT_FIELDS", "Found", "Selection", "list_answer", "select", "storage_kind"]
