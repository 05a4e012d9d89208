"""Lists: selection by labels and fields on what the cache extracted, pages, and lists at a version of the past."""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ..api.decode_text import SyntaxFailure, parse_json
from ..api.decode_values import go_kind
from ..api.errors import ApiError, bad_request
from ..api.kinds import Kind
from ..api.object import Object
from ..store.interface import Compacted
from .answers import dumps, list_bytes, list_chunks, shaped_list
from .negotiation import LISTS, PARTIAL_LIST, TABLE, Form, negotiate
from .options import (
    ListOptions,
    check_list_options,
    check_resource_version,
    list_options,
    too_large_resource_version,
)
from .registry.storage import Entry
from .request import Request, Response
from .selection import Selection, selection_of

if TYPE_CHECKING:
    from .resources import Resources

WHOLE_MAX = 200  # entries of a list that are put into one answer; a longer one goes out in pieces
TOO_OLD_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and "
    "now may show up in the list."
)


class Expired(ApiError):
    """410. `continue_token` goes on with what is there now."""

    def __init__(self, message: str, continue_token: str):
        super().__init__(410, "Expired", message, details=False)
        self.continue_token = continue_token

    def status(self) -> Object:
        status = super().status()
        if self.continue_token:
            status["metadata"] = {"continue": self.continue_token}
        return status


@dataclass(slots=True)
class Found:
    entries: list[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


def list_answer(resources: Resources, request: Request, kind: Kind) -> Response | Awaitable[Response]:
    options = list_options(request)
    form = negotiate(request.headers.get("accept", ""), produced=() if kind.custom else LISTS)
    check_list_options(options, watch=False)
    found = select_at(resources, request, kind, options)
    if isinstance(found, Found):
        return _answer(resources, request, kind, form, found)
    return _answer_later(resources, request, kind, form, found)


async def _answer_later(
    resources: Resources, request: Request, kind: Kind, form: Form, found: Awaitable[Found]
) -> Response:
    return _answer(resources, request, kind, form, await found)


async def select_async(resources: Resources, request: Request, kind: Kind, options: ListOptions) -> Found:
    found = select_at(resources, request, kind, options)
    return found if isinstance(found, Found) else await found


def select_at(
    resources: Resources, request: Request, kind: Kind, options: ListOptions
) -> Found | Awaitable[Found]:
    """At the version that the options ask for: now from the cache, at once; the past from the store's history."""
    current = resources.storage.cache.revision
    start = ""
    if options.continue_token:
        selection_of(kind, options)  # what is wrong with the selectors is said first
        revision, start = decode_continue(options.continue_token)
        if options.resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
    else:
        asked = check_resource_version(options.resource_version)
        if asked > current:
            selection_of(kind, options)
            wait_s = 0 if options.resource_version_match == "Exact" else 1
            raise too_large_resource_version(asked, current, wait_s)
        revision = asked if options.resource_version_match == "Exact" or _exact_page(options) else 0
    if revision > 0 and revision != current:
        return _select_past(resources, request, kind, options, revision, start)
    return select(resources, request, kind, options, start)


def _exact_page(options: ListOptions) -> bool:
    """A limit with a version but without a match is served from exactly that version (API concepts, "resource versions")."""
    return bool(
        options.limit > 0 and options.resource_version not in ("", "0") and not options.resource_version_match
    )


def select(
    resources: Resources, request: Request, kind: Kind, options: ListOptions, start: str = ""
) -> Found:
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
    start = start and prefix + start
    return page(cache.entries(prefix, start), selection, options, cache.revision, prefix)


def page(
    entries: list[Entry], selection: Selection, options: ListOptions, revision: int, prefix: str
) -> Found:
    """At most `limit` of those that match. Whether there is more is a matter of what is left, matching or not (as in etcd3's store)."""
    limit = options.limit
    if limit <= 0 or options.resource_version == "0":  # what a cache has at hand is not worth cutting
        return Found(
            entries if selection.everything else [e for e in entries if selection.matches(e)], revision
        )
    if selection.everything:
        if len(entries) <= limit:
            return Found(entries, revision)
        cut = entries[:limit]
        token = encode_continue(revision, cut[-1].key[len(prefix) :] + "\0")
        return Found(cut, revision, token, len(entries) - limit)
    found: list[Entry] = []
    for i, entry in enumerate(entries):
        if selection.matches(entry):
            found.append(entry)
            if len(found) == limit:
                more = i + 1 < len(entries)
                token = encode_continue(revision, entry.key[len(prefix) :] + "\0") if more else ""
                return Found(found, revision, token)
    return Found(found, revision)


def scope(kind: Kind, namespace: str) -> str:
    return f"{kind.prefix}{namespace}/" if namespace and kind.namespaced else kind.prefix


def encode_continue(revision: int, start: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": f"/{start}"})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, key to start at, below the list's own). A revision below 0: continue with whatever is there now."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if len(token) % 4 == 1:
            raise binascii.Error
    except (binascii.Error, ValueError):
        position = next(
            (i for i, c in enumerate(token) if not (c.isascii() and (c.isalnum() or c in "-_"))),
            len(token) - len(token) % 4,
        )
        raise _bad_continue(f": illegal base64 data at input byte {position}")
    try:
        value = parse_json(raw, find_duplicates=False).value
    except SyntaxFailure as failure:
        raise _bad_continue(f": {failure}")
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise _bad_continue(
            f": json: cannot unmarshal {go_kind(value)} into Go value of type storage.continueToken"
        )
    for field, type_ in (("v", str), ("rv", int), ("start", str)):
        if (given := value.get(field)) is not None and type(given) is not type_:
            go_type = "int64" if type_ is int else "string"
            where = f"Go struct field continueToken.{field} of type {go_type}"
            raise _bad_continue(f": json: cannot unmarshal {go_kind(given)} into {where}")
    version, revision, start = value.get("v") or "", value.get("rv") or 0, value.get("start") or ""
    if version != "meta.k8s.io/v1":
        raise _bad_continue(f": server does not recognize this encoded version {version}")
    if not revision:
        raise _bad_continue(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _bad_continue(": encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else f"/{start}"
    if posixpath.normpath(key) != key:
        raise _bad_continue(f": {start}")
    return revision, key[1:]


def _bad_continue(why: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid{why}")


async def _select_past(
    resources: Resources, request: Request, kind: Kind, options: ListOptions, revision: int, start: str
) -> Found:
    assert request.info is not None
    prefix = scope(kind, request.info.namespace)
    selection = selection_of(kind, options)
    storage = resources.storage
    try:
        held = await storage.store.range(prefix, start=start and prefix + start, revision=revision)
    except Compacted:
        message = TOO_OLD_CONTINUE if start else "The resourceVersion for the provided list is too old."
        raise Expired(message, encode_continue(-1, start) if start else "")
    entries = [storage.cache.entry_of(record) for record in held.records]
    return page(entries, selection, options, revision, prefix)


def list_metadata(kind: Kind, found: Found, form: Form) -> Object:
    metadata: Object = {"resourceVersion": str(found.revision)}
    if found.continue_token:
        metadata["continue"] = found.continue_token
        if found.remaining is not None:
            metadata["remainingItemCount"] = found.remaining
    if kind.custom and form.as_kind not in (PARTIAL_LIST, TABLE):
        metadata.setdefault("continue", "")
    return metadata


def _answer(resources: Resources, request: Request, kind: Kind, form: Form, found: Found) -> Response:
    metadata = list_metadata(kind, found, form)
    if form.plain and kind.verbatim:
        items_bytes = (entry.bytes if kind.custom else entry.item_bytes for entry in found.entries)
        if len(found.entries) > WHOLE_MAX and "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(200, [], stream=list_chunks(kind, metadata, items_bytes))
        return Response(200, [], list_bytes(kind, metadata, items_bytes))
    items = [entry.object for entry in found.entries]
    include = request.parameter("includeObject")
    value = shaped_list(kind, items, metadata, form, now=resources.clock.now(), include=include)
    return Response(200, [], dumps(value, form), content_type=form.media)
