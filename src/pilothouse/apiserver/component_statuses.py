"""ComponentStatuses: which parts of the control plane answer. They all run with the server: whoever hears of them hears that they do."""

from __future__ import annotations

from ..api.errors import ApiError, not_found
from ..api.kinds import Kind
from ..api.object import Object
from .answers import dumps, shaped_list
from .cache import Entry
from .negotiation import LISTS, negotiate
from .options import check_list_options, list_options
from .request import Request, Response
from .resources import Resources
from .selection import selection_of

NAMES = ("controller-manager", "scheduler", "etcd-0")


def get(resources: Resources, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    if request.info.name not in NAMES:
        raise not_found("componentstatus", "", request.info.name)
    form = resources.form(request, kind)
    return resources.answer_object(kind, _component(kind, request.info.name), form, 200, request)


def list_all(resources: Resources, request: Request, kind: Kind) -> Response:
    options = list_options(request)
    form = negotiate(request.headers.get("accept", ""), produced=LISTS)
    check_list_options(options, watch=False)
    selection = selection_of(kind, options)
    entries = (Entry(resources.storage.cache, name, 0, b"", _component(kind, name)) for name in NAMES)
    found = [entry.object for entry in entries if selection.matches(entry)]
    include = request.parameter("includeObject")
    value = shaped_list(kind, found, {}, form, now=resources.clock.now(), include=include)
    return Response(200, [], dumps(value, form), content_type=form.media)


def watch(resources: Resources, request: Request, kind: Kind) -> Response:
    why = f'watch is not supported on resources of kind "{kind.plural}"'
    raise ApiError(405, "MethodNotAllowed", why, kind=kind.plural)


ANSWERS = {"get": get, "list": list_all, "watch": watch}


def _component(kind: Kind, name: str) -> Object:
    healthy = {"type": "Healthy", "status": "True", "message": "ok"}
    return {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {"name": name},
        "conditions": [healthy],
    }
