"""Mutating and validating webhooks: a write shown to somebody else's server, which may change or refuse it.

Hooks are compiled when their configurations change. Mutating ones are called one after the other, in the order of their configurations' names; a second
time if they ask for it and the object was changed after them. Validating ones are called at once, the first refusal in order counts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from ...api.crd.shaping import copied
from ...api.decode import not_a_review
from ...api.decode_values import go_kind
from ...api.errors import ApiError, bad_request, forbidden, from_status, internal_error
from ...api.fielderrors import quoted
from ...api.kinds import Kind, kind_of_resource
from ...api.object import Object
from ...api.patch import PatchFailed, patched
from ..webhook_client import WebhookError
from . import Environment, Plugin
from .attributes import Attributes
from .matching import Changes, Criteria, is_exempt
from .mutations import MutationError, replace_object

if TYPE_CHECKING:
    from ...api.cel import Program
    from ..registry.operation import Operation

_REVIEW = "admission.k8s.io"
_TIMEOUT_S = 10
_BAD_ANSWER = "received invalid webhook response"


@dataclass(slots=True)
class Hook:
    configuration: str
    name: str
    source: Object
    criteria: Criteria
    ignores_errors: bool
    conditions: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    programs: list[Program] | None = None  # of the conditions, compiled at the first write that gets that far

    def applies(self, attributes: Attributes, kind: Kind, env: Environment) -> bool:
        """Whether the match conditions hold. Raises 403."""
        if not self.conditions:
            return True
        from ...api.cel import CelError
        from ...api.policies import ExpressionError, condition
        from .expressions import Scope, conditions_hold

        try:
            if self.programs is None:
                self.programs = [condition(expression, False) for _, expression in self.conditions]
            return conditions_hold(self.programs, Scope(attributes, kind, env), self.ignores_errors)
        except (CelError, ExpressionError) as error:
            raise forbidden(
                attributes.kind.plural, attributes.kind.group, attributes.shown_name, str(error)
            ) from None


@dataclass(slots=True)
class Verdict:
    """What a webhook said."""

    patch: list[Object] | None = None
    refusal: ApiError | None = None
    failed_open: bool = False
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)

    def tell(self, op: Operation, hook: Hook) -> None:
        """The client its warnings, the audit log its annotations."""
        for text in self.warnings:
            op.warn(text)
        for key, value in self.annotations.items():
            op.annotations.setdefault(f"{hook.name}/{key}", value)


class _Webhooks(Plugin):
    def __init__(self, configurations: str):
        self._kind = kind_of_resource(f"{configurations}.admissionregistration.k8s.io")
        self._changes = Changes(self._kind)
        self._hooks: list[Hook] = []

    def concerning(self, op: Operation, env: Environment) -> tuple[Attributes, list[Hook]] | None:
        if self._changes.any(env):
            self._hooks = [hook for obj in env.storage.list(self._kind) for hook in _compiled(obj)]
        if not self._hooks or is_exempt(op.kind):
            return None
        return Attributes(op, env), self._hooks


def _compiled(configuration: Object) -> Iterator[Hook]:
    name = configuration["metadata"]["name"]
    for index, hook in enumerate(configuration.get("webhooks") or ()):
        criteria = Criteria(
            hook.get("rules") or (),
            namespace_selector=hook.get("namespaceSelector"),
            object_selector=hook.get("objectSelector"),
            equivalent=hook.get("matchPolicy") != "Exact",
        )
        conditions = tuple((c["name"], c["expression"]) for c in hook.get("matchConditions") or ())
        key = ("webhook", name, hook["name"], str(index))
        yield Hook(name, hook["name"], hook, criteria, hook.get("failurePolicy") == "Ignore", conditions, key)


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    configured_by = "mutatingwebhookconfigurations.admissionregistration.k8s.io"

    def __init__(self) -> None:
        super().__init__("mutatingwebhookconfigurations")

    def admit(self, op: Operation, env: Environment) -> Any:
        found = self.concerning(op, env)
        return None if found is None else self._call_all(*found, env)

    async def _call_all(self, attributes: Attributes, hooks: list[Hook], env: Environment) -> None:
        op = attributes.op
        for index, hook in enumerate(hooks):
            kind = hook.criteria.matches(attributes, env)
            if kind is None or not hook.applies(attributes, kind, env):
                continue
            if not op.reinvocation.allows(
                hook.key, hook.source.get("reinvocationPolicy") == "IfNeeded", op.object
            ):
                continue
            verdict = await _call(hook, attributes, kind, env, True)
            verdict.tell(op, hook)
            which = f"round_{op.reinvocation.round}_index_{index}"
            if verdict.failed_open:
                op.annotations[f"failed-open.mutating.webhook.admission.k8s.io/{which}"] = hook.name
            if verdict.refusal is not None:
                raise verdict.refusal
            changed = False
            if verdict.patch:
                current, _ = attributes.objects(kind)
                if current is None:
                    what = "attempted to modify the object, which is not supported for this operation"
                    raise internal_error(f"admission webhook {quoted(hook.name)} {what}")
                try:
                    new = dict(patched(copied(current), verdict.patch))
                    changed = new != current
                    if changed:
                        replace_object(op, kind, new)
                        attributes.changed()
                except (MutationError, PatchFailed) as error:
                    raise internal_error(str(error)) from None
            noted = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
            op.annotations[f"mutation.webhook.admission.k8s.io/{which}"] = orjson.dumps(noted).decode()
            if op.object is not None:
                op.reinvocation.done(hook.key, op.object, changed)


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    configured_by = "validatingwebhookconfigurations.admissionregistration.k8s.io"

    def __init__(self) -> None:
        super().__init__("validatingwebhookconfigurations")

    def validate(self, op: Operation, env: Environment) -> Any:
        found = self.concerning(op, env)
        if found is None:
            return None
        attributes, hooks = found
        relevant = []
        for hook in hooks:
            kind = hook.criteria.matches(attributes, env)
            if kind is not None and hook.applies(attributes, kind, env):
                relevant.append((hook, kind))
        return self._call_all(attributes, relevant, env) if relevant else None

    async def _call_all(
        self, attributes: Attributes, relevant: list[tuple[Hook, Kind]], env: Environment
    ) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_outcome(hook, attributes, kind, env)) for hook, kind in relevant]
        outcomes = [call.result() for call in calls]
        for index, (verdict, (hook, _)) in enumerate(zip(outcomes, relevant, strict=True)):
            verdict.tell(attributes.op, hook)
            if verdict.failed_open:
                key = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
                attributes.op.annotations[key] = hook.name
        for verdict in outcomes:
            if verdict.refusal is not None:
                raise verdict.refusal


async def _outcome(hook: Hook, attributes: Attributes, kind: Kind, env: Environment) -> Verdict:
    try:
        return await _call(hook, attributes, kind, env, False)
    except ApiError as error:
        return Verdict(refusal=error)


class _Invalid(Exception):
    """An answer that is none."""


async def _call(hook: Hook, attributes: Attributes, kind: Kind, env: Environment, mutating: bool) -> Verdict:
    """Raises 400 or 500, where failures count."""
    if attributes.op.dry_run and hook.source.get("sideEffects") in ("Some", "Unknown", None):
        raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
    version = next(
        (v for v in hook.source.get("admissionReviewVersions") or () if v in ("v1", "v1beta1")), "v1"
    )
    uid = env.random.uid()
    new, old = attributes.objects(kind)
    request = {"uid": uid, **attributes.request(kind), "object": new, "oldObject": old}
    review = {"kind": "AdmissionReview", "apiVersion": f"{_REVIEW}/{version}", "request": request}
    assert env.webhooks is not None
    try:
        answer = await env.webhooks.post(
            hook.source["clientConfig"], review, hook.source.get("timeoutSeconds") or _TIMEOUT_S
        )
        return _verdict(hook, answer, uid, version, mutating)
    except WebhookError as error:
        why = f"failed to call webhook: {error}"
    except _Invalid as error:
        why = str(error)
    if hook.ignores_errors:
        return Verdict(failed_open=True)
    raise internal_error(f'failed calling webhook "{hook.name}": {why}')


def _verdict(hook: Hook, review: Any, uid: str, version: str, mutating: bool) -> Verdict:
    """(apiserver/pkg/admission/plugin/webhook/request.VerifyAdmissionResponse)"""
    if wrong := _undecodable(review, version):
        raise _Invalid(f"failed to call webhook: {wrong}")
    response = (review or {}).get("response")
    if not isinstance(response, dict):
        raise _Invalid(f"{_BAD_ANSWER}: webhook response was absent")
    patch, patch_type = response.get("patch"), response.get("patchType")
    if version == "v1":
        if wrong := _problem(review, response, uid, mutating):
            raise _Invalid(f"{_BAD_ANSWER}: {wrong}")
    else:
        patch_type = "JSONPatch"  # was not looked at then
    verdict = Verdict(warnings=[str(text) for text in response.get("warnings") or ()])
    verdict.annotations = response.get("auditAnnotations") or {}
    if response.get("allowed") is not True:
        verdict.refusal = _refusal(hook.name, response.get("status") or {})
    elif patch and mutating:
        try:
            decoded = orjson.loads(base64.b64decode(patch, validate=True))
        except (binascii.Error, orjson.JSONDecodeError, TypeError) as error:
            raise _Invalid(f"received undecodable patch in webhook response: {error}") from None
        if not isinstance(decoded, list):
            what = f"json: cannot unmarshal {go_kind(decoded)} into Go value of type jsonpatch.Patch"
            raise _Invalid(f"received undecodable patch in webhook response: {what}")
        if decoded and patch_type != "JSONPatch":
            raise _Invalid(f"unsupported patch type {quoted(str(patch_type))}")
        verdict.patch = decoded
    return verdict


def _undecodable(review: Any, version: str) -> str:
    """What keeps a body from being an AdmissionReview of that version."""
    given = review or {}
    if wrong := not_a_review(given, _REVIEW, "AdmissionReview", version):
        return wrong
    response = given.get("response")
    response = response if isinstance(response, dict) else {}
    allowed = response.get("allowed", False)
    if type(allowed) is not bool and allowed is not None:
        field = "AdmissionResponse.response.allowed of type bool"
        return f"json: cannot unmarshal {go_kind(allowed)} into Go struct field {field}"
    patch = response.get("patch")
    text = patch if isinstance(patch, str) else ""
    odd = re.search(r"[^A-Za-z0-9+/=\r\n]", text)
    return f"illegal base64 data at input byte {odd.start()}" if odd is not None else ""


def _problem(review: Object, response: Object, uid: str, mutating: bool) -> str:
    """What is wrong with an answer of v1."""
    given = response.get("uid") or ""
    if given != uid:
        return f"expected response.uid={quoted(uid)}, got {quoted(given)}"
    group, _, got = str(review.get("apiVersion") or "").rpartition("/")
    if (group, got, review.get("kind")) != (_REVIEW, "v1", "AdmissionReview"):
        shown = f"{group}/{got}, Kind={review.get('kind') or ''}"
        return f"expected webhook response of {_REVIEW}/v1, Kind=AdmissionReview, got {shown}"
    has_patch, has_type = bool(response.get("patch")), response.get("patchType") is not None
    if not mutating:
        wrong = "patch" if has_patch else "patchType" if has_type else ""
        return wrong and f"validating webhook may not return response.{wrong}"
    if has_patch != has_type:
        one, other = ("patch", "patchType") if has_patch else ("patchType", "patch")
        return f"webhook returned response.{one} but not response.{other}"
    return (
        "" if not has_type or response["patchType"] else 'webhook returned invalid response.patchType of ""'
    )


def _refusal(name: str, status: Object) -> ApiError:
    message, reason = status.get("message"), status.get("reason")
    who = f'admission webhook "{name}" denied the request'
    text = f"{who}: {message or reason}" if message or reason else f"{who} without explanation"
    code = status.get("code") or 0
    code = code if code >= 400 else HTTPStatus.BAD_REQUEST
    error = from_status({**status, "code": int(code), "message": text})
    error.with_details = status.get("details") is not None
    return error
