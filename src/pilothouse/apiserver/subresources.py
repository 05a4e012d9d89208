"""Subresources that are no plain reads and writes of their parent: binding, eviction, scale, tokens.

`SUBRESOURCES` maps (resource, subresource, verb) to its function; `status`, `ephemeralcontainers`, `resize`, `approval` and `finalize` are not here,
because they are ordinary updates that the kind's strategy treats differently.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from ..api import managed_fields, selectors
from ..api.decode import decode
from ..api.errors import (
    ApiError,
    Cause,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
    too_many_requests,
)
from ..api.fielderrors import FieldErrors
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, condition_of
from ..api.patch import go_text
from ..api.validation import metadata
from ..base.clock import timestamp
from .admission.pod_topology_labels import topology
from .admission.service_account import TOKEN_SECONDS
from .answers import with_warnings
from .negotiation import negotiate
from .options import DeleteOptions, WriteOptions, delete_options, write_options
from .patches import apply_patch, check_duplicates, checked, parse_apply, parse_patch, patch_type
from .registry.generic import OTHER_NAMESPACE, check_preconditions, other_uid, shallow, wrong_uid
from .registry.operation import CREATE, DELETE, UPDATE
from .registry.ownership import ScaleWrite, own, versions_of
from .request import APISERVER, Request, Response, User
from .resources import Resources, check_name, manager_of

if TYPE_CHECKING:
    from .server import ApiServer

Function = Callable[["ApiServer", Request, Kind], Response | Awaitable[Response]]

PODS = kind_of_resource("pods")


def reply(resources: Resources, request: Request, kind: Kind, obj: Object, code: int) -> Response:
    form = negotiate(request.headers.get("accept", ""), tables=kind.kind == "Scale")
    return with_warnings(resources.answer_object(kind, obj, form, code, request), request.warnings)


def body_of(request: Request, kind: Kind) -> Object:
    """The body of a subresource, of its own kind."""
    if request.object is not None:
        return {**request.object, "apiVersion": kind.api_version, "kind": kind.kind}
    validation = request.parameter("fieldValidation") or "Warn"
    obj, warnings = decode(request.body, request.headers.get("content-type", ""), kind, validation)  # type: ignore[arg-type]
    request.warnings.extend(warnings)
    return obj


def own_body(server: ApiServer, request: Request, kind: Kind, options: WriteOptions, obj: Object) -> None:
    """What is created but never stored shows whose its fields are, too."""
    obj["metadata"] = dict(obj.get("metadata") or {})
    subresource = request.info.subresource if request.info else ""
    whose = managed_fields.Request(
        options.field_manager or manager_of(request), kind.api_version, subresource, server.registry.now()
    )
    managed_fields.set_entries(obj, managed_fields.update(None, obj, versions_of(kind), whose))


def success(code: int) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def status_reply(request: Request, code: int) -> Response:
    return with_warnings(Response(code, [], orjson.dumps(success(code))), request.warnings)


# -- pods/binding ----------------------------------------------------------------------------------------------


async def bind(server: ApiServer, request: Request, kind: Kind) -> Response:
    """Puts a pod on a node, once; the scheduler's only write."""
    assert request.info is not None
    resources, info = server.resources, request.info
    options = write_options(request, "CreateOptions")
    binding = body_of(request, PODS.of_subresource("binding"))
    meta, target = binding.get("metadata") or {}, binding.get("target") or {}
    name = info.name or meta.get("name") or ""
    if meta.get("namespace") and meta["namespace"] != info.namespace:
        raise bad_request(OTHER_NAMESPACE)
    if info.name and meta.get("name") != info.name:
        raise bad_request("name in URL does not match name in Binding object")
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(
            f'target.kind: Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
        )
    if not target.get("name"):
        errors.append("target.name: Required value")
    if errors:
        raise ApiError(500, "", errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]", details=False)
    await _admit(resources, request, PODS, binding, bool(options.dry_run))
    node, now = target["name"], resources.registry.now()
    if info.name and target.get("kind"):
        meta = {**meta, "labels": {**(meta.get("labels") or {}), **topology(server.lister, node)}}

    async def change(old: Object) -> Object:
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise other_uid(PODS, info.namespace, name, meta["uid"], old["metadata"]["uid"])
        spec = old.get("spec") or {}
        if old["metadata"].get("deletionTimestamp"):
            raise conflict(
                "pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host"
            )
        if spec.get("nodeName"):
            raise conflict(
                "pods/binding", "", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"'
            )
        if spec.get("schedulingGates"):
            raise conflict("pods/binding", "", name, f"pod {name} has non-empty .spec.schedulingGates")
        metadata = dict(old["metadata"])
        for field in ("annotations", "labels"):
            if meta.get(field):
                metadata[field] = {**(metadata.get(field) or {}), **meta[field]}
        status = dict(old.get("status") or {})
        status.pop("nominatedNodeName", None)
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now,
        }
        conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        status["conditions"] = [*conditions, condition]
        return {**old, "metadata": metadata, "spec": {**spec, "nodeName": node}, "status": status}

    op = resources.registry.operation(
        PODS,
        UPDATE,
        request.user,
        info.namespace,
        name,
        "binding",
        dry_run=options.dry_run,
        warnings=request.warnings,
    )
    await resources.registry.write(op, change)
    return status_reply(request, 201)


# -- pods/eviction ---------------------------------------------------------------------------------------------

MAX_DISRUPTED_PODS = 2000
EVICTION_ATTEMPTS = 20


async def evict(server: ApiServer, request: Request, kind: Kind) -> Response:
    """A delete that asks the pod's disruption budget first (KEP-85)."""
    assert request.info is not None
    resources, info = server.resources, request.info
    query = write_options(request, "CreateOptions")
    eviction = body_of(request, PODS.of_subresource("eviction"))
    meta = eviction.get("metadata") or {}
    if (meta.get("namespace") or info.namespace) != info.namespace:
        raise bad_request(OTHER_NAMESPACE)
    name = info.name
    if (meta.get("name") or "") != name:
        raise bad_request("name in URL does not match name in Eviction object")
    given = dict(eviction.get("deleteOptions") or {})
    if query.dry_run and (content := given.get("dryRun")) and content != ["All"]:
        why = f"Non-matching dry-run options in request and content: [All] and [{' '.join(content)}]"
        raise ApiError(500, "", why, details=False)
    options = delete_options(request, given)
    dry_run = query.dry_run or options.dry_run
    options = DeleteOptions(
        options.grace_period_s,
        options.propagation,
        options.orphan_dependents,
        options.uid,
        options.resource_version,
        dry_run,
    )
    await _admit(resources, request, PODS, eviction, dry_run)
    budget = None
    for _ in range(EVICTION_ATTEMPTS):
        entry = resources.storage.get(PODS, info.namespace, name)
        if entry is None:
            raise not_found("pods", "", name)
        pod = entry.object
        if not _can_ignore_budget(pod):
            budget = _budget_of(resources, pod)
            if budget is not None and not await _take_disruption(resources, pod, budget, dry_run):
                continue
        if not dry_run:
            options = await _say_evicted(resources, request.user, info.namespace, name, options)
        op = resources.registry.operation(
            PODS, DELETE, request.user, info.namespace, name, "", dry_run=dry_run, warnings=request.warnings
        )
        op.admitted = True
        await resources.registry.delete(op, options)
        return status_reply(request, 201)
    assert budget is not None
    why = f'couldn\'t update PodDisruptionBudget "{budget["metadata"]["name"]}" due to conflicts'
    raise ApiError(504, "Timeout", f"Timeout: {why}", retry_after_s=10)


async def _admit(resources: Resources, request: Request, kind: Kind, obj: Object, dry_run: bool) -> None:
    """Admission of an object that is posted to a subresource and stored nowhere."""
    info = request.info
    assert info is not None
    op = resources.registry.operation(
        kind, CREATE, request.user, info.namespace, info.name, info.subresource, dry_run=dry_run
    )
    meta = obj.get("metadata") or {}
    op.object, op.warnings = {**obj, "metadata": {"namespace": info.namespace, **meta}}, request.warnings
    await resources.registry.admission.mutate(op)
    await resources.registry.admission.validate(op)


async def _say_evicted(
    resources: Resources, user: User, namespace: str, name: str, options: DeleteOptions
) -> DeleteOptions:
    """The pod tells why it goes, before it goes (KEP-3329). The options, for the version that it has then."""
    now = resources.registry.now()

    async def change(old: Object) -> Object:
        check_preconditions(PODS, name, old, options)
        status = old.get("status") or {}
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": now,
        }
        conditions = list(status.get("conditions") or ())
        for i, held in enumerate(conditions):
            if held.get("type") == "DisruptionTarget":
                if held.get("status") == "True":
                    condition["lastTransitionTime"] = held.get("lastTransitionTime")
                conditions[i] = condition
                break
        else:
            conditions.append(condition)
        return {**old, "status": {**status, "conditions": conditions}}

    op = resources.registry.operation(PODS, UPDATE, user, namespace, name, "status")
    outcome = await resources.registry.write(op, change)
    if options.resource_version is None:
        return options
    return replace(options, resource_version=outcome.value()["metadata"]["resourceVersion"])


def _can_ignore_budget(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _ready(pod: Object) -> bool:
    return any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in (pod.get("status") or {}).get("conditions") or ()
    )


def _budget_of(resources: Resources, pod: Object) -> Object | None:
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        budget
        for budget in resources.storage.list(
            kind_of_resource("poddisruptionbudgets.policy"), pod["metadata"]["namespace"]
        )
        if (budget.get("spec") or {}).get("selector") is not None
        and selectors.from_object(budget["spec"]["selector"])(labels)
    ]
    if len(budgets) > 1:
        message = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise ApiError(500, "", message, details=False)
    return budgets[0] if budgets else None


async def _take_disruption(resources: Resources, pod: Object, budget: Object, dry_run: bool) -> bool:
    """Takes one of the disruptions that the budget allows; False: it changed meanwhile, look again."""
    meta, status, spec = budget["metadata"], budget.get("status") or {}, budget.get("spec") or {}
    name = meta["name"]
    if not _ready(pod):
        policy = spec.get("unhealthyPodEvictionPolicy") or "IfHealthyBudget"
        healthy = (
            status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0)
            and status.get("desiredHealthy", 0) > 0
        )
        if policy == "AlwaysAllow" or healthy:
            return True
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        error = too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
        error.causes = [
            Cause(
                "DisruptionBudget",
                f"The disruption budget {name} is still being processed by the server.",
                "",
            )
        ]
        raise error
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise forbidden("poddisruptionbudget", "policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED_PODS:
        raise forbidden(
            "poddisruptionbudget",
            "policy",
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    if allowed == 0:
        needs = _why_none_allowed(name, status, condition_of(budget, "DisruptionAllowed") or {})
        error = ApiError(
            429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget."
        )
        error.causes = [Cause("DisruptionBudget", needs, "")]
        raise error
    if dry_run:
        return True
    now = timestamp(resources.clock.now())
    pod_name = pod["metadata"]["name"]

    async def change(old: Object) -> Object:
        before = old.get("status") or {}
        if before.get("disruptionsAllowed", 0) != allowed:
            raise _Changed
        disrupted = {**(before.get("disruptedPods") or {}), pod_name: now}
        status = {**before, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}
        if allowed == 1:
            condition = {
                "type": "DisruptionAllowed",
                "status": "False",
                "reason": "InsufficientPods",
                "message": "",
                "observedGeneration": before.get("observedGeneration", 0),
                "lastTransitionTime": now,
            }
            conditions = [c for c in before.get("conditions") or () if c.get("type") != "DisruptionAllowed"]
            status["conditions"] = [*conditions, condition]
        new = shallow({**old, "status": status})
        own(op, old, new, now)
        return new

    kind = kind_of_resource("poddisruptionbudgets.policy")
    op = resources.registry.operation(
        kind, UPDATE, APISERVER, meta["namespace"], name, "status", field_manager="kube-apiserver"
    )
    try:
        await resources.registry.write(op, change)
    except _Changed:
        return False
    return True


class _Changed(Exception):
    pass


def _why_none_allowed(name: str, status: Object, condition: Object) -> str:
    desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    reason = condition.get("reason", "")
    message = condition.get("message", "") if condition.get("status") == "False" else ""
    if message and reason == "SyncFailed":  # the numbers are not to be trusted then
        return f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
    if current <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {current} currently"
    if message:
        return f"The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
    return f"The disruption budget {name} does not allow evicting pods currently"


# -- scale -----------------------------------------------------------------------------------------------------


def scale_of(obj: Object, kind: Kind) -> Object:
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    shown = {
        f: meta[f] for f in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if f in meta
    }
    scale: Object = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": {}}
    if spec.get("replicas"):
        scale["spec"]["replicas"] = spec["replicas"]
    scale["status"] = {"replicas": status.get("replicas", 0)}
    selector = spec.get("selector")
    if kind.plural == "replicationcontrollers":
        text = ",".join(f"{k}={v}" for k, v in sorted((selector or {}).items()))
    else:
        text = selectors.to_string(selector) if selector else ""
    if text:
        scale["status"]["selector"] = text
    return scale


def get_scale(server: ApiServer, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    entry = server.storage.get(kind, request.info.namespace, request.info.name)
    if entry is None:
        raise not_found(kind.plural, kind.group, request.info.name)
    return reply(server.resources, request, kind.of_subresource("scale"), scale_of(entry.object, kind), 200)


def _check_scale(scale: Object, name: str, namespace: str) -> None:
    errors = FieldErrors()
    metadata.created(errors, {"name": name, "namespace": namespace, **(scale.get("metadata") or {})})
    metadata.not_negative(errors, (scale.get("spec") or {}).get("replicas"), "spec.replicas")
    if errors:
        raise invalid("Scale", "autoscaling", name, errors)


async def put_scale(server: ApiServer, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    info = request.info
    options = write_options(request, "UpdateOptions")
    scale = body_of(request, kind.of_subresource("scale"))
    check_name(scale, info, kind)
    return await _write_scale(server, request, kind, options, "", lambda live: scale)


async def patch_scale(server: ApiServer, request: Request, kind: Kind) -> Response:
    how = patch_type(request, kind)
    options = write_options(request, "PatchOptions", apply=how == "apply")
    make = scale_patch(request, kind, options, how)
    return await _write_scale(server, request, kind, options, how, make)


def scale_patch(request: Request, kind: Kind, options: WriteOptions, how: str) -> Callable[[Object], Object]:
    """What a PATCH makes of a scale; of an apply, what is applied."""
    if how == "apply":
        config, duplicates = parse_apply(request)
        check_duplicates(duplicates, options, request.warnings)
        return lambda live: config
    strict = options.field_validation or "Warn"
    patch, problems = request.object, list[str]()
    if patch is None:
        patch, problems = parse_patch(request.body, how, strict)
    scale_kind, before = kind.of_subresource("scale"), list(request.warnings)
    text = go_text(patch) if how == "strategic" else ""

    def made(live: Object) -> Object:
        request.warnings[:] = before
        patched = apply_patch(how, scale_kind, live, patch)
        return checked(scale_kind, patched, strict, request.warnings, problems, patch, text)

    return made


def scale_write(
    request: Request,
    kind: Kind,
    options: WriteOptions,
    how: str,
    now: str,
    paths: Mapping[str, tuple[str, ...]],
) -> ScaleWrite:
    whose = managed_fields.Request(
        options.field_manager or manager_of(request), managed_fields.SCALE_VERSION, "scale", now
    )
    force = bool(options.force) if how == "apply" else None
    return ScaleWrite(kind.of_subresource("scale"), kind.api_version, paths, whose, force)


async def _write_scale(
    server: ApiServer,
    request: Request,
    kind: Kind,
    options: WriteOptions,
    how: str,
    make: Callable[[Object], Object],
) -> Response:
    assert request.info is not None
    info, resources = request.info, server.resources
    paths = {kind.api_version: managed_fields.REPLICAS}
    write = scale_write(request, kind, options, how, resources.registry.now(), paths)

    async def change(old: Object) -> Object:
        scale, entries = write.made(old, scale_of(old, kind), make)
        meta = scale.get("metadata") or {}
        if how and (meta.get("namespace") or info.namespace) != info.namespace:
            raise bad_request(OTHER_NAMESPACE)
        if how and (meta.get("name") or info.name) != info.name:
            why = f"the name of the object ({meta['name']}) does not match the name on the URL ({info.name})"
            raise bad_request(why)
        _check_scale(scale, info.name, info.namespace)
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            if how:
                why = wrong_uid(meta["uid"], old["metadata"]["uid"])
                raise conflict(f"{kind.plural}/scale", kind.group, info.name, why)
            raise other_uid(kind, info.namespace, info.name, meta["uid"], old["metadata"]["uid"])
        held = dict(old["metadata"])
        if meta.get("resourceVersion"):
            held["resourceVersion"] = meta["resourceVersion"]
        else:
            held.pop("resourceVersion", None)
        spec = {**(old.get("spec") or {}), "replicas": (scale.get("spec") or {}).get("replicas") or 0}
        new = {**old, "metadata": held, "spec": spec}
        managed_fields.set_entries(new, entries)
        return new

    op = resources.registry.operation(
        kind,
        UPDATE,
        request.user,
        info.namespace,
        info.name,
        "scale",
        dry_run=options.dry_run,
        warnings=request.warnings,
    )
    op.patch = True  # a version is not needed
    op.applied = True  # who owns the replicas is settled above
    outcome = await resources.registry.update(op, change)
    return reply(resources, request, write.scale_kind, scale_of(outcome.value(), kind), 200)


# -- serviceaccounts/token -------------------------------------------------------------------------------------

TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX = 600, 1 << 32
BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
AUTHENTICATION = "authentication.k8s.io"


async def create_token(server: ApiServer, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    info, resources = request.info, server.resources
    options = write_options(request, "CreateOptions")
    asked = body_of(request, kind.of_subresource("token"))
    asked["spec"] = {**(asked.get("spec") or {})}
    if asked["spec"].get("expirationSeconds") is None:
        asked["spec"]["expirationSeconds"] = 3600
    own_body(server, request, kind.of_subresource("token"), options, asked)
    spec, meta, errors = dict(asked.get("spec") or {}), asked.get("metadata") or {}, FieldErrors()
    if (meta.get("namespace") or info.namespace) != info.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if (meta.get("name") or info.name) != info.name:
        why = "must match the service account name if specified"
        errors.invalid("metadata.name", meta["name"], why)
        raise invalid("TokenRequest", AUTHENTICATION, info.name, errors)
    entry = resources.storage.get(kind, info.namespace, info.name)
    if entry is None:
        raise not_found("serviceaccounts", "", info.name)
    uid = entry.object["metadata"]["uid"]
    if (meta.get("uid") or uid) != uid:
        why = f"the UID in the token request ({meta['uid']}) does not match the UID of the service account ({uid})"
        raise conflict("TokenRequest", AUTHENTICATION, info.name, why)
    seconds = spec["expirationSeconds"]
    at = "spec.expirationSeconds"
    if seconds < TOKEN_SECONDS_MIN:
        errors.invalid(at, seconds, "may not specify a duration less than 10 minutes")
    if seconds > TOKEN_SECONDS_MAX:
        errors.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds")
    if errors:
        raise invalid("TokenRequest", AUTHENTICATION, "", errors)
    await _admit(resources, request, kind, asked, options.dry_run)
    audiences = list(spec.get("audiences") or server.config.audiences)
    bound: dict[str, Object] = {}
    reference = spec.get("boundObjectRef")
    if reference:
        bound = _bound(server, info.namespace, info.name, reference)
    extended = "pod" in bound and seconds == TOKEN_SECONDS and set(audiences) <= set(server.config.audiences)
    token, expires = server.tokens.issue(info.namespace, entry.object, audiences, seconds, bound, extended)
    answer = {
        "kind": "TokenRequest",
        "apiVersion": f"{AUTHENTICATION}/v1",
        "metadata": {
            **{k: v for k, v in meta.items() if k in ("labels", "annotations", "managedFields")},
            "name": info.name,
            "namespace": info.namespace,
            "uid": uid,
            "creationTimestamp": resources.registry.now(),
        },
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference or None},
        "status": {"token": token, "expirationTimestamp": timestamp(expires)},
    }
    return reply(resources, request, kind.of_subresource("token"), answer, 201)


def _bound(server: ApiServer, namespace: str, account: str, reference: Object) -> dict[str, Object]:
    api_version, kind_name = reference.get("apiVersion") or "", reference.get("kind") or ""
    group, _, version = api_version.rpartition("/")
    resource = BINDABLE.get(kind_name) if not group else None
    if resource is None:
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind_name}")
    kind = kind_of_resource(resource)
    entry = server.storage.get(kind, namespace if kind.namespaced else "", reference.get("name") or "")
    if entry is None:
        raise not_found(resource, "", reference.get("name") or "")
    obj = entry.object
    uid, spec = obj["metadata"]["uid"], obj.get("spec") or {}
    if resource == "pods" and spec.get("serviceAccountName") != account:
        why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
        raise bad_request(why)
    if reference.get("uid") and reference["uid"] != uid:
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. The object might have been deleted and then recreated"
        raise conflict(kind_name, "", obj["metadata"]["name"], why)
    bound: dict[str, Object] = {kind_name.lower(): {"name": obj["metadata"]["name"], "uid": uid}}
    if resource == "pods":
        node_name = spec.get("nodeName")
        if node_name:
            node = server.storage.get(kind_of_resource("nodes"), "", node_name)
            bound["node"] = {"name": node_name}
            if node is not None:
                bound["node"]["uid"] = node.object["metadata"]["uid"]
    return bound


SUBRESOURCES: dict[tuple[str, str, str], Function] = {
    ("pods", "binding", "create"): bind,
    ("pods", "eviction", "create"): evict,
    ("serviceaccounts", "token", "create"): create_token,
}
for _resource in ("deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers"):
    SUBRESOURCES[_resource, "scale", "get"] = get_scale
    SUBRESOURCES[_resource, "scale", "update"] = put_scale
    SUBRESOURCES[_resource, "scale", "patch"] = patch_scale
