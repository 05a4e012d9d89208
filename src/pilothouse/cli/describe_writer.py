"""What all describers write with: lines at levels, labels, annotations, events; and the description of any object."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..api.errors import ApiError
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, annotations_of, controller_of, get, labels_of, name_of, namespace_of, uid_of
from .connection import Connection
from .jsonpath import go_text
from .tabs import escaped, tabbed
from .targets import items_of, path
from .timing import rfc1123, since

ANNOTATION_MAX = 140
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Writer:
    """Text in columns; `w(1, "Name", value)` writes `  Name:\\tvalue`."""

    def __init__(self, indent: int = 0) -> None:
        self._done, self._parts, self._indent = "", [""], indent

    def __call__(self, level: int, label: str, value: Any = "") -> None:
        self.line(level, f"{label}:\t{go_text(value)}")

    def line(self, level: int, text: str = "") -> None:
        self.raw("  " * (level + self._indent) + text + "\n")

    def raw(self, text: str) -> None:
        self._parts.append(escaped(text))

    def flush(self) -> None:
        """What follows aligns on its own."""
        self._done += tabbed("".join(self._parts))
        self._parts = []

    def text(self) -> str:
        self.flush()
        return self._done

    def nested(self, levels: int) -> Writer:
        """The same text, further in."""
        inner = Writer(self._indent + levels)
        inner._parts = self._parts
        return inner

    def many(self, title: str, lines: Iterable[str], indent: str = "") -> None:
        """`Title:\\tfirst`, and the others below it."""
        listed = list(lines) or ["<none>"]
        for index, text in enumerate(listed):
            pad = "  " * self._indent  # kubectl's nested writer indents every piece, not every line
            self.line(0, f"{title}:\t{pad}{text}" if index == 0 else f"{indent}{pad}\t{pad}{text}")

    def labels(self, title: str, labels: dict[str, str] | None, indent: str = "") -> None:
        self.many(indent + title, [f"{key}={value}" for key, value in sorted((labels or {}).items())], indent)

    def annotations(self, title: str, annotations: dict[str, str] | None) -> None:
        shown = []
        for key, value in sorted((annotations or {}).items()):
            value = value.removesuffix("\n")
            if key == LAST_APPLIED:
                continue
            if len(value) + len(key) + 2 > ANNOTATION_MAX or "\n" in value:
                shown.append(f"{key}:")
                shown += [f"  {_shortened(line)}" for line in value.split("\n")]
            else:
                shown.append(f"{key}: {value}")
        self.many(title, shown)

    def head(self, obj: Object, *, namespace: bool = True) -> None:
        """Name, namespace, labels, annotations."""
        self(0, "Name", name_of(obj))
        if namespace:
            self(0, "Namespace", namespace_of(obj))
        self.labels("Labels", labels_of(obj))
        self.annotations("Annotations", annotations_of(obj))

    def heading(self, level: int, columns: str) -> None:
        """Column names, and lines under them."""
        names = columns.split("|")
        self.line(level, "\t".join(names))
        self.line(level, "\t".join("-" * len(name) for name in names))

    def conditions(self, conditions: list[Object] | None, columns: str, level: int = 0) -> None:
        """`columns`: of Type, Status, LastHeartbeatTime, LastTransitionTime, Reason, Message."""
        if not conditions:
            return
        self.line(level, "Conditions:")
        self.heading(level + 1, columns)
        for condition in conditions:
            cells = []
            for column in columns.split("|"):
                value = condition.get(column[0].lower() + column[1:])
                cells.append(rfc1123(value) if column.endswith("Time") else value or "")
            self.line(level + 1, " \t".join(cells))


def _shortened(text: str) -> str:
    limit = ANNOTATION_MAX - 2
    return text[:limit] + "..." if len(text) > limit else text


class View:
    """What describers ask the cluster."""

    def __init__(self, connection: Connection, kind: Kind, obj: Object, now: float, show_events: bool):
        self.connection, self.kind, self.obj, self.now, self.show_events = (
            connection,
            kind,
            obj,
            now,
            show_events,
        )

    async def list(self, resource: str, namespace: str = "", **query: Any) -> list[Object]:
        return await items_of(self.connection, kind_of_resource(resource), namespace, **query)

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        return await self.connection.client.call("GET", path(kind_of_resource(resource), namespace, name))

    async def events(self, writer: Writer, kind: str | None = None, uids: Iterable[str] = ()) -> None:
        """The Events of the object, at the end of its description."""
        if not self.show_events:
            return
        found: list[Object] = []
        for uid in uids or (uid_of(self.obj),):
            fields = {
                "involvedObject.name": name_of(self.obj),
                "involvedObject.namespace": namespace_of(self.obj),
                "involvedObject.kind": self.kind.kind if kind is None else kind,
                "involvedObject.uid": uid,
            }
            selector = ",".join(
                f"{key}={value}" for key, value in fields.items() if value or key.endswith("namespace")
            )
            try:
                found += await self.list("events", namespace_of(self.obj), fieldSelector=selector)
            except ApiError:
                return  # without the right to see them, a description is without them
        write_events(writer, found, self.now)

    async def pod_counts(self, selector: str) -> str:
        """`1 Running / 0 Waiting / …` of the pods that the object controls."""
        pods = await self.list("pods", namespace_of(self.obj), labelSelector=selector)
        own = [pod for pod in pods if (owner := controller_of(pod)) and owner["uid"] == uid_of(self.obj)]
        phases = [get(pod, "status.phase") for pod in own]
        names = (
            ("Running", "Running"),
            ("Pending", "Waiting"),
            ("Succeeded", "Succeeded"),
            ("Failed", "Failed"),
        )
        return " / ".join(f"{phases.count(phase)} {name}" for phase, name in names)


def write_events(writer: Writer, events: list[Object], now: float) -> None:
    if not events:
        writer.line(0, "Events:\t<none>")
        return
    writer.flush()
    writer.line(0, "Events:")
    writer.line(1, "Type\tReason\tAge\tFrom\tMessage")
    writer.line(1, "----\t------\t----\t----\t-------")
    for event in sorted(events, key=lambda event: event.get("lastTimestamp") or ""):
        first = since(event.get("eventTime") or event.get("firstTimestamp"), now)
        series, count = event.get("series"), event.get("count") or 0
        age = first
        if series:
            age = f"{since(series.get('lastObservedTime'), now)} (x{series.get('count', 0)} over {first})"
        elif count > 1:
            age = f"{since(event.get('lastTimestamp'), now)} (x{count} over {first})"
        source = get(event, "source.component") or event.get("reportingComponent") or ""
        where = get(event, "involvedObject.fieldPath")
        message = (event.get("message") or "").strip()
        cells = (
            event.get("type") or "",
            event.get("reason") or "",
            age,
            source,
            f"{where}: {message}" if where else message,
        )
        writer.line(1, "\t".join(cells))


def controlled_by(writer: Writer, obj: Object) -> None:
    if owner := controller_of(obj):
        writer(0, "Controlled By", f"{owner['kind']}/{owner['name']}")


def format_labels(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


async def generic(w: Writer, obj: Object, view: View) -> None:
    """Any kind, custom ones above all: the whole object, with the names of its fields made readable."""
    w.head(obj)
    skip = {".metadata." + name for name in ("managedFields", "name", "namespace", "labels", "annotations")}
    _content(w, 0, obj, "", skip)
    await view.events(w)


def _content(w: Writer, level: int, content: Object, prefix: str, skip: set[str]) -> None:
    for field in sorted(content):
        value, where = content[field], f"{prefix}.{field}"
        if where in skip:
            continue
        if isinstance(value, dict):
            w.line(level, f"{readable(field)}:")
            _content(w, level + 1, value, where, skip)
        elif isinstance(value, list):
            w.line(level, f"{readable(field)}:")
            for item in value:
                if isinstance(item, dict):
                    _content(w, level + 1, item, where, skip)
                else:
                    w.line(level + 1, go_text(item))
        else:
            w(level, readable(field), value)


def readable(field: str) -> str:
    """`lastTransitionTime` → `Last Transition Time`; a key with other than letters and dashes stays."""
    if not re.fullmatch(r"[^\W\d_]+(-[^\W\d_]+)*|[^\W\d_-]*(-[^\W\d_]*)*", field) or not field:
        return field
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|-+", field)
    merged: list[str] = []
    for part in parts:
        if merged and len(merged[-1]) >= 2 and merged[-1].isupper() and part[:1].isupper():
            merged[-1] += part
        else:
            merged.append(part)
    words = []
    for part in merged:
        if part.upper() in ("API", "URL", "UID", "GUID"):
            part = part.upper()
        elif part.islower():
            part = part.capitalize()
        words.append(part)
    return " ".join(words)
