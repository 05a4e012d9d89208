"""`pilothouse auth can-i` and `auth whoami`"""

from __future__ import annotations

from typing import Any

import click

from . import printing
from .describe_config import rule_rows
from .errors import Failure
from .jsonpath import go_text
from .tabs import table
from .verb import ALL_NAMESPACES, OUTPUT, Call, family, flag, text, verb

GROUP = "authorization.k8s.io/v1"
VERBS = "get list watch create update patch delete deletecollection use bind impersonate escalate approve sign attest proxy * head post put options connect".split()
command = family("auth", "Ask what one may do, and who one is.")


@command.subcommand
@verb(
    "can-i",
    *ALL_NAMESPACES,
    flag("--list", help="Everything that one may do."),
    flag("-q", "--quiet", help="Only the exit code."),
    text("--subresource", help="log, scale, …"),
    flag("--no-headers"),
    help="May I? `auth can-i create pods`, `auth can-i get pods/web`, `auth can-i get /healthz`.",
)
async def can_i(call: Call) -> int | None:
    options, words = call.options, call.words
    if options.list:
        if words:
            raise Failure("list option must be specified with no arguments")
        await _list(call)
        return None
    if len(words) != 2:
        raise Failure(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.".replace(
                "kubectl auth can-i", call.path
            )
        )
    spec = await _asked(call, words)
    review = {"apiVersion": GROUP, "kind": "SelfSubjectAccessReview", "spec": spec}
    status = (await call.client.call("POST", f"/apis/{GROUP}/selfsubjectaccessreviews", review))["status"]
    allowed = bool(status.get("allowed"))
    if not options.quiet:
        reason = f" - {status['reason']}" if status.get("reason") and not allowed else ""
        error = f" - {status['evaluationError']}" if status.get("evaluationError") and not allowed else ""
        click.echo("yes" if allowed else f"no{reason}{error}")
    return 0 if allowed else 1


async def _asked(call: Call, words: list[str]) -> dict[str, Any]:
    verb_, what = words[0], words[1]
    if what.startswith("/"):
        return {"nonResourceAttributes": {"verb": verb_, "path": what}}
    type_, _, name = what.partition("/")
    attributes: dict[str, Any] = {
        "verb": verb_,
        "resource": type_,
        "name": name,
        "subresource": call.options.subresource,
    }
    attributes["namespace"] = "" if call.options.all_namespaces else call.namespace
    if type_ == "*":
        attributes["group"] = "*"
    else:
        try:
            kind = await call.connection.kind(type_)
            attributes |= {"resource": kind.plural, "group": kind.group, "version": kind.version}
            if not kind.namespaced:
                click.echo(
                    f"Warning: resource '{kind.plural}' is not namespace scoped"
                    + (f" in group '{kind.group}'" if kind.group else "")
                    + "\n",
                    err=True,
                )
                attributes["namespace"] = ""
        except Failure:
            plural, _, group = type_.partition(".")
            attributes |= {"resource": plural, "group": group}
            inside = f" in group '{group}'" if group else ""
            click.echo(f"Warning: the server doesn't have a resource type '{plural}'{inside}\n", err=True)
    if verb_ not in VERBS:
        click.echo(f"Warning: verb '{verb_}' is not a known verb\n", err=True)
    return {"resourceAttributes": {key: value for key, value in attributes.items() if value}}


async def _list(call: Call) -> None:
    review = {"apiVersion": GROUP, "kind": "SelfSubjectRulesReview", "spec": {"namespace": call.namespace}}
    status = (await call.client.call("POST", f"/apis/{GROUP}/selfsubjectrulesreviews", review))["status"]
    if status.get("incomplete"):
        click.echo(f"warning: the list may be incomplete: {status.get('evaluationError') or ''}", err=True)
    rules = [*(status.get("resourceRules") or ()), *(status.get("nonResourceRules") or ())]
    head = [] if call.options.no_headers else [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    click.echo(table(head + rule_rows(rules)), nl=False)


@command.subcommand
@verb("whoami", *OUTPUT, help="Who the server takes me for.")
async def whoami(call: Call) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await call.client.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    if printer := printing.printer(call.options):
        click.echo(printer.show(answer), nl=False)
        return
    user = answer["status"]["userInfo"]
    rows = [["ATTRIBUTE", "VALUE"], ["Username", user.get("username") or ""]]
    if user.get("uid"):
        rows.append(["UID", user["uid"]])
    if user.get("groups"):
        rows.append(["Groups", go_text(user["groups"])])
    rows += [[f"Extra: {key}", go_text(value)] for key, value in sorted((user.get("extra") or {}).items())]
    click.echo(table(rows), nl=False)
