"""Watches: a cursor into the log of changes, a filter, and the event's bytes in the form that was asked for.

What a filter does to events: an object that comes into the selection is ADDED, one that leaves it is DELETED (shown as it was, with the version
of the change), whatever the store calls it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson

from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import Object
from ..store.interface import Compacted
from .answers import partial, table
from .cache import Change, Entry, left
from .conversion import from_storage
from .negotiation import PARTIAL, PARTIAL_LIST, TABLE, Form, negotiate, not_acceptable
from .options import ListOptions, check_list_options, list_options
from .reads import scope
from .request import Request, Response
from .selection import Selection, selection_of

if TYPE_CHECKING:
    from .resources import Resources

BOOKMARK_EVERY_S = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def watch_answer(resources: Resources, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    options = list_options(request)
    form = negotiate(request.headers.get("accept", ""), watch=True)
    if form.as_kind == PARTIAL_LIST:
        raise not_acceptable()
    check_list_options(options, watch=True)
    asked = watch_version(options.resource_version)
    selection = selection_of(kind, options, request.info.name)
    watch = Watch(resources, kind, request.info.namespace, selection, options, asked)
    stream = watch.bytes(form, request.parameter("includeObject"))
    return Response(
        200, [("Cache-Control", "no-cache, private")], stream=stream, content_type="application/json"
    )


def watch_version(text: str) -> int:
    if not text:
        return 0
    if not text.isdigit() or not text.isascii():
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(500, "", f"resourceVersion: {why}", details=False)
    return int(text)


class Event:
    """One event of one watch: `type`, and the change it comes from (None: an initial event, of `entry`)."""

    __slots__ = ("change", "entry", "type")

    def __init__(self, type_: str, entry: Entry, change: Change | None = None):
        self.type, self.entry, self.change = type_, entry, change

    def object(self) -> Object:
        """For an object that left the selection: as it was, at the version of the change."""
        change = self.change
        if (
            change is not None
            and self.type == "DELETED"
            and not change.deleted
            and change.previous is not None
        ):
            return left(change.previous, change.revision)
        return self.entry.object

    def line(self) -> bytes:
        if self.change is not None:
            return self.change.line(self.type)
        return b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.entry.bytes)


class Watch:
    """One watch. `events` yields lists of Event (empty: nothing for us, but the log has moved on)."""

    def __init__(
        self,
        resources: Resources,
        kind: Kind,
        namespace: str,
        selection: Selection,
        options: ListOptions,
        asked: int,
    ):
        self._resources, self._kind, self._options = resources, kind, options
        self._prefix = scope(kind, namespace)
        self._selection = selection
        self._asked = asked
        self.revision = asked

    async def events(self) -> AsyncIterator[list[Event]]:
        """Raises Compacted."""
        cache = self._resources.storage.cache
        initial = self._options.initial_events
        start = self._asked
        if initial or (initial is None and self._asked == 0):
            if self._asked:
                await cache.wait_for(self._asked)
            start = cache.revision
            found = [e for e in cache.entries(self._prefix) if self._selection.matches(e)]
            self.revision = start
            yield [Event("ADDED", entry) for entry in found]
        elif initial is False and self._asked == 0:
            start = cache.revision
            self.revision = start
        matches = self._selection.matches
        async for batch in cache.watch(self._prefix, start):
            out = []
            for change in batch:
                now = not change.deleted and matches(change.entry)
                before = change.previous is not None and matches(change.previous)
                if now:
                    out.append(Event("MODIFIED" if before else "ADDED", change.entry, change))
                elif before:
                    out.append(Event("DELETED", change.entry, change))
            self.revision = max(self.revision, cache.revision if not batch else batch[-1].revision)
            yield out

    async def bytes(self, form: Form, include: str) -> AsyncIterator[bytes]:
        """The stream of the answer: one JSON object a line, until the time is over or the client gone."""
        loop = asyncio.get_running_loop()
        low, high = self._resources.registry.config.watch_timeout_s
        timeout = float(self._options.timeout_s) or self._resources.registry.random.uniform(low, high)
        ends = loop.time() + timeout
        next_bookmark = loop.time() + BOOKMARK_EVERY_S
        encoder = Encoder(self._kind, form, include, self._resources)
        bookmarks = self._options.bookmarks
        events = self.events()
        pending: asyncio.Future[Any] | None = None
        initial = bool(self._options.initial_events)
        try:
            yield b""
            while True:
                now = loop.time()
                if pending is None:
                    pending = asyncio.ensure_future(anext(events))
                until = min(ends, next_bookmark) if bookmarks else ends
                if not pending.done():
                    await asyncio.wait([pending], timeout=max(0.0, until - now))
                if pending.done():
                    try:
                        batch = pending.result()
                    except Compacted:
                        yield encoder.error(too_old(self._asked))
                        return
                    except StopAsyncIteration:
                        return
                    pending = None
                    if batch:
                        yield b"".join(encoder.event(event) for event in batch)
                    if initial:
                        initial = False
                        if bookmarks:
                            yield encoder.bookmark(self.revision, initial=True)
                now = loop.time()
                if now >= ends:
                    return
                if bookmarks and now >= next_bookmark:
                    next_bookmark = now + BOOKMARK_EVERY_S
                    yield encoder.bookmark(self.revision)
        finally:
            if pending is not None:
                pending.cancel()
                try:
                    await pending
                except (asyncio.CancelledError, StopAsyncIteration, Compacted):
                    pass
            await events.aclose()  # type: ignore[attr-defined]


def too_old(asked: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked}", details=False)


class Encoder:
    """Events to lines. Shared bytes where the form is plain."""

    def __init__(self, kind: Kind, form: Form, include: str, resources: Resources):
        self._kind, self._form, self._include, self._resources = kind, form, include, resources
        self._first = True
        self._plain = form.plain and kind.is_storage_version

    def event(self, event: Event) -> bytes:
        if self._plain:
            return event.line()
        obj = from_storage(self._kind, event.object())
        return self._line(event.type, self._shaped(obj))

    def _shaped(self, obj: Object) -> Object:
        if self._form.as_kind == PARTIAL:
            return partial(obj, self._form)
        if self._form.as_kind == TABLE:
            header, self._first = self._first, False
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            now = self._resources.clock.now()
            return table(
                self._kind, [obj], self._form, metadata, now=now, include=self._include, header=header
            )
        return obj

    def bookmark(self, revision: int, initial: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        if self._form.as_kind:
            obj = self._shaped(obj) if self._form.as_kind == PARTIAL else self._bookmark_table(obj)
        return self._line("BOOKMARK", obj)

    def _bookmark_table(self, obj: Object) -> Object:
        made = table(
            self._kind,
            [],
            self._form,
            {"resourceVersion": obj["metadata"]["resourceVersion"]},
            now=0.0,
            header=self._first,
        )
        self._first = False
        made["rows"] = (
            [{"cells": [], "object": partial(obj, self._form)}] if "annotations" in obj["metadata"] else []
        )
        return made

    @staticmethod
    def error(error: ApiError) -> bytes:
        return Encoder._line("ERROR", error.status())

    @staticmethod
    def _line(type_: str, obj: Object) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), orjson.dumps(obj))
