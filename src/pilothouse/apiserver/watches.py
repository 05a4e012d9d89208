"""Watches: a cursor into the log of changes, a filter, and the event's bytes in the form that was asked for.

What a filter does to events: an object that comes into the selection is ADDED, one that leaves it is DELETED (shown as it was, with the version
of the change), whatever the store calls it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from ..api.crd.conversion import NeedsConversion
from ..api.crd.kinds import CustomKind
from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import Object
from ..store.interface import Compacted
from .answers import check_include, partial, shaped, table
from .cache import Change, Entry, left
from .negotiation import LISTS, PARTIAL, PARTIAL_LIST, TABLE, Form, negotiate, not_acceptable
from .options import (
    ListOptions,
    check_list_options,
    list_options,
    parse_resource_version,
    too_large_resource_version,
    with_initial_events,
)
from .reads import scope
from .registry.generic import complete_object
from .request import Request, Response, Sink, chunk
from .selection import Selection, selection_of

if TYPE_CHECKING:
    from .resources import Resources

BOOKMARK_EVERY_S = 60.0
BOOKMARK_BEFORE_END_S = 2.0
FRESH_WITHIN_S = 3.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def watch_answer(resources: Resources, request: Request, kind: Kind) -> Response | Awaitable[Response]:
    assert request.info is not None
    options = with_initial_events(list_options(request))
    produced = () if kind.custom else LISTS
    form = negotiate(request.headers.get("accept", ""), produced=produced, watch=True)
    if form.as_kind == PARTIAL_LIST:
        raise not_acceptable(LISTS)
    check_list_options(options, watch=True)
    asked = parse_resource_version(options.resource_version)
    selection = selection_of(kind, options, request.info.name)
    watch = Watch(resources, kind, request.info.namespace, selection, options, asked)
    if form.as_kind == TABLE:
        check_include(request.parameter("includeObject"))
    encoder = Encoder(kind, form, request.parameter("includeObject"), resources)
    source = PushedWatch(resources, watch, encoder, options)
    if isinstance(kind, CustomKind):
        source.ended_by = kind.definition.ends
    response = Response(200, [("Cache-Control", "no-cache, private")], source=source)
    if watch.wants_initial and asked > resources.storage.cache.revision:
        return _when_fresh(resources, asked, source, response)
    return response


async def _when_fresh(
    resources: Resources, revision: int, source: PushedWatch, response: Response
) -> Response:
    """What there is waits a while for the version that the client has seen elsewhere; in vain, an event says so."""
    cache = resources.storage.cache
    try:
        async with asyncio.timeout(FRESH_WITHIN_S):
            await cache.wait_for(revision)
    except TimeoutError:
        source.failure = too_large_resource_version(revision, cache.revision)
    return response


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
    """What one watch sees, whoever delivers it."""

    def __init__(
        self,
        resources: Resources,
        kind: Kind,
        namespace: str,
        selection: Selection,
        options: ListOptions,
        asked: int,
    ):
        self.prefix = scope(kind, namespace)
        self.asked = asked
        self._whole = self.prefix == kind.prefix
        self.ring = resources.storage.cache.ring(self.prefix, selection.node)
        self._cache = resources.storage.cache
        self._selection = selection
        initial = options.initial_events
        self.wants_initial = initial or (initial is None and asked == 0)

    @property
    def everything(self) -> bool:
        """All that happens below its prefix, as it is."""
        return self._selection.everything

    def first(self) -> tuple[int, list[Event]]:
        """The revision to go on from, and the objects that are there, if the watch begins with them."""
        if self.wants_initial:
            matches = self._selection.matches
            return self._cache.revision, [
                Event("ADDED", e) for e in self._cache.entries(self.prefix) if matches(e)
            ]
        return self.asked or self._cache.revision, []

    def selected(self, changes: list[Change]) -> list[Event]:
        """Those of the changes that concern this watch, as what they are to it."""
        if not self._whole:
            changes = [change for change in changes if change.entry.key.startswith(self.prefix)]
        if self._selection.everything:
            return [Event(change.type, change.entry, change) for change in changes]
        matches = self._selection.matches
        events = []
        for change in changes:
            now = not change.deleted and matches(change.entry)
            before = change.previous is not None and matches(change.previous)
            if now:
                events.append(Event("MODIFIED" if before else "ADDED", change.entry, change))
            elif before:
                events.append(Event("DELETED", change.entry, change))
        return events

    async def events(self) -> AsyncIterator[list[Event]]:
        """For callers in this process. Raises Compacted."""
        if self.wants_initial and self.asked:
            await self._cache.wait_for(self.asked)
        start, found = self.first()
        yield found
        async for changes in self._cache.watch(self.prefix, start, self._selection.node):
            yield self.selected(changes)


class PushedWatch:
    """A watch over HTTP (`request.Source`): no task, only a place in the ring, a listener and two timers.

    A client that does not read is not written to; when it reads again the watch goes on from its place, or learns that the place is gone.
    """

    def __init__(self, resources: Resources, watch: Watch, encoder: Encoder, options: ListOptions):
        self._watch, self._encoder, self._options = watch, encoder, options
        self._cache = resources.storage.cache
        self._collection = watch.ring
        self._verbatim = watch.everything and encoder.plain
        low, high = resources.registry.config.watch_timeout_s
        self._ends_after_s = float(options.timeout_s) or resources.registry.random.uniform(low, high)
        self._sink: Sink | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._writable = True
        self._seen = 0
        self._ends_at = 0.0
        self._converting: asyncio.Future[None] | None = None
        self.failure: ApiError | None = None  # all that it has to say
        self.ended_by: set[Callable[[], None]] | None = (
            None  # what its kind's definition ends when it changes
        )

    def start(self, sink: Sink) -> None:
        self._sink = sink
        if self.failure is not None:
            self._write(self._encoder.error(self.failure))
            self._end()
            return
        loop = asyncio.get_running_loop()
        if self.ended_by is not None:
            self.ended_by.add(self._end_after_all)
        self._timers.append(loop.call_later(self._ends_after_s, self._end))
        self._ends_at = loop.time() + self._ends_after_s
        if self._options.bookmarks:
            self._timers.append(loop.call_later(self._next_bookmark_s(), self._bookmark))
        self._begin()

    def _begin(self) -> None:
        try:
            self._seen, events = self._watch.first()
            lines = [self._encoder.event(event) for event in events]
        except NeedsConversion as needed:
            self._convert(needed, self._begin)
            return
        if lines:
            self._write(b"".join(lines))
        if self._options.initial_events and self._options.bookmarks:
            self._write(self._encoder.bookmark(self._seen, initial=True))
        self._collection.subscribe(self._wake)
        self._wake()

    def _write(self, data: bytes) -> None:
        if self._sink is not None:
            self._writable = self._sink.push(chunk(data))

    def _wake(self) -> None:
        if not self._writable or self._sink is None or self._converting is not None:
            return
        if self._seen >= self._collection.version:
            return
        try:
            if self._verbatim:
                data = self._collection.chunk_after(self._seen, self._watch.prefix)
                self._seen = self._collection.version
                if data:
                    self._writable = self._sink.push(data)
                return
            changes = self._collection.after(self._seen)
        except Compacted:
            self._write(self._encoder.error(too_old(self._seen, self._collection.start)))
            self._end()
            return
        try:
            lines = [self._encoder.event(event) for event in self._watch.selected(changes)]
        except NeedsConversion as needed:
            self._convert(needed, self._wake)
            return
        self._seen = changes[-1].revision
        if lines:
            self._write(lines[0] if len(lines) == 1 else b"".join(lines))

    def _convert(self, needed: NeedsConversion, then: Callable[[], None]) -> None:
        """A webhook has to convert what is next: the watch stands still for that long."""

        async def convert() -> None:
            try:
                await needed.resolve(several=True)
            except ApiError as error:
                self._write(self._encoder.error(error))
                self._end()
                return
            self._converting = None
            if self._sink is not None:
                then()

        self._converting = asyncio.ensure_future(convert())

    def resume(self) -> None:
        self._writable = True
        self._wake()

    def _next_bookmark_s(self) -> float:
        """One comes shortly before the end, so that the next watch begins where this one ended."""
        last = self._ends_at - asyncio.get_running_loop().time() - BOOKMARK_BEFORE_END_S
        return last if 0 < last < BOOKMARK_EVERY_S else BOOKMARK_EVERY_S

    def _bookmark(self) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(self._next_bookmark_s(), self._bookmark))
        del self._timers[1:-1]
        if self._writable:
            self._wake()  # so that nothing before the bookmark is missing
            self._write(self._encoder.bookmark(max(self._seen, self._cache.revision)))

    def _end_after_all(self) -> None:
        self._wake()
        self._end()

    def _end(self) -> None:
        if self._sink is not None:
            self._sink.finish()

    def stop(self) -> None:
        self._sink = None
        if self.ended_by is not None:
            self.ended_by.discard(self._end_after_all)
        self._collection.unsubscribe(self._wake)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._converting is not None:
            self._converting.cancel()


def too_old(asked: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})", details=False)


class Encoder:
    """Events to lines. Shared bytes where the form is plain."""

    def __init__(self, kind: Kind, form: Form, include: str, resources: Resources):
        self._kind, self._form, self._include, self._resources = kind, form, include, resources
        self._first = True
        self.plain = form.plain and kind.verbatim

    def event(self, event: Event) -> bytes:
        if self.plain:
            return event.line()
        return self._line(event.type, self._shaped(event.object()))

    def _shaped(self, obj: Object) -> Object:
        if self._form.as_kind == TABLE:
            header, self._first = self._first, False
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            now = self._resources.clock.now()
            return table(
                self._kind, [obj], self._form, metadata, now=now, include=self._include, header=header
            )
        return shaped(self._kind, obj, self._form, now=0.0)

    def bookmark(self, revision: int, initial: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        if self._form.as_kind:
            obj = partial(obj, self._form) if self._form.as_kind == PARTIAL else self._bookmark_table(obj)
        else:
            complete_object(self._kind, obj)
        return self._line("BOOKMARK", obj)

    def _bookmark_table(self, obj: Object) -> Object:
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        blank = {**obj, "metadata": {"name": ""}}
        complete_object(self._kind, blank)
        made = table(self._kind, [blank], self._form, metadata, now=0.0, header=self._first)
        self._first = False
        made["rows"][0]["object"] = partial(obj, self._form)
        return made

    @staticmethod
    def error(error: ApiError) -> bytes:
        return Encoder._line("ERROR", error.status())

    @staticmethod
    def _line(type_: str, obj: Object) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), orjson.dumps(obj))
