"""Errors that clients see: one family that maps to Kubernetes' `Status` object.

Raised where the fact is known, caught in one place (`apiserver`), and by client code that expects one.
Reasons, codes and messages: k8s.io/apimachinery/pkg/api/errors and apis/meta/v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .object import Object


@dataclass(frozen=True, slots=True)
class Cause:
    """One line of `details.causes`: what is wrong with which field."""

    reason: str  # FieldValueInvalid, FieldValueRequired, …
    message: str
    field: str

    def as_object(self) -> Object:
        return {
            k: v for k, v in (("reason", self.reason), ("message", self.message), ("field", self.field)) if v
        }


class ApiError(Exception):
    """A request that cannot be granted."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        uid: str = "",
        causes: list[Cause] | None = None,
        retry_after_s: int = 0,
        details: bool = True,
    ):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.kind, self.group, self.name, self.uid = kind, group, name, uid
        self.causes = causes or []
        self.retry_after_s = retry_after_s
        self.with_details = details
        self.warnings: list[str] = []  # for the client to see all the same

    def status(self) -> Object:
        """The `Status` object that goes over the wire."""
        details: dict[str, Any] = {
            key: value
            for key, value in (
                ("name", self.name),
                ("group", self.group),
                ("kind", self.kind),
                ("uid", self.uid),
                ("causes", [cause.as_object() for cause in self.causes]),
                ("retryAfterSeconds", self.retry_after_s),
            )
            if value
        }
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if details or (self.with_details and self.reason):
            status["details"] = details
        status["code"] = self.code
        return status


def from_status(status: Object) -> ApiError:
    """The error that a `Status` from the wire stands for."""
    details = status.get("details") or {}
    causes = [
        Cause(c.get("reason", ""), c.get("message", ""), c.get("field", ""))
        for c in details.get("causes") or ()
    ]
    return ApiError(
        int(status.get("code") or 500),
        status.get("reason") or "",
        status.get("message") or "",
        kind=details.get("kind", ""),
        group=details.get("group", ""),
        name=details.get("name", ""),
        uid=details.get("uid", ""),
        causes=causes,
        retry_after_s=details.get("retryAfterSeconds", 0),
    )


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`; `pods` in the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, kind=plural, group=group, name=name)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, kind=plural, group=group, name=name)


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, kind=plural, group=group, name=name)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """422 with every field that is wrong. `kind` is the Kind ("Pod"), not the plural, as in Kubernetes."""
    lines = [f"{cause.field}: {cause.message}" for cause in dict.fromkeys(causes)]
    listed = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid' + (f": {listed}" if lines else "")
    return ApiError(422, "Invalid", message, kind=kind, group=group, name=name, causes=causes)


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    if name:
        message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    elif plural:
        message = f"{qualified(plural, group)} is forbidden: {why}"
    else:
        message = f"forbidden: {why}"
    return ApiError(403, "Forbidden", message, kind=plural, group=group, name=name)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message, details=False)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized", details=False)


def method_not_allowed(
    message: str = "the server does not allow this method on the requested resource",
) -> ApiError:
    return ApiError(405, "MethodNotAllowed", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message, details=False)


def too_many_requests(message: str, retry_after_s: int = 1) -> ApiError:
    return ApiError(429, "TooManyRequests", message, retry_after_s=retry_after_s)


def internal_error(message: str) -> ApiError:
    return ApiError(
        500, "InternalError", f"Internal error occurred: {message}", causes=[Cause("", message, "")]
    )
