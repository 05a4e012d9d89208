"""The verbs of the API on resources: from a routed, authorized request to an answer.

Reads answer at once, from the cache, mostly with bytes that exist; a watch answers with a stream; writes are coroutines that go through the
registry. Which function serves what is in two tables at the end of the file and in `subresources.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ..api.crd.kinds import CustomKind
from ..api.decode import decode, decode_options
from ..api.decode_values import WrongValue, normalize
from ..api.defaults import apply_defaults
from ..api.errors import ApiError, bad_request, method_not_allowed, not_found
from ..api.kinds import Kind
from ..api.object import Object
from ..api.schema import schema_of
from . import reads, watches
from .answers import bare, dumps, object_response, shaped_list, status_success, with_warnings
from .conversion import to_storage
from .large_bodies import YAML_BYTES_MAX, decoded
from .negotiation import MEDIA, PLAIN, Form, negotiate
from .options import (
    DeleteOptions,
    check_get_options,
    check_list_options,
    delete_options,
    list_options,
    write_options,
)
from .patches import patch_type, patched
from .registry.generic import OTHER_NAMESPACE, Outcome, Registry, nameless
from .registry.operation import CREATE, DELETE, UPDATE, Operation
from .registry.ownership import manager_of_agent
from .request import Request, Response
from .routes import RequestInfo

if TYPE_CHECKING:
    pass

Answer = Response | Awaitable[Response]
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
FIELD_VALIDATION_DEFAULT = "Warn"
WITHOUT_TABLES = {("certificatesigningrequests", "approval"), ("resourceclaims", "status")}
"""Subresources that upstream has no table for."""


class Resources:
    def __init__(self, registry: Registry):
        self.registry = registry
        self.storage = registry.storage
        self.clock = registry.clock

    # -- reads -------------------------------------------------------------------------------------------------

    def get(self, request: Request, kind: Kind) -> Answer:
        info = request.info
        assert info is not None
        form = self.form(request, kind)
        if request.query:
            check_get_options(request, self.storage.cache.revision)
        entry = self.storage.get(kind, info.namespace, info.name)
        if entry is None:
            raise not_found(kind.plural, kind.group, info.name)
        if (form is PLAIN or form.plain) and kind.verbatim:
            return Response(200, [], entry.bytes)
        return self.answer_object(kind, entry.object, form, 200, request)

    def list(self, request: Request, kind: Kind) -> Answer:
        return reads.list_answer(self, request, kind)

    def watch(self, request: Request, kind: Kind) -> Answer:
        return watches.watch_answer(self, request, kind)

    def form(self, request: Request, kind: Kind) -> Form:
        subresource = request.info.subresource if request.info is not None else ""
        tables = not subresource or (kind.plural, subresource) not in WITHOUT_TABLES
        produced = () if kind.custom else MEDIA
        return negotiate(request.headers.get("accept", ""), produced=produced, tables=tables)

    # -- writes ------------------------------------------------------------------------------------------------

    def operation(
        self, request: Request, kind: Kind, verb: str, *, dry_run: bool = False, field_manager: str = ""
    ) -> Operation:
        info = request.info
        assert info is not None
        op = self.registry.operation(
            kind,
            verb,
            request.user,
            info.namespace,
            info.name,
            info.subresource,
            dry_run=dry_run,
            field_manager=field_manager or manager_of(request),
            warnings=request.warnings,
        )
        if field_manager:
            op.options["fieldManager"] = field_manager
        if "fieldValidation" in request.parameters:
            op.options["fieldValidation"] = request.parameters["fieldValidation"][0]
        if request.audit is not None:
            op.annotations = request.audit.event.setdefault("annotations", {})
        return op

    def body(self, request: Request, kind: Kind, field_validation: str) -> Object:
        """The object in the body, decoded, of the stored version, with its defaults."""
        if request.body_too_large:
            raise too_large()
        if request.object is not None:
            obj = _from_process(request.object, kind)
        else:
            content_type = request.headers.get("content-type", "")
            try:
                obj, warnings = decode(
                    request.body,
                    content_type,
                    kind,
                    field_validation or FIELD_VALIDATION_DEFAULT,  # type: ignore[arg-type]
                )
            except ApiError as error:
                request.warnings.extend(error.warnings)
                raise
            request.warnings.extend(warnings)
        return self.ready(kind, obj)

    async def any_body(self, request: Request, kind: Kind, field_validation: str) -> Object:
        content_type = request.headers.get("content-type", "")
        return await decoded(request.body, content_type, self.body, request, kind, field_validation)

    def ready(self, kind: Kind, obj: Object) -> Object:
        """From the version that was sent to the stored one, with defaults."""
        stored = kind.storage
        if stored is not kind:
            obj = to_storage(kind, obj)
        apply_defaults(stored, obj)
        return obj

    async def create(self, request: Request, kind: Kind) -> Response:
        info = request.info
        assert info is not None
        form = self.form(request, kind)
        options = write_options(request, "CreateOptions")
        if len(request.body) <= YAML_BYTES_MAX:
            obj = self.body(request, kind, options.field_validation)
        else:
            obj = await self.any_body(request, kind, options.field_validation)
        op = self.operation(
            request, kind, CREATE, dry_run=options.dry_run, field_manager=options.field_manager
        )
        op.subresource = ""
        op.namespace = info.namespace
        outcome = await self.registry.create(op, obj)
        return self.answer(kind, outcome, form, request)

    async def update(self, request: Request, kind: Kind) -> Response:
        info = request.info
        assert info is not None
        form = self.form(request, kind)
        options = write_options(request, "UpdateOptions")
        obj = await self.any_body(request, kind, options.field_validation)
        check_name(obj, info, kind)
        op = self.operation(
            request, kind, UPDATE, dry_run=options.dry_run, field_manager=options.field_manager
        )

        async def change(old: Object) -> Object:
            return _copy_top(obj)

        create = op.strategy.create_on_update and not info.subresource
        outcome = await self.registry.update(op, change, create=create)
        return self.answer(kind, outcome, form, request)

    async def patch(self, request: Request, kind: Kind) -> Response:
        form = self.form(request, kind)
        applies = patch_type(request, kind) == "apply"
        if request.body_too_large:
            raise too_large()
        options = write_options(request, "PatchOptions", apply=applies)
        op = self.operation(
            request, kind, UPDATE, dry_run=options.dry_run, field_manager=options.field_manager
        )
        op.patch = True
        outcome = await patched(self, request, kind, op, options)
        return self.answer(kind, outcome, form, request)

    async def delete(self, request: Request, kind: Kind) -> Response:
        form = self.form(request, kind)
        options = self.delete_options(request)
        op = self.operation(request, kind, DELETE, dry_run=options.dry_run)
        _warn_of_orphans(request, kind, options)
        outcome = await self.registry.delete(op, options)
        code = 200
        if not outcome.deleted and options.orphan_dependents is False:
            code = 202
        if outcome.deleted and not op.strategy.returns_deleted:
            meta = outcome.value()["metadata"]
            return with_warnings(
                Response(
                    code,
                    [],
                    dumps(status_success(kind, meta["name"], meta["uid"]), form),
                    content_type=form.media,
                ),
                request.warnings,
            )
        outcome.code = code
        return self.answer(kind, outcome, form, request)

    async def delete_collection(self, request: Request, kind: Kind) -> Response:
        form = self.form(request, kind)
        options = self.delete_options(request)
        _warn_of_orphans(request, kind, options)
        selection = list_options(request)
        check_list_options(selection, watch=False)
        if selection.resource_version not in ("", "0") and not selection.resource_version_match:
            selection = replace(selection, resource_version_match="Exact")  # it reads page by page
        found = await reads.select_async(self, request, kind, selection)
        deleted: list[Object] = []
        if isinstance(kind, CustomKind) and kind.definition.conversions is not None:
            for entry in found.entries:
                kind.from_stored(entry.object)  # what cannot be shown cannot be deleted
        for entry in found.entries:
            op = self.operation(request, kind, DELETE, dry_run=options.dry_run)
            meta = entry.object["metadata"]
            op.collection = True
            op.name, op.namespace = meta["name"], meta.get("namespace", "")
            try:
                await self.registry.delete(op, options)
            except ApiError as error:
                if error.code != 404:
                    raise
                continue
            deleted.append(entry.object)
        metadata = reads.list_metadata(kind, found, form)
        value = shaped_list(kind, deleted, metadata, form, now=self.clock.now())
        return with_warnings(Response(200, [], dumps(value, form), content_type=form.media), request.warnings)

    def delete_options(self, request: Request) -> DeleteOptions:
        if request.body_too_large:
            raise too_large()
        body: Object | None = None
        if request.object is not None:
            body = request.object
        elif request.body:
            body = decode_options(request.body, request.headers.get("content-type", ""))
        return delete_options(request, body)

    # -- answers -----------------------------------------------------------------------------------------------

    def answer(self, kind: Kind, outcome: Outcome, form: Form, request: Request) -> Response:
        if outcome.entry is not None and (form is PLAIN or form.plain) and kind.verbatim:
            response = Response(
                outcome.code,
                [],
                outcome.entry.bytes,
                value=outcome.entry.object if request.object is not None else None,
            )
        else:
            response = self.answer_object(kind, outcome.value(), form, outcome.code, request)
        return with_warnings(response, request.warnings) if request.warnings else response

    def answer_object(self, kind: Kind, obj: Object, form: Form, code: int, request: Request) -> Response:
        include = request.parameter("includeObject")
        return object_response(kind, obj, form, code, now=self.clock.now(), include=include)


def manager_of(request: Request) -> str:
    """Whose fields a write sets that does not say: the client's, by its User-Agent; an actor's in this process, by its account."""
    agent = request.headers.get("user-agent", "" if request.peer else None)
    if agent is not None:
        return manager_of_agent(agent) or "unknown"
    name = request.user.name
    for prefix, manager in COMPONENTS.items():
        if name.startswith(prefix):
            return manager
    return ""


COMPONENTS = {
    "system:node:": "kubelet",
    "system:kube-scheduler": "kube-scheduler",
    "system:serviceaccount:kube-system:": "kube-controller-manager",
    "system:kube-controller-manager": "kube-controller-manager",
}


def _copy_top(obj: Object) -> Object:
    new = dict(obj)
    new["metadata"] = dict(obj.get("metadata") or {})
    return new


def _from_process(obj: Object, kind: Kind) -> Object:
    """What an in-process caller sends (it is ours), as strict as from the wire."""
    if kind.custom:
        copy = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
        cast(CustomKind, kind).incoming(copy)
        return copy
    try:
        copy, problems = normalize(schema_of(kind.group, kind.version, kind.kind), obj)
    except WrongValue as error:
        raise bad_request(str(error)) from None
    if problems:
        raise bad_request(f"strict decoding error: {', '.join(problems)}")
    return {**copy, "apiVersion": kind.api_version, "kind": kind.kind}


def _warn_of_orphans(request: Request, kind: Kind, options: DeleteOptions) -> None:
    if kind.resource == "jobs.batch" and not options.propagation and options.orphan_dependents is None:
        request.warnings.append(JOB_WARNING)


def check_name(obj: Object, info: RequestInfo, kind: Kind) -> None:
    meta = obj.setdefault("metadata", {})
    name = meta.get("name") or ""
    namespace = meta.get("namespace") or ""
    if namespace and namespace != info.namespace and kind.storage.namespaced:
        raise bad_request(OTHER_NAMESPACE)
    if not name:
        raise bad_request(nameless(info.name))
    if name != info.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({info.name})")


def too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", details=False)


Verb = Callable[[Resources, Request, Kind], Answer]

VERBS: dict[str, Verb] = {
    "get": Resources.get,
    "list": Resources.list,
    "watch": Resources.watch,
    "create": Resources.create,
    "update": Resources.update,
    "patch": Resources.patch,
    "delete": Resources.delete,
    "deletecollection": Resources.delete_collection,
}

__all__ = ["VERBS", "Resources", "bare", "method_not_allowed"]
