"""From what a handler found to the bytes of an answer: plain, YAML, a Table or only metadata."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import orjson

from ..api.decode import go_package
from ..api.errors import ApiError, bad_request
from ..api.kinds import Kind
from ..api.object import Object
from ..api.tables import columns, in_order, row, row_conditions, rows_of_none
from .conversion import from_storage
from .negotiation import JSON, PARTIAL, PARTIAL_LIST, PLAIN, TABLE, YAML, Form, error_form, wrong_media
from .request import Request, Response

if TYPE_CHECKING:
    pass

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
CHUNK_BYTES = 64 << 10
WARNINGS_LENGTH_MAX, CUT_WARNING_LENGTH = 4096, 256  # apiserver's warning recorder
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def dumps(value: Any, form: Form) -> bytes:
    if form.media == YAML:
        from ..api.yaml_text import dump

        return dump(value).encode()
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if form.pretty else 0)


def with_warnings(response: Response, warnings: Iterable[str]) -> Response:
    """`Warning: 299 - "…"` (RFC 7234, 5.5), one header each; where they would be long, each is cut, and the last are left out."""
    texts = [text for text in dict.fromkeys(warnings) if text and not _CONTROL.search(text)]
    if sum(map(len, texts)) > WARNINGS_LENGTH_MAX:
        texts = [text[:CUT_WARNING_LENGTH] for text in texts[:WARNINGS_LENGTH_MAX]]
        length = 0
        for count, text in enumerate(texts):
            if length >= WARNINGS_LENGTH_MAX:
                del texts[count:]
                break
            length += len(text)
    for text in texts:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append(("Warning", f'299 - "{quoted}"'))
    return response


def error_response(error: ApiError, request: Request | None = None) -> Response:
    form = PLAIN if request is None else error_form(request.headers.get("accept", ""))
    response = Response(
        error.code, [], dumps(error.status(), form), content_type=form.media, value=error.status()
    )
    if error.retry_after_s:
        response.headers.append(("Retry-After", str(error.retry_after_s)))
    if request is not None and request.warnings:
        with_warnings(response, request.warnings)
    return response


def object_response(
    kind: Kind, obj: Object, form: Form, code: int = 200, *, now: float, include: str = ""
) -> Response:
    return Response(
        code, [], dumps(shaped(kind, obj, form, now=now, include=include), form), content_type=form.media
    )


def status_success(kind: Kind, name: str, uid: str) -> Object:
    details = {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {field: value for field, value in details.items() if value},
    }


def shaped(kind: Kind, obj: Object, form: Form, *, now: float, include: str = "") -> Object:
    """One object, as it is stored, in the version and the form that were asked for."""
    if form.as_kind == TABLE:
        return table(
            kind,
            [obj],
            form,
            {"resourceVersion": version} if (version := obj["metadata"].get("resourceVersion")) else {},
            now=now,
            include=include,
        )
    if form.as_kind == PARTIAL_LIST:
        if kind.custom:
            raise ApiError(500, "", "content is not a list", details=False)
        what = f"*{go_package(kind.group)}.{kind.kind}"
        raise wrong_media(f"you requested {PARTIAL_LIST}, but the requested object is not a list ({what})")
    shown = from_storage(kind, obj)
    return partial(shown, form) if form.as_kind == PARTIAL else shown


def partial(obj: Object, form: Form) -> Object:
    return {"kind": PARTIAL, "apiVersion": f"meta.k8s.io/{form.as_version}", "metadata": obj["metadata"]}


def shaped_list(
    kind: Kind, items: list[Object], metadata: Object, form: Form, *, now: float, include: str = ""
) -> Object:
    """As `shaped`, of many."""
    if form.as_kind == TABLE:
        return table(kind, items, form, metadata, now=now, include=include)
    items = [from_storage(kind, item) for item in items]
    if form.as_kind == PARTIAL_LIST:
        return {
            "kind": PARTIAL_LIST,
            "apiVersion": f"meta.k8s.io/{form.as_version}",
            "metadata": metadata,
            "items": [partial(item, form) for item in items] or None,
        }
    if form.as_kind == PARTIAL:
        what = (
            "*unstructured.UnstructuredList" if kind.custom else f"*{go_package(kind.group)}.{kind.list_kind}"
        )
        raise wrong_media(f"you requested {PARTIAL}, but the requested object is a list ({what})")
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": items if kind.custom else [bare(i) for i in items],
    }


def bare(obj: Object) -> Object:
    """As it stands in a list: without kind and apiVersion."""
    return {field: value for field, value in obj.items() if field not in ("kind", "apiVersion")}


def check_include(include: str) -> None:
    if include not in ("", "Object", "Metadata", "None"):
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": must be '
            "'Metadata', 'Object', 'None', or empty"
        )


def table(
    kind: Kind,
    items: list[Object],
    form: Form,
    metadata: Object,
    *,
    now: float,
    include: str = "",
    header: bool = True,
) -> Object:
    """`meta.k8s.io` Table of stored objects: cells as kubectl prints them; each row with the object's metadata, the whole object, or nothing."""
    check_include(include)
    rows = rows_of_none(kind) if not items else []
    for stored in in_order(kind, items):
        item = from_storage(kind, stored)
        # an autoscaler's metrics have an order only as it is stored
        made: Object = {"cells": row(kind, stored if kind.resource == AUTOSCALERS else item, now)}
        if conditions := row_conditions(kind, item):
            made["conditions"] = conditions
        if include == "Object":
            made["object"] = item
        elif include != "None":
            made["object"] = partial(item, form)
        else:
            made["object"] = None
        assert rows is not None
        rows.append(made)
    definitions = columns(kind) if header else None
    return {
        "kind": TABLE,
        "apiVersion": f"meta.k8s.io/{form.as_version}",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def list_bytes(kind: Kind, metadata: Object, items: Iterable[bytes]) -> bytes:
    """A list joined from bytes that exist."""
    head = orjson.dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
    return b'%b,"items":[%b]}' % (head[:-1], b",".join(items))


async def list_chunks(kind: Kind, metadata: Object, items: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same for a long one, in pieces: megabytes are not put together only to be taken apart again."""
    head = orjson.dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
    pieces, size, separator = [head[:-1] + b',"items":['], 0, b""
    for item in items:
        pieces += (separator, item)
        separator = b","
        size += len(item)
        if size > CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join((*pieces, b"]}"))


__all__ = [
    "JSON",
    "dumps",
    "error_response",
    "list_bytes",
    "list_chunks",
    "object_response",
    "shaped",
    "shaped_list",
    "status_success",
    "table",
]
