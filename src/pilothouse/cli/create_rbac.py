"""`create role`, `rolebinding`, their cluster-wide siblings, and `create token`."""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..api.object import Object
from . import printing
from .create import command, creates
from .errors import Failure
from .targets import path
from .timing import duration
from .verb import OUTPUT, Call, many, span, text, verb

RBAC = "rbac.authorization.k8s.io"
VERBS = "get list watch create update patch delete deletecollection use bind escalate impersonate approve sign attest *".split()
URL_VERBS = "get put post head options delete patch *".split()
SPECIAL = {  # verbs that make sense on these resources only: (plural, group)
    "use": (("podsecuritypolicies", "policy"), ("podsecuritypolicies", "extensions")),
    "bind": (("roles", RBAC), ("clusterroles", RBAC)),
    "escalate": (("roles", RBAC), ("clusterroles", RBAC)),
    "impersonate": (
        ("users", ""),
        ("serviceaccounts", ""),
        ("groups", ""),
        ("userextras", "authentication.k8s.io"),
    ),
}
RULE = (
    many("--verb", split=True, help="What may be done."),
    many("--resource", split=True, help="RESOURCE[.GROUP][/SUBRESOURCE]"),
    many("--resource-name", help="Only objects of this name."),
)


def _unique(words: list[str]) -> list[str]:
    return ["*"] if "*" in words else list(dict.fromkeys(words))


async def _rules(call: Call) -> list[Object]:
    """One rule for each group."""
    verbs = _unique(call.options.verb)
    groups: dict[str, list[str]] = {}
    for word in call.options.resource:
        before, slash, subresource = word.partition("/")
        plural, _, group = before.partition(".")
        if not plural:
            raise Failure("resource must be specified if apiGroup/subresource specified")
        if plural != "*":
            plural, group = await _known(call, plural, group, verbs)
        name = f"{plural}/{subresource}" if slash else plural
        if name not in groups.setdefault(group, []):
            groups[group].append(name)
        if word == "*":
            groups = {"": ["*"]}
            break
    names = list(dict.fromkeys(call.options.resource_name))
    rules = []
    for group in sorted(groups):
        rule: Object = {"apiGroups": [group], "resources": groups[group], "verbs": verbs}
        if names:
            rule["resourceNames"] = names
        rules.append(rule)
    return rules


async def _known(call: Call, plural: str, group: str, verbs: list[str]) -> tuple[str, str]:
    try:
        kind = await call.connection.kind(f"{plural}.{group}" if group else plural)
        plural, group = kind.plural, kind.group
        found = True
    except Failure:
        found = False
    for name in verbs:
        if name in SPECIAL:
            if (plural, group) not in SPECIAL[name]:
                raise Failure(f"can not perform '{name}' on '{plural}' in group '{group}'")
            found = True
    if not found:
        inside = f' in group "{group}"' if group else ""
        raise Failure(f'the server doesn\'t have a resource type "{plural}"{inside}', plain=True)
    return plural, group


def _check(call: Call) -> None:
    if not call.options.verb:
        raise Failure("at least one verb must be specified")
    for name in call.options.verb:
        if name not in VERBS and call.options.resource:
            click.echo(f"Warning: '{name}' is not a standard resource verb", err=True)


@creates("role", flags=RULE, help="Create a role.")
async def role(call: Call, name: str) -> Object:
    _check(call)
    if not call.options.resource:
        raise Failure("at least one resource must be specified")
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": await _rules(call),
    }


@creates(
    "clusterrole",
    flags=(
        *RULE,
        many("--non-resource-url", split=True, help="A path of the API server."),
        text("--aggregation-rule", help="Labels of cluster roles to put together."),
    ),
    help="Create a cluster role.",
)
async def clusterrole(call: Call, name: str) -> Object:
    options = call.options
    made: Object = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [],
    }
    if options.aggregation_rule:
        if options.non_resource_url or options.verb or options.resource or options.resource_name:
            raise Failure(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"
            )
        labels = dict(word.split("=", 1) for word in options.aggregation_rule.split(","))
        return {**made, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}, "rules": None}
    _check(call)
    if not options.resource and not options.non_resource_url:
        raise Failure("one of resource or nonResourceURL must be specified")
    made["rules"] = await _rules(call)
    if options.non_resource_url:
        for url in options.non_resource_url:
            if not url.startswith("/"):
                raise Failure("nonResourceURL should start with /")
            if "*" in url[:-1]:
                raise Failure("nonResourceURL only supports wildcard matches when '*' is at the end")
        for name_ in options.verb:
            if name_ not in URL_VERBS:
                raise Failure(f"invalid verb: '{name_}' for nonResourceURL")
        made["rules"].append({"nonResourceURLs": options.non_resource_url, "verbs": _unique(options.verb)})
    return made


WHO = (
    many("--user", help="Users to bind."),
    many("--group", help="Groups to bind."),
    many("--serviceaccount", help="NAMESPACE:NAME of service accounts to bind."),
)


def _binding(call: Call, kind: str, name: str, role: str, role_kind: str) -> Object:
    subjects: list[Object] = [
        {"apiGroup": RBAC, "kind": kind_, "name": each}
        for kind_, names in (("User", call.options.user), ("Group", call.options.group))
        for each in names
    ]
    for word in call.options.serviceaccount:
        namespace, colon, account = word.partition(":")
        if not (namespace and colon and account) or ":" in account:
            raise Failure("serviceaccount must be <namespace>:<name>")
        subjects.append({"kind": "ServiceAccount", "name": account, "namespace": namespace})
    made: Object = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}}
    made["roleRef"] = {"apiGroup": RBAC, "kind": role_kind, "name": role}
    return {**made, "subjects": subjects} if subjects else made


@creates(
    "rolebinding",
    flags=(
        text("--clusterrole", help="The cluster role to bind."),
        text("--role", help="The role to bind."),
        *WHO,
    ),
    help="Create a role binding.",
    failed="failed to create rolebinding: ",
)
def rolebinding(call: Call, name: str) -> Object:
    options = call.options
    if bool(options.clusterrole) == bool(options.role):
        raise Failure("exactly one of clusterrole or role must be specified")
    kind = "ClusterRole" if options.clusterrole else "Role"
    return _binding(call, "RoleBinding", name, options.clusterrole or options.role, kind)


@creates(
    "clusterrolebinding",
    flags=(text("--clusterrole", needed=True, help="The cluster role to bind."), *WHO),
    help="Create a cluster role binding.",
    failed="failed to create clusterrolebinding: ",
)
def clusterrolebinding(call: Call, name: str) -> Object:
    return _binding(call, "ClusterRoleBinding", name, call.options.clusterrole, "ClusterRole")


BOUND = {"Node": "v1", "Pod": "v1", "Secret": "v1"}


@verb(
    "token",
    *OUTPUT,
    many("--audience", help="Whom the token is for."),
    span("--duration", default="0s", help="How long it is good for."),
    text("--bound-object-kind", help="Pod, Secret or Node that it ends with."),
    text("--bound-object-name"),
    text("--bound-object-uid"),
    help="Ask for a token of a service account.",
)
async def token(call: Call) -> None:
    name, options = call.one_name(), call.options
    printer = printing.printer(options)
    seconds = duration(options.duration, "duration")
    if seconds < 0:
        raise Failure("--duration must be greater than or equal to 0")
    if seconds % 1:
        raise Failure("--duration cannot be expressed in units less than seconds")
    if "" in options.audience:
        raise Failure("--audience must not be an empty string")
    spec: Object = {"audiences": options.audience}
    if seconds:
        spec["expirationSeconds"] = int(seconds)
    if options.bound_object_kind:
        if options.bound_object_kind not in BOUND:
            raise Failure(f"supported --bound-object-kind values are {', '.join(sorted(BOUND))}")
        if not options.bound_object_name:
            raise Failure("--bound-object-name is required if --bound-object-kind is provided")
        bound = {"kind": options.bound_object_kind, "apiVersion": "v1", "name": options.bound_object_name}
        spec["boundObjectRef"] = {
            **bound,
            **({"uid": options.bound_object_uid} if options.bound_object_uid else {}),
        }
    elif options.bound_object_name or options.bound_object_uid:
        which = "name" if options.bound_object_name else "uid"
        raise Failure(f"--bound-object-{which} can only be set if --bound-object-kind is provided")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    where = path(await call.connection.kind("serviceaccounts"), call.namespace, name, "token")
    try:
        answer = await call.client.call("POST", where, request)
    except ApiError as error:
        raise Failure(f"failed to create token: {error.message}")
    click.echo(printer.show(answer) if printer else answer["status"]["token"], nl=not printer)


command.subcommand(token)
