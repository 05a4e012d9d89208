"""The reviews: resources that are only asked (create), never stored: who am I, whose token is this, who may do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from ..api import names
from ..api.errors import bad_request, invalid
from ..api.fielderrors import FieldErrors, InOrder
from ..api.kinds import Kind
from ..api.object import Object
from .authorization import Attributes, aggregate
from .node_authorizer import node_of
from .options import write_options
from .registry.generic import METADATA_ORDER
from .request import Request, Response, User
from .subresources import bind, body_of, own_body, reply
from .tokens import TokenError

if TYPE_CHECKING:
    from .server import ApiServer

Function = Callable[["ApiServer", Request, Kind], Response | Awaitable[Response]]


def _review(server: ApiServer, request: Request, kind: Kind) -> Object:
    options = write_options(request, "CreateOptions")
    review = body_of(request, kind)
    own_body(server, request, kind, options, review)
    return review


def _answer(server: ApiServer, request: Request, kind: Kind, review: Object, status: Object) -> Response:
    meta = review.get("metadata") or {}
    answer = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}
    if "spec" in review:
        answer["spec"] = review["spec"]
    answer["status"] = status
    if request.object is None:
        return reply(server.resources, request, kind, answer, 201)
    return Response(201, [], orjson.dumps(answer), value=answer)


def user_info(user: User) -> Object:
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


def token_review(server: ApiServer, request: Request, kind: Kind) -> Response | Awaitable[Response]:
    review = _review(server, request, kind)
    spec = review.get("spec") or {}
    token = spec.get("token") or ""
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    audiences = tuple(spec.get("audiences") or ())

    def known(user: User) -> Response:
        agreed = server.authenticator.agreed_audiences(token, audiences)
        status = {"authenticated": True, "user": user_info(user), "audiences": agreed}
        return _answer(server, request, kind, review, status)

    def unknown(error: TokenError) -> Response:
        return _answer(server, request, kind, review, {"user": {}, "error": str(error)})

    async def later(found: Awaitable[User]) -> Response:
        try:
            return known(await found)
        except TokenError as error:
            return unknown(error)

    try:
        found = server.authenticator.check_token(token, audiences)
    except TokenError as error:
        return unknown(error)
    return known(found) if isinstance(found, User) else later(found)


def self_subject_review(server: ApiServer, request: Request, kind: Kind) -> Response:
    review = _review(server, request, kind)
    meta = {**(review.get("metadata") or {}), "creationTimestamp": server.registry.now()}
    return _answer(server, request, kind, {"metadata": meta}, {"userInfo": user_info(request.user)})


# -- access reviews --------------------------------------------------------------------------------------------


def _attributes(user: User, spec: Object) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is not None:
        fields = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
        selector = resource.get("fieldSelector") or {}
        requirements = [
            f"{one.get('key')}={one['values'][0]}"
            for one in selector.get("requirements") or ()
            if one.get("operator") == "In" and len(one.get("values") or ()) == 1
        ]
        fields_asked = selector.get("rawSelector") or ",".join(requirements)
        values = {field: resource.get(field, "") for field in fields}
        return Attributes(user, field_selector=fields_asked, **values)
    path = spec.get("nonResourceAttributes") or {}
    return Attributes(user, path.get("verb", ""), path=path.get("path", ""))


def _check(kind: Kind, review: Object, needs_user: bool, namespace: str | None = None) -> None:
    """Validation of the access reviews (pkg/apis/authorization/validation). `namespace`: of a local one."""
    spec, errors = review.get("spec") or {}, FieldErrors()
    resource, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    shown_url = {"Path": (url or {}).get("path", ""), "Verb": (url or {}).get("verb", "")}
    if resource is not None and url is not None:
        why = "cannot be specified in combination with resourceAttributes"
        errors.invalid("spec.nonResourceAttributes", shown_url, why)
    if resource is None and url is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.invalid("spec.resourceAttributes", None, why)
    if needs_user and not spec.get("user") and not spec.get("groups"):
        errors.invalid("spec.user", "", "at least one of user or group must be specified")
    for selector in ("fieldSelector", "labelSelector"):
        _check_selector(errors, (resource or {}).get(selector), f"spec.resourceAttributes.{selector}")
    given = review.get("metadata") or {}
    given = given if namespace is None else {**given, "namespace": namespace}
    meta = InOrder({field: given[field] for field in METADATA_ORDER if given.get(field)})
    owners = {"managedFields": [InOrder(owner) for owner in given.get("managedFields") or ()]}
    if namespace is None:
        if meta:
            errors.invalid("metadata", InOrder(meta | owners), "must be empty")
    else:
        if meta.keys() - {"namespace"}:
            errors.invalid("metadata", InOrder(meta | owners), "must be empty except for namespace")
        asked = (resource or {}).get("namespace") or ""
        if resource is not None and asked != namespace:
            errors.invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")
        if url is not None:
            errors.invalid("spec.nonResourceAttributes", shown_url, "disallowed on this kind of request")
    if errors:
        raise invalid("", kind.group, "", errors)


def _check_selector(errors: FieldErrors, selector: Object | None, path: str) -> None:
    if selector is None:
        return
    raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or ()
    if raw and requirements:
        errors.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        why = f"when {path} is specified, requirements or rawSelector is required"
        errors.required(f"{path}.requirements", why)
    of_labels = path.endswith("labelSelector")
    for i, requirement in enumerate(requirements):
        here, operator = f"{path}.requirements[{i}]", requirement.get("operator")
        key, values = requirement.get("key") or "", requirement.get("values") or ()
        if not of_labels and not key:
            errors.required(f"{here}.key", "must be specified")
        if operator in ("In", "NotIn") and not values:
            errors.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.forbidden(f"{here}.values", why)
        if of_labels:
            errors.messages(f"{here}.key", key, names.qualified_name(key))
            for number, value in enumerate(values):
                errors.messages(f"{here}.values[{number}]", value, names.label_value(value))


def _access(server: ApiServer, request: Request, kind: Kind, review: Object, user: User) -> Response:
    allowed, why = server.authorizer.allows(_attributes(user, review.get("spec") or {}))
    status: Object = {"allowed": allowed}
    if why:
        status["reason"] = why
    return _answer(server, request, kind, review, status)


def _asked_user(spec: Object) -> User:
    return User(
        spec.get("user") or "",
        tuple(spec.get("groups") or ()),
        spec.get("uid") or "",
        spec.get("extra") or {},
    )


def self_subject_access_review(server: ApiServer, request: Request, kind: Kind) -> Response:
    review = _review(server, request, kind)
    _check(kind, review, needs_user=False)
    return _access(server, request, kind, review, request.user)


def subject_access_review(server: ApiServer, request: Request, kind: Kind) -> Response:
    review = _review(server, request, kind)
    _check(kind, review, needs_user=True)
    return _access(server, request, kind, review, _asked_user(review.get("spec") or {}))


def local_subject_access_review(server: ApiServer, request: Request, kind: Kind) -> Response:
    assert request.info is not None
    review = _review(server, request, kind)
    _check(kind, review, needs_user=True, namespace=request.info.namespace)
    return _access(server, request, kind, review, _asked_user(review.get("spec") or {}))


def self_subject_rules_review(server: ApiServer, request: Request, kind: Kind) -> Response:
    review = _review(server, request, kind)
    namespace = (review.get("spec") or {}).get("namespace") or ""
    if not namespace:
        raise bad_request("no namespace on request")
    resource_rules, url_rules = [], []
    rules, errors = server.authorizer.resolve(request.user, namespace)
    for rule in rules:
        if rule.urls:
            url_rules.append({"verbs": list(rule.source_rule["verbs"]), "nonResourceURLs": list(rule.urls)})
        else:
            fields = ("verbs", "apiGroups", "resources", "resourceNames")
            resource_rules.append({f: list(rule.source_rule[f]) for f in fields if rule.source_rule.get(f)})
    is_node = node_of(request.user) is not None
    if is_node:
        errors = ["node authorizer does not support user rule resolution", *errors]
    status = {"resourceRules": resource_rules, "nonResourceRules": url_rules, "incomplete": is_node}
    if errors:
        status["evaluationError"] = aggregate(errors)
    return _answer(server, request, kind, {"spec": {}}, status)


REVIEWS: dict[str, Function] = {
    "bindings": bind,
    "tokenreviews.authentication.k8s.io": token_review,
    "selfsubjectreviews.authentication.k8s.io": self_subject_review,
    "selfsubjectaccessreviews.authorization.k8s.io": self_subject_access_review,
    "subjectaccessreviews.authorization.k8s.io": subject_access_review,
    "localsubjectaccessreviews.authorization.k8s.io": local_subject_access_review,
    "selfsubjectrulesreviews.authorization.k8s.io": self_subject_rules_review,
}
