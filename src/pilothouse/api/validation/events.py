"""Events: as strict as ever by their old name, stricter as events.k8s.io/v1, whatever they are stored as."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .validator import Validator, against_old

_LENGTHS_MAX = {"reportingInstance": 128, "action": 128, "reason": 128}
_NOTE_LENGTH_MAX = 1024
_FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingController",
    "reportingInstance",
)
_NONE = {"involvedObject": {}, "source": {}, "count": 0} | dict.fromkeys(
    ("firstTimestamp", "lastTimestamp", "eventTime", "related")
)
_TYPES = {
    **dict.fromkeys(("reason", "message", "type", "action", "reportingController", "reportingInstance"), "s"),
    "involvedObject": "core.v1.ObjectReference",
    "related": "core.v1.ObjectReference",
    "source": "core.v1.EventSource",
}


def _event(errors: FieldErrors, event: Object, controller: str = "reportingController") -> None:
    """`controller`: what the version calls the field."""
    namespace = event["metadata"].get("namespace") or ""
    about = (event.get("involvedObject") or {}).get("namespace") or ""
    if not event.get("eventTime"):
        if namespace != about and (about or namespace != "default"):
            errors.invalid("involvedObject.namespace", about, "does not match event.namespace")
    else:
        if not about and namespace not in ("default", "kube-system"):
            errors.invalid("involvedObject.namespace", about, "does not match event.namespace")
        reporter = event.get("reportingComponent") or ""
        if not reporter:
            errors.required(controller)
        errors.messages(controller, reporter, metadata.qualified_name(reporter))
        for field, most in _LENGTHS_MAX.items():
            if not event.get(field):
                errors.required(field)
            elif len(event[field]) > most:
                errors.invalid(field, "", f"can have at most {most} characters")
        if len(event.get("message") or "") > _NOTE_LENGTH_MAX:
            errors.invalid("message", "", f"can have at most {_NOTE_LENGTH_MAX} characters")
    errors.messages("namespace", namespace, names.dns1123_subdomain(namespace))


def _series(errors: FieldErrors, event: Object) -> None:
    series = event.get("series")
    if series is not None:
        if (series.get("count") or 0) < 2:
            errors.invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            errors.required("series.lastObservedTime")


def _create_old(errors: FieldErrors, event: Object) -> None:
    _event(errors, event, "reportingComponent")
    if not errors:
        metadata.created(errors, event["metadata"], names.path_segment, known_finalizers=False)


def _update_old(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    _event(errors, new, "reportingComponent")


def _create(errors: FieldErrors, event: Object) -> None:
    _event(errors, event)
    metadata.created(errors, event["metadata"])
    _series(errors, event)
    if not event.get("eventTime"):
        errors.required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        errors.invalid("type", "", f"has invalid value: {event.get('type') or ''}")
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(field):
            errors.invalid(field, "", "needs to be unset")
    if any((event.get("source") or {}).values()):
        errors.invalid("source", "", "needs to be unset")


def _update(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    _event(errors, new)
    against_old(errors, new, old)
    if new.get("series") != old.get("series"):
        _series(errors, new)
    for field in _FIXED:
        key = "reportingComponent" if field == "reportingController" else field
        now, was = (event.get(key, _NONE.get(field, "")) for event in (new, old))
        metadata.immutable(errors, now, was, field, type_=_TYPES.get(field, ""))


OLD = Validator(_create_old, _update_old)
NEW = Validator(_create, _update)
