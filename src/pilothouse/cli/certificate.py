"""`pilothouse certificate approve` and `deny`: decides on certificate signing requests."""

from __future__ import annotations

from ..api.kinds import kind_of_resource
from ..base.clock import RealClock, timestamp
from .change import Change
from .errors import Failure
from .targets import Finder, path
from .verb import FILES, OUTPUT, Call, Verb, family, flag, verb

command = family("certificate", "Approve and deny certificate signing requests.")
REQUESTS = kind_of_resource("certificatesigningrequests.certificates.k8s.io")


def _deciding(name: str, type_: str, other: str) -> Verb:
    done = type_.lower()

    @verb(name, *FILES, *OUTPUT, flag("--force", help="Also what is decided already."), help=f"{name} NAME")
    async def decide(call: Call) -> None:
        if not call.words and not call.options.filename:
            raise Failure("one or more CSRs must be specified as <name> or -f <filename>")
        finder, change = Finder(call), Change(call, "kubectl-certificate")
        for info in await finder.run([f"{REQUESTS.resource}/{word}" for word in call.words]):
            with finder.trying():
                conditions = (info.obj.get("status") or {}).get("conditions") or []
                types = [each["type"] for each in conditions]
                if other in types:
                    raise Failure(f'certificate signing request "{info.name}" is already {other}')
                if type_ not in types or call.options.force:
                    made = {
                        "type": type_,
                        "status": "True",
                        "reason": f"Kubectl{name.capitalize()}",
                        "message": f"This CSR was {done} by kubectl certificate {name}.",
                        "lastUpdateTime": timestamp(RealClock().now()),
                    }
                    if type_ not in types:
                        conditions = [*conditions, made]
                    obj = {**info.obj, "status": {**(info.obj.get("status") or {}), "conditions": conditions}}
                    await call.client.call("PUT", path(REQUESTS, "", info.name, "approval"), obj)
                change.say(info.shown, info.obj, done)
        finder.end()

    return decide


command.subcommand(_deciding("approve", "Approved", "Denied"))
command.subcommand(_deciding("deny", "Denied", "Approved"))
