"""The audit log: who did what, by an audit policy (audit.k8s.io/v1), as one JSON event a line.

The first rule of the policy that matches a request decides how much of it is told: nothing, its metadata, its body, its answer too. A server
without a policy has no `Audit` at all, and pays nothing. (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..api.decode import decode
from ..api.errors import ApiError
from ..api.kinds import find
from ..api.object import Object
from ..base.clock import Clock, timestamp_micro
from ..base.random import Random
from .request import Request, Response, Sink, Source, User
from .routes import RequestInfo

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
LOG_BYTES_MAX, BACKUPS_MAX = 100 << 20, 10

log = logging.getLogger(__name__)


class AuditError(ValueError):
    """The policy is no good; the message says where."""


@dataclass(frozen=True, slots=True)
class Rule:
    level: int
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = ()  # (group, resources, names)
    urls: tuple[str, ...] = ()
    omitted: frozenset[str] = frozenset()  # stages

    def matches(self, user: User, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if not (self.namespaces or self.resources or self.urls):
            return True
        if not info.is_resource:
            return any(
                url in ("*", info.path) or (url.endswith("*") and info.path.startswith(url[:-1]))
                for url in self.urls
            )
        if self.urls and not (self.resources or self.namespaces):
            return False
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(
            _covers(group, names, wanted, info) for group, wanted, names in self.resources
        )


def _covers(group: str, names: frozenset[str], wanted: frozenset[str], info: RequestInfo) -> bool:
    if group != info.group or (names and info.name not in names):
        return False
    combined = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return (
        not wanted
        or combined in wanted
        or "*" in wanted
        or bool(info.subresource and (f"*/{info.subresource}" in wanted or f"{info.resource}/*" in wanted))
    )


class Policy:
    """Raises AuditError for one that cannot be used."""

    def __init__(self, policy: Object):
        if policy.get("kind") != "Policy" or not policy.get("rules"):
            raise AuditError("kind must be Policy, with at least one rule")
        self.rules = [
            _rule(rule, f"rules[{index}]", policy.get("omitStages") or ())
            for index, rule in enumerate(policy["rules"])
        ]

    @classmethod
    def from_file(cls, path: str | Path) -> Policy:
        import yaml

        try:
            return cls(yaml.safe_load(Path(path).read_text()) or {})
        except (yaml.YAMLError, AuditError) as error:
            raise AuditError(f"{path}: {error}") from None

    def rule_for(self, user: User, info: RequestInfo) -> Rule | None:
        """None: nothing is told."""
        for rule in self.rules:
            if rule.matches(user, info):
                return rule if rule.level else None
        return None


def _rule(rule: Object, where: str, omitted: Any) -> Rule:
    level = rule.get("level")
    if level not in LEVELS:
        raise AuditError(f"{where}.level: must be one of {', '.join(LEVELS)}, not {level!r}")
    stages = frozenset([*omitted, *(rule.get("omitStages") or ())])
    if unknown := stages - set(STAGES):
        raise AuditError(f"{where}.omitStages: unknown: {', '.join(sorted(unknown))}")
    resources = tuple(
        (
            entry.get("group") or "",
            frozenset(entry.get("resources") or ()),
            frozenset(entry.get("resourceNames") or ()),
        )
        for entry in rule.get("resources") or ()
    )
    return Rule(
        LEVELS.index(level),
        frozenset(rule.get("users") or ()),
        frozenset(rule.get("userGroups") or ()),
        frozenset(rule.get("verbs") or ()),
        frozenset(rule.get("namespaces") or ()),
        resources,
        tuple(rule.get("nonResourceURLs") or ()),
        stages,
    )


DEFAULT_POLICY: Object = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "resources": [{"resources": ["events"]}, {"group": "events.k8s.io"}]},
        {"level": "Metadata"},
    ],
}


NOBODY = User("", ())


class Audit:
    """`received` and `answered` are called for every request; what the policy wants to know goes to the file."""

    def __init__(self, policy: Policy, path: Path, clock: Clock, random: Random):
        self._policy, self._clock, self._random = policy, clock, random
        self._file = _File(path)

    def close(self) -> None:
        self._file.close()

    def received(self, request: Request, info: RequestInfo, user: User) -> None:
        """`user`: who authenticated."""
        rule = self._policy.rule_for(user, info)
        if rule is None:
            return
        request.audit = Pending(self, rule, self._event(request, info, user, rule))
        request.audit.tell("RequestReceived")

    def unauthenticated(self, request: Request, info: RequestInfo) -> None:
        """Its credentials are no good: it is answered 401."""
        rule = self._policy.rule_for(NOBODY, info)
        if rule is None:
            return
        event = self._event(request, info, NOBODY, rule)
        event["responseStatus"] = {"metadata": {}, "message": _attempted(request), "code": 401}
        Pending(self, rule, event).tell("ResponseStarted")

    def _event(self, request: Request, info: RequestInfo, user: User, rule: Rule) -> Object:
        event: Object = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": LEVELS[rule.level],
            "auditID": self._random.uid(),
            "stage": "RequestReceived",
            "requestURI": request.path + (f"?{request.query}" if request.query else ""),
            "verb": info.verb,
            "user": _user(user),
        }
        event["sourceIPs"] = [request.peer.rpartition(":")[0]]
        event["userAgent"] = request.headers.get("user-agent", "")
        if info.is_resource:
            reference = {
                "resource": info.resource,
                "namespace": info.namespace,
                "name": info.name,
                "apiGroup": info.group,
                "apiVersion": info.version,
                "subresource": info.subresource,
            }
            event["objectRef"] = {key: value for key, value in reference.items() if value}
        if rule.level >= LEVELS.index("Request") and (body := _body(request, info)) is not None:
            event["requestObject"] = body
        now = timestamp_micro(self._clock.now())
        return event | {"requestReceivedTimestamp": now, "stageTimestamp": now}

    def write(self, event: Object) -> None:
        self._file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    def now(self) -> str:
        return timestamp_micro(self._clock.now())


def _attempted(request: Request) -> str:
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    tried = [scheme.lower()] if scheme.lower() in ("basic", "bearer") and rest else []
    if request.parameter("access_token").strip():
        tried.append("access_token")
    if request.peer_certificate:
        tried.append("x509")
    if not tried:
        return "Authentication failed, no credentials provided"
    return f"Authentication failed, attempted: {', '.join(tried)}"


@dataclass(slots=True)
class Pending:
    """One request that is being audited."""

    audit: Audit
    rule: Rule
    event: Object = field(default_factory=dict)

    def tell(self, stage: str) -> None:
        if stage not in self.rule.omitted:
            self.audit.write({**self.event, "stage": stage, "stageTimestamp": self.audit.now()})

    def impersonates(self, user: User, constraint: str) -> None:
        """`constraint`: the verb of the mode that allowed it; "" is the old way."""
        self.event["impersonatedUser"] = _user(user)
        if constraint:
            self.event["authenticationMetadata"] = {"impersonationConstraint": constraint}

    def decided(self, allowed: bool, reason: str) -> None:
        annotations = self.event.setdefault("annotations", {})
        annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
        annotations["authorization.k8s.io/reason"] = reason

    def answered(self, response: Response) -> None:
        """A stream has begun; or it is all over."""
        event = self.event
        event["responseStatus"] = {"metadata": {}, "code": response.status}
        body = None
        if response.body and response.content_type == "application/json":
            if response.status >= 400 or self.rule.level == len(LEVELS) - 1:
                body = orjson.loads(response.body)
        if body is not None and response.status >= 400:
            told = {key: body[key] for key in ("status", "message", "reason") if key in body}
            event["responseStatus"] = {"metadata": {}, **told, "code": response.status}
        if body is not None and self.rule.level == len(LEVELS) - 1:
            event["responseObject"] = body
        if response.stream is not None:
            self.tell("ResponseStarted")
            response.stream = self._until_its_end(response.stream)
        elif response.source is not None:
            self.tell("ResponseStarted")
            response.source = _Told(response.source, self)
        else:
            self.tell("ResponseComplete")

    async def _until_its_end(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in stream:
                yield chunk
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
            self.tell("ResponseComplete")


class _Told:
    """A pushed answer whose end is told."""

    def __init__(self, source: Source, pending: Pending):
        self._source, self._pending = source, pending

    def start(self, sink: Sink) -> None:
        self._source.start(sink)

    def resume(self) -> None:
        self._source.resume()

    def stop(self) -> None:
        self._source.stop()
        self._pending.tell("ResponseComplete")


def _user(user: User) -> Object:
    told = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {key: value for key, value in told.items() if value}


def _body(request: Request, info: RequestInfo) -> Any:
    if not request.body or request.body_too_large:
        return None
    try:
        if "protobuf" not in request.headers.get("content-type", ""):
            return orjson.loads(request.body)
        kind = find(info.group, info.version, info.resource)
        return decode(request.body, request.headers["content-type"], kind, "Ignore")[0] if kind else None
    except (orjson.JSONDecodeError, ApiError):
        return None


class _File:
    """Append-only, in pieces of 100 MB of which the last ten are kept. What cannot be written is lost, and no request fails for it."""

    def __init__(self, path: Path):
        self._path = path
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size
        self._loses = False

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: bytes) -> None:
        try:
            if self._size + len(line) > LOG_BYTES_MAX:
                self._rotate()
            self._size += os.write(self._descriptor, line)
            self._loses = False
        except OSError as error:  # of a full disk, mostly
            if not self._loses:
                log.error("events are missing in %s: %s", self._path, error)
            self._loses = True

    def _rotate(self) -> None:
        for number in range(BACKUPS_MAX - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                os.replace(older, self._path.with_name(f"{self._path.name}.{number + 1}"))
        os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
        full, self._descriptor, self._size = self._descriptor, self._open(), 0
        os.close(full)

    def close(self) -> None:
        os.close(self._descriptor)
